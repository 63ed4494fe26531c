"""A plan's traces and its jobs' logs, whatever dies on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance.plan_folder import make_plan, outcomes
from tests.acceptance.vibe_command import Vibe
from tests.otlp_collector import Collector, Seen, collector
from tests.processes import until

KILL = """
import psutil, signal, sqlite3, time
print("said before the kill")
sys.stderr.write("and without a line's end")
sys.stdout.flush(); sys.stderr.flush()
write("{name}.txt", env["VIBE_ATTEMPT"])
if env["VIBE_ATTEMPT"] == "1":
    def kept():
        with sqlite3.connect("{ledger}", timeout=10) as ledger:
            return ledger.execute(
                "SELECT count(*) FROM job_logs WHERE job_id = ?", (env["VIBE_JOB_ID"],)
            ).fetchone()[0]
    while not kept():
        time.sleep(0.05)
    workers = [each for each in psutil.Process().parents()
               if "vibe_tasks.tasks.worker" in each.cmdline()]
    workers[{which}].kill()
    time.sleep(60)
"""
"""An agent that kills the worker that runs it, once its first words are in the ledger."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run has left."""

    vibe: Vibe
    seen: Collector
    report: dict[str, Any]

    def trace_of(self, task: str) -> str:
        """The id of a task's trace, which all its jobs have."""
        rows = self.vibe.rows("SELECT DISTINCT trace FROM jobs WHERE task_id = ?", task)
        assert len(rows) == 1, rows
        return str(rows[0][0]).split("-")[1]

    def one(self, name: str, /, **attributes: Any) -> Seen:
        """The only span like this."""
        (found,) = self.seen.named(name, **attributes)
        return found

    def log(self, task: str, kind: str, *options: str) -> list[dict[str, Any]]:
        """What the command prints of a job's log."""
        ((job_id,),) = self.vibe.rows(
            "SELECT id FROM jobs WHERE task_id = ? AND kind = ?", task, kind
        )
        done = self.vibe.run("jobs", "log", job_id[:8], "--json", *options)
        assert done.code == 0, done.err
        lines: list[dict[str, Any]] = json.loads(done.out)
        return lines


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A plan of two tasks; a pool's process is killed in the first, the whole worker in the
    second.
    """
    folder = tmp_path_factory.mktemp("traced")
    with collector() as seen:
        place = Vibe(
            folder=folder,
            environ={"VIBE_TRACES": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": seen.endpoint,
                     "OTEL_SERVICE_NAME": "plans", "VIBE_LOG_FORMAT": "json"},
        )  # fmt: skip
        ledger = place.home / "ledger.db"
        tasks = [
            {"id": name, "prompt": KILL.format(name=name, ledger=ledger, which=which), **more}
            for name, which, more in (
                ("first", 0, {"checks": ["echo judged && test -f first.txt"]}),
                ("second", -1, {"checks": [], "needs": ["first"]}),
            )
        ]
        plan = make_plan(folder, tasks, deploy={"command": "echo live"})
        done = place.run("run", plan, "--json", "--workers", "1", seconds=170)
        assert outcomes(done.report) == {"first": "deployed", "second": "deployed"}, done.err
        until(lambda: not place.strays(), seconds=60)
        yield Run(place, seen, done.report)


@pytest.mark.timeout(240)
def test_all_spans_of_a_task_are_one_trace(run: Run) -> None:
    """Submit, dispatch, each run, and what happened in it; whoever was killed meanwhile."""
    for task in ("first", "second"):
        submit = run.one("submit", task=task)
        assert (submit.trace, submit.parent, submit.kind) == (run.trace_of(task), "", 4)
        jobs = dict(run.vibe.rows("SELECT id, kind FROM jobs WHERE task_id = ?", task))
        mine = [each for each in run.seen.spans if each.trace == submit.trace]
        assert {each.service for each in mine} == {"plans"}
        ids = {each.id: each for each in mine}
        assert len(ids) == len(mine)
        for each in mine:
            assert each is submit or each.parent in ids, each
            assert each.began <= each.ended
        sent = [each for each in mine if each.name == "dispatch"]
        assert {each.attributes["vibe.job"] for each in sent} == set(jobs)
        runs = [each for each in mine if each.name.startswith("run/")]
        assert {each.name.removeprefix("run/vibe.") for each in runs} == {"dev", "qa", "deploy"}
        for each in [*sent, *runs]:
            assert each.parent == submit.id, each
        for each in runs:
            about = {name.removeprefix("vibe."): of for name, of in each.attributes.items()}
            assert each.kind == 5
            assert jobs[about["job"]] == about["kind"]
            assert (about["task"], about["lane"], about["attempt"] >= 1) == (
                task, {"dev": "code"}.get(about["kind"], about["kind"]), True,
            )  # fmt: skip


@pytest.mark.timeout(240)
def test_an_attempt_that_was_killed_has_its_span(run: Run) -> None:
    """Whoever finds the worker dead writes it, with why; the next attempt is a span beside it."""
    for task in ("first", "second"):
        lost = run.one("run/vibe.dev", task=task, attempt=1)
        again = run.one("run/vibe.dev", task=task, attempt=2)
        assert (lost.status, lost.attributes["vibe.status"]) == (2, "lost")
        assert "gone" in lost.message or "died" in lost.message
        assert (again.status, again.attributes["vibe.status"]) == (1, "completed")
        assert lost.began < again.began


@pytest.mark.timeout(240)
def test_parts_of_a_run_hang_from_it(run: Run) -> None:
    """The agent from the dev run, a check from the qa run, merge and command from the deploy."""
    trace = run.trace_of("first")
    for part, parent in (
        ("agent", "run/vibe.dev"), ("check", "run/vibe.qa"),
        ("merge", "run/vibe.deploy"), ("command", "run/vibe.deploy"),
    ):  # fmt: skip
        found = [each for each in run.seen.named(part) if each.trace == trace]
        parents = [each for each in run.seen.named(parent) if each.trace == trace]
        assert {each.parent for each in found} <= {each.id for each in parents}, part
        assert found


@pytest.mark.timeout(240)
def test_what_a_job_says_is_kept(run: Run) -> None:
    """An agent's output, that of a killed attempt too; what a check ran, said and came to."""
    killed = run.log("first", "dev", "--attempt", "1")
    assert "said before the kill" in [each["text"] for each in killed]
    again = [each["text"] for each in run.log("first", "dev")]
    assert "said before the kill" in again
    assert "and without a line's end" in again
    judged = run.log("first", "qa")
    assert [each["text"] for each in judged] == [
        "$ echo judged && test -f first.txt", "judged", "exit code 0",
    ]  # fmt: skip
    assert {each["logger"] for each in judged} == {"vibe_tasks.output.check"}
    assert all(each["at"] > 1.7e9 for each in judged)


@pytest.mark.timeout(240)
def test_log_lines_tell_of_which_job(run: Run) -> None:
    """Each line of a worker's log is an object; those of a job have its task, plan and trace."""
    text = (run.vibe.home / "logs" / "worker.log").read_text("utf-8")
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    of_jobs = [each for each in lines if each["logger"] == "celery.app.trace"]
    assert of_jobs
    known = dict(run.vibe.rows("SELECT id, task_id FROM jobs"))
    assert {each["job"] for each in of_jobs if "job" in each} & set(known)
    assert all({"timestamp", "level", "event", "process"} <= each.keys() for each in lines)
