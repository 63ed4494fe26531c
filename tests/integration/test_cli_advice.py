"""What commands say where something is missing, and what they leave alone."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.acceptance.plan_folder import make_plan
from tests.archives import JOBS, ended, tidied
from tests.documents import ROOT
from tests.ledgers import claim, middle, new_job, row, submit
from vibe_tasks.cli.main import cli
from vibe_tasks.cli.report import print_report
from vibe_tasks.cli.watching import STARTING, Hints
from vibe_tasks.errors import InputError
from vibe_tasks.flow.plan_source import read_plan
from vibe_tasks.flow.submission import Submission, prepare, submit_plan
from vibe_tasks.store import held, jobs, plans, workers
from vibe_tasks.store.engine import Database
from vibe_tasks.store.version import SCHEMA_VERSION
from vibe_tasks.tasks import resources
from vibe_tasks.workspace.git import git

LONG = "0d782c4c-14a4-49ac-ae5c-433397eb1a72"
CACHES = (resources.settings_with_sources, resources.database, resources.ledger)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder without a ledger, where the next command looks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIBE_HOME", raising=False)
    for cache in CACHES:
        cache.cache_clear()
    yield tmp_path / ".vibe"
    if resources.database.cache_info().currsize:
        resources.database().close()
    for cache in CACHES:
        cache.cache_clear()


@pytest.fixture
def ledger(home: Path) -> Database:
    """The home's ledger."""
    assert not home.exists()
    return resources.ledger()


def vibe(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, list(arguments), prog_name="vibe")


def told(*arguments: str) -> Any:
    """What the command prints with `--json`."""
    result = vibe(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*arguments: str) -> str:
    """The one line with which the command is refused."""
    result = vibe(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.startswith("vibe: ")
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


def at_work(ledger: Database, *lanes: str) -> None:
    """Somebody serves these lanes."""
    known = workers.Registered(worker="w1", host=None, process=None)
    with ledger.begin() as connection:
        workers.register(connection, known, lanes, tier="standard", capacity=1)


def submitted(ledger: Database, folder: Path, *, fresh: bool = False) -> Submission:
    """The plan `work` with one task `a`, in the ledger."""
    source = make_plan(folder, [{"id": "a"}], base="main")
    return submit_plan(
        ledger, prepare(read_plan(source), source, home=resources.home()), fresh=fresh
    )


def dead(ledger: Database, **where: str) -> str:
    """Let the only job fail for the last time; its id."""
    with ledger.read() as connection:
        (job,) = jobs.list_jobs(connection, where=where)
    taken = claim(ledger, job["id"])
    with ledger.begin() as connection:
        jobs.fail_job(connection, job["id"], taken.attempt, "no", uniform=middle, permanent=True)
        if job["plan_id"]:
            plans.set_plan_status(connection, job["plan_id"], "failed")
    return str(job["id"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("plans list", "no plans in {home}"),
        ("dlq list", "no dead letters in {home}"),
        ("workers list", "no workers in {home}"),
        ("status", "no jobs in {home}"),
        ("doctor", "none in {home} yet"),
        ("config", "{home}"),
    ],
)
def test_whoever_only_looks_makes_nothing(home: Path, words: str, said: str) -> None:
    """In a folder without a ledger the place where we looked is named, and none is made there."""
    result = vibe(*words.split())
    assert result.exit_code == 0, result.output
    assert said.format(home=home) in result.stdout
    assert told(*words.split()) is not None
    assert list(home.parent.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        "plans show x",
        "plans cancel x",
        "submit plan.yaml",
        "dlq retry 0d782c4c",
        "db check",
        "db archive",
    ],
)
def test_whoever_looks_in_the_wrong_place_is_told_which(home: Path, words: str) -> None:
    """The home is named; nothing is made."""
    result = vibe(*words.split())
    if words != "db archive":
        assert (result.exit_code, result.stdout) == (2, "")
        assert str(home) in result.stderr
    assert list(home.parent.iterdir()) == []


def test_a_short_beginning_of_an_id_is_refused(ledger: Database) -> None:
    """Less than six characters hit by chance; a whole id may be as short as it likes."""
    submit(ledger, new_job(id=LONG), new_job(id="a"))
    assert told("jobs", "show", LONG[:6])["id"] == LONG
    assert told("jobs", "show", "a")["id"] == "a"
    assert "at least 6 characters" in refused("jobs", "cancel", LONG[:5])
    assert row(ledger, LONG)["status"] == "pending"


@pytest.mark.parametrize(
    ("words", "near"),
    [
        ("jobs list --status zz", "completed"),
        ("jobs list --kind zz", "deploy"),
        ("jobs lst", "vibe jobs --help"),
        ("run", "vibe run --help"),
        ("jobs list --limit no", "vibe jobs list --help"),
        ("plans show", "PLAN"),
    ],
)
def test_a_wrong_command_line_is_one_line(words: str, near: str) -> None:
    """Exit code 2, what is wrong, and where to read on."""
    assert near in refused(*words.split())


def test_all_mistakes_of_a_plan_are_told(home: Path) -> None:
    """A line each, the unknown key first: it explains the one that is missing."""
    path = home.parent / "plan.yaml"
    path.write_text("version: 1\nnmae: x\nagents: {}\ntasks: [{id: a, title: A, effort: 9}]\n")
    result = vibe("run", "plan.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert [line.split(":")[2] for line in lines] == ["2", "1", "4"]
    assert "did you mean 'name'" in lines[0]
    assert all(line.startswith("vibe: plan.yaml:") for line in lines)
    assert not home.exists()


def test_a_downgrade_is_not_done_by_accident(ledger: Database) -> None:
    """Not under workers that are online, and not where nobody can be asked."""
    at_work(ledger, "code")
    assert "online: w1" in refused("db", "downgrade", "--to", "1", "--yes")
    assert "--yes" in refused("db", "downgrade", "--to", "1", "--force")
    with ledger.begin() as connection:
        workers.leave(connection, "w1")
    assert "--yes" in refused("db", "downgrade", "--to", "1", "--json")
    assert told("db", "check")["differences"] == []
    ledger.close()
    for cache in CACHES:  # as in a process of its own
        cache.cache_clear()
    before_and_after = {"before": SCHEMA_VERSION, "after": 1}
    assert told("db", "downgrade", "--to", "1", "--yes") == before_and_after


def test_a_downgrade_asks_on_a_terminal(ledger: Database) -> None:
    """The question is not on standard output, and says how many archived jobs would go; without
    consent nothing changes, exit code 1.
    """
    ended(ledger, "a", "b")
    submit(ledger, new_job(id="c"))
    tidied(ledger, JOBS)
    ours, theirs = pty.openpty()
    os.write(ours, b"n\n")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "vibe_tasks.cli.main", "db", "downgrade", "--to", "1", "--json"],
            stdin=theirs, capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "2 archived jobs" in done.stderr
    assert "Go on?" in done.stderr
    assert done.stderr.rstrip().endswith("nothing changed")
    assert told("db", "check")["differences"] == []


def test_jobs_that_nobody_takes_are_a_warning(ledger: Database) -> None:
    """`status` and `doctor` name the lane, how many wait there, for how long, and what to do."""
    submit(ledger, new_job(lane="pictures"), new_job(lane="pictures"), new_job(lane="code"))
    at_work(ledger, "code")
    (lane,) = told("status")["unserved_lanes"]
    assert (lane["lane"], lane["due"]) == ("pictures", 2)
    assert "warning: lane pictures: 2 jobs due, for" in vibe("status").stdout
    result = vibe("doctor")
    assert result.exit_code == 0, result.output
    (warning,) = (line for line in result.stdout.splitlines() if line.startswith("warn"))
    assert "lane pictures: 2 jobs due, for" in warning
    assert "VIBE_IMPORTS" in result.stdout


def test_a_failed_plan_says_how_its_dead_letters_come_back(ledger: Database, home: Path) -> None:
    """With the id to type; a retry says when nobody is there to do it."""
    plan_id = submitted(ledger, home.parent).plan_id
    job_id = dead(ledger, plan_id=plan_id)
    assert f"vibe dlq retry {job_id[:8]}" in refused("run", "plan.yaml")
    with pytest.raises(InputError, match=r"--fresh \(in Python: fresh=True\)"):
        submitted(ledger, home.parent)
    shown = vibe("plans", "show", "work").stdout
    assert f"vibe dlq retry {job_id[:8]}" in shown
    assert f"vibe jobs show {job_id[:8]}" in shown
    result = vibe("dlq", "retry", job_id[:8])
    assert "no worker is online" in result.stderr
    assert "vibe run" in result.stderr
    dead(ledger, plan_id=plan_id)
    at_work(ledger, "code")
    assert vibe("dlq", "retry", job_id[:8]).stderr == ""


def test_a_changed_file_is_not_said_to_go_on(ledger: Database, home: Path) -> None:
    """Of an ended plan whose file is another now only a fresh start is left."""
    dead(ledger, plan_id=submitted(ledger, home.parent).plan_id)
    plan = home.parent / "plan.yaml"
    plan.write_text(plan.read_text("utf-8").replace('"a"', '"another"'))
    said = refused("run", "plan.yaml")
    assert "has ended (failed) and its file has changed since; --fresh" in said
    assert "dlq retry" not in said


def test_the_line_about_mending_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    """It names every dead letter; what came from the cache is counted."""
    letters = [
        {"job_id": f"job-{n}", "task": "a", "kind": "dev", "attempts": 1, "error": "no"}
        for n in range(25)
    ]
    report: dict[str, Any] = {
        "plan": "work", "outcome": "failed", "seconds": 1.0, "tasks": [], "commit": None,
        "jobs": {"completed": 0, "failed": 25, "cancelled": 0}, "retries": 0, "cost_usd": 0.0,
        "tokens": {"input": 0, "output": 0}, "dead_letters": letters,
        "cache": {"hits": 2, "misses": 0},
    }  # fmt: skip
    print_report(report, repo="repo")
    lines = capsys.readouterr().out.splitlines()
    (mend,) = (line for line in lines if line.startswith("  mend "))
    assert mend.endswith("dlq retry " + " ".join(f"job-{n}" for n in range(25)))
    assert "  cache   2 used again" in lines


def test_a_lane_without_a_worker_is_no_news_while_ours_starts(
    ledger: Database, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said once, and only when whoever was started has had its time."""
    time, said = [0.0], []
    view = SimpleNamespace(look=lambda _ledger: None, say=said.append)
    monkeypatch.setattr(resources, "monotonic", lambda: time[0])
    hints = Hints(ledger, submitted(ledger, home.parent).plan_id, "work", view)
    for moment, count in ((STARTING - 1, 0), (STARTING, 1), (STARTING + 10, 1)):
        time[0] = moment
        assert not hints.ended()
        assert len(said) == count
    assert said == ["no worker serves lane code; its jobs wait"]


def test_a_plan_that_requires_what_no_worker_has_says_so(
    ledger: Database, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that starts such a worker: while somebody watches, once, and later too."""
    source = make_plan(home.parent, [{"id": "a", "required": "gpu"}], base="main")
    made = submit_plan(ledger, prepare(read_plan(source), source, home=resources.home()))
    at_work(ledger, "code")
    with ledger.begin() as connection:
        held.hold_for_worker(connection, [each.id for each in made.following])
    time, asked = [0.0], []
    view = SimpleNamespace(look=lambda _ledger: None, ask=asked.append)
    monkeypatch.setattr(resources, "monotonic", lambda: time[0])
    hints = Hints(ledger, made.plan_id, "work", view, start="vibe run plan.yaml")
    for moment, count in ((STARTING - 1, 0), (STARTING, 1), (STARTING + 10, 1)):
        time[0] = moment
        assert not hints.ended()
        assert len(asked) == count
    line = "no worker of lane code has gpu; start one that has: VIBE_WORKER_LABELS=gpu "
    assert asked == [f"jobs wait: {line}vibe run plan.yaml"]
    assert f"  waits   {line}vibe run plan.yaml\n" in vibe("plans", "show", "work").stdout
    with ledger.begin() as connection:
        known = workers.Registered(worker="w2", host=None, process=None)
        workers.register(
            connection, known, ["code"], tier="standard", capacity=1, labels=["gpu", "host:h"]
        )
    assert told("plans", "show", "work")["waits"] == []


def test_a_discarded_dead_letter_stays_discarded(ledger: Database) -> None:
    """Only `vibe jobs retry`, which takes cancelled jobs too, brings it back."""
    submit(ledger, new_job(id=LONG))
    dead(ledger)
    assert told("dlq", "discard", LONG[:8]) == {"discarded": [LONG]}
    assert "no dead letter" in refused("dlq", "retry", LONG[:8])
    assert row(ledger, LONG)["status"] == "cancelled"


def test_a_plan_that_nobody_works_on_says_so(ledger: Database, home: Path) -> None:
    """And how it goes on; not while somebody is there."""
    submitted(ledger, home.parent)
    shown = vibe("plans", "show", "work").stdout
    assert "nobody works on it" in shown
    assert "vibe run plan.yaml" in shown
    assert told("plans", "show", "work")["workers_online"] is False
    at_work(ledger, "code", "qa", "deploy")
    assert "nobody works on it" not in vibe("plans", "show", "work").stdout


def test_a_replaced_plan_keeps_its_branch_and_its_end(ledger: Database, home: Path) -> None:
    """Its report is not that of its successor."""
    first = submitted(ledger, home.parent).plan_id
    repo = home.parent / "repo"
    tip = git("rev-parse", "vibe/work", cwd=repo)
    with ledger.begin() as connection:
        plans.set_plan_status(connection, first, "completed")
        ended = plans.find_plan(connection, first)["ended_at"]
    second = submitted(ledger, home.parent, fresh=True)
    assert second.set_aside == "vibe/work.1"
    git("commit", "-q", "--allow-empty", "-m", "more", cwd=repo)
    git("branch", "-f", "vibe/work", "HEAD", cwd=repo)
    third = submitted(ledger, home.parent, fresh=True)
    listed = {each["id"]: each["branch"] for each in told("plans", "list")}
    assert listed == {
        first: "vibe/work.1", second.plan_id: "vibe/work.2", third.plan_id: "vibe/work",
    }  # fmt: skip
    shown = told("plans", "show", first)
    assert (shown["outcome"], shown["branch"], shown["commit"]) == ("replaced", "vibe/work.1", tip)
    with ledger.read() as connection:
        assert plans.find_plan(connection, first)["ended_at"] == ended
        assert plans.find_plan(connection, second.plan_id)["ended_at"] is not None
    git("branch", "-D", "vibe/work", cwd=repo)
    submitted(ledger, home.parent, fresh=True)
    assert told("plans", "show", third.plan_id)["commit"] is None
