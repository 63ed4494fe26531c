"""`vibe jobs claim`, `heartbeat`, `complete`, `fail`: workers that are scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.documents import ROOT, blocks
from tests.homes import own_home
from tests.ledgers import backdate, new_job, row, submit
from tests.processes import unmeasured
from vibe_tasks.cli.main import cli
from vibe_tasks.store import lanes
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import resources


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The ledger of a home of its own, which the command uses too."""
    with own_home(tmp_path, monkeypatch):
        yield resources.ledger()


def vibe(*arguments: str, stdin: str | bytes | None = None) -> Result:
    """Run `vibe jobs …` in this process."""
    return CliRunner().invoke(cli, ["jobs", *arguments], input=stdin, prog_name="vibe")


def claimed(*arguments: str) -> dict[str, Any]:
    """The claim that the command prints."""
    result = vibe("claim", *arguments, "--json")
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def refused(result: Result, exit_code: int) -> str:
    """The one line on standard error with which a command ended."""
    assert (result.exit_code, result.stdout) == (exit_code, ""), result.output
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


def test_without_a_job_nothing_is_printed(ledger: Database) -> None:
    """A script sees it by the exit code, waited or not."""
    submit(ledger, new_job(lane="other"))
    for arguments in (["mine"], ["mine", "--wait", "0.05"], ["mine", "--json"]):
        result = vibe("claim", *arguments)
        assert (result.exit_code, result.output) == (1, "")


def test_a_claim_has_all_that_a_worker_needs(ledger: Database) -> None:
    """Its JSON names the job, the attempt, the arguments and the end of the lease."""
    submit(ledger, new_job(id="first", name="report", lane="second", args=(1,), kwargs={"a": None}))
    told = claimed("first", "second", "--worker", "script", "--lease", "600")
    expected = {"id": "first", "attempt": 1, "name": "report", "lane": "second", "worker": "script"}
    assert told.items() >= expected.items()
    assert (told["args"], told["kwargs"]) == ([1], {"a": None})
    taken = row(ledger, "first")
    assert told["lease_until"] == taken["lease_until"]
    assert taken["lease_until"] > taken["started_at"] + 500


def test_a_job_goes_its_way(ledger: Database) -> None:
    """Claimed, kept, failed, claimed again, and completed with what came on standard input."""
    submit(ledger, new_job(id="abcdefgh", lane="mine"))
    assert vibe("claim", "mine").stdout.startswith("claimed abcdefgh attempt 1: test.add, until ")
    kept = json.loads(
        vibe("heartbeat", "abcdef", "--attempt", "1", "--lease", "9", "--json").stdout
    )
    assert kept == {"job_id": "abcdefgh", "lease_until": row(ledger, "abcdefgh")["lease_until"]}
    failed = vibe("fail", "abcdef", "--attempt", "1", "--error", "no paper", "--retry-after", "0")
    assert (failed.exit_code, failed.stdout) == (0, "failed abcdefgh: it will run again\n")
    assert claimed("mine")["attempt"] == 2
    done = vibe("complete", "abcdef", "--attempt", "2", "--result", "-", stdin='{"pages": 2}\n')
    assert (done.exit_code, done.stdout) == (0, "completed abcdefgh\n")
    assert row(ledger, "abcdefgh")["result"] == {"pages": 2}


@pytest.mark.parametrize("permanent", [True, False])
def test_the_last_failure_is_said_to_be_it(ledger: Database, *, permanent: bool) -> None:
    """By a line, and as JSON for a script."""
    submit(ledger, new_job(id="dead", lane="mine", max_retries=5 if permanent else 1))
    claimed("mine")
    more = ["--permanent"] if permanent else []
    result = vibe("fail", "dead", "--attempt", "1", "--error", "x", "--json", *more)
    assert json.loads(result.stdout) == {"job_id": "dead", "will_retry": False}
    assert row(ledger, "dead")["status"] == "failed"


def test_an_attempt_that_is_over_is_refused(ledger: Database) -> None:
    """Every command says so in one line, and the exit code is 1."""
    submit(ledger, new_job(id="gone", lane="mine"))
    claimed("mine")
    for command in (["heartbeat"], ["complete"], ["fail", "--error", "x"]):
        said = refused(vibe(command[0], "gone", "--attempt", "7", *command[1:]), 1)
        assert "attempt 7 of job gone is over" in said
    assert row(ledger, "gone")["status"] == "processing"


def test_what_cannot_be_is_refused(ledger: Database) -> None:
    """Bad JSON, unknown jobs and wrong lanes: one line, exit code 2, and nothing is written."""
    submit(ledger, new_job(id="held", lane="mine"))
    claimed("mine")
    one = ("--attempt", "1")
    assert "no JSON" in refused(vibe("complete", "held", *one, "--result", "{x"), 2)
    assert "no JSON" in refused(vibe("complete", "held", *one, "--result", "NaN"), 2)
    for command in (["heartbeat"], ["complete"], ["fail", "--error", "x"]):
        assert "no job nobody" in refused(vibe(command[0], "nobody", *one, *command[1:]), 2)
    assert row(ledger, "held")["status"] == "processing"


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "1e300"])
def test_times_that_cannot_be_are_refused(ledger: Database, seconds: str) -> None:
    """Of a lease, a wait, and a pause before the next attempt: nothing is claimed or written."""
    submit(ledger, new_job(id="held", lane="mine"), new_job(id="free", lane="other"))
    claimed("mine")
    one = ("--attempt", "1")
    for option in ("--lease", "--wait"):
        assert option in refused(vibe("claim", "other", f"{option}={seconds}"), 2)
    assert "--lease" in refused(vibe("heartbeat", "held", *one, f"--lease={seconds}"), 2)
    later = ("--error", "x", f"--retry-after={seconds}")
    assert "--retry-after" in refused(vibe("fail", "held", *one, *later), 2)
    assert (row(ledger, "held")["status"], row(ledger, "free")["status"]) == (
        "processing", "pending",
    )  # fmt: skip


def test_input_out_of_all_bounds_is_refused(ledger: Database) -> None:
    """An attempt that no column holds, JSON without an end, bytes that are no text, no lane."""
    submit(ledger, new_job(id="held", lane="mine"))
    claimed("mine")
    assert "--attempt" in refused(vibe("heartbeat", "held", "--attempt", "9" * 20), 2)
    one = ("complete", "held", "--attempt", "1", "--result", "-")
    assert "no JSON" in refused(vibe(*one, stdin="[" * 200_000), 2)
    assert "no JSON" in refused(vibe(*one, stdin=b"\xff\xfe"), 2)
    assert "lane" in refused(vibe("claim", "no lane"), 2)
    assert row(ledger, "held")["status"] == "processing"


def test_show_says_why_a_job_waits(ledger: Database) -> None:
    """For its time, for its lane, for a worker, or for other work."""
    submit(ledger, new_job(id="later", delay=3600.0), new_job(id="blocked", blocked=True))
    submit(ledger, new_job(id="ready", lane="nobodys"), new_job(id="paused", lane="mine"))
    with ledger.begin() as connection:
        lanes.pause(connection, "mine")
    assert vibe("claim", "mine").exit_code == 1

    def why(job_id: str) -> str:
        return str(json.loads(vibe("show", job_id, "--json").stdout)["waits"])

    assert why("later").startswith("until ")
    assert "other work" in why("blocked")
    assert why("ready") == "no worker serves lane nobodys"
    backdate(ledger, "later", ["backoff_until"], 1)
    claimed("nobodys")
    assert why("ready") == "None"
    assert "waits     no worker" not in vibe("show", "ready").stdout


def test_the_shell_script_of_the_documents_works(ledger: Database, tmp_path: Path) -> None:
    """It does the jobs of its lane, tells failures, keeps its leases, and ends when told."""
    (script,) = [each.text for each in blocks("bash") if "vibe jobs claim" in each.text]
    (tmp_path / "vibe").write_text(
        f'#!/bin/sh\nexec {sys.executable} -m vibe_tasks.cli.main "$@"\n'
    )
    (tmp_path / "vibe").chmod(0o755)
    (tmp_path / "worker.sh").write_text(script)
    (tmp_path / "paper.txt").write_text("one two three\n")
    submit(
        ledger,
        new_job(id="good", name="count-words", lane="reports", args=("paper.txt",)),
        new_job(id="bad", name="count-words", lane="reports", args=("none.txt",), max_retries=1),
    )
    environ = unmeasured(os.environ) | {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        "UNTIL_IDLE": "0",
    }  # fmt: skip
    subprocess.run(
        ["bash", "worker.sh"], cwd=tmp_path, env=environ, timeout=120, check=True, text=True
    )
    assert row(ledger, "good")["result"] == {"words": 3}
    assert row(ledger, "bad")["status"] == "failed"
