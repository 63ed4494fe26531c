"""`vibe plans approve`: what waits is shown, and exactly that is let go on."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.homes import own_home
from tests.ledgers import row
from tests.plan_jobs import prepared, to_deploy
from tests.processes import unmeasured
from vibe_tasks.cli.main import cli
from vibe_tasks.cli.plain import QuietView
from vibe_tasks.cli.program import program
from vibe_tasks.cli.watching import Hints
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.store import events
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import resources

ROOT = Path(__file__).parents[2]
PARALLEL = [{"id": "a", "prompt": "a"}, {"id": "b", "prompt": "b"}]


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The ledger of a home of its own."""
    with own_home(tmp_path, monkeypatch):
        yield resources.ledger()


@pytest.fixture
def plan_id(ledger: Database, tmp_path: Path) -> str:
    """A plan of two tasks whose deploys are approved by hand."""
    ready = prepared(tmp_path, tasks=PARALLEL, deploy={"approval": "manual"})
    return submit_plan(ledger, ready).plan_id


def vibe(*arguments: str) -> Result:
    """Run the command in this process, where nobody can be asked."""
    return CliRunner().invoke(cli, ["plans", "approve", *arguments], prog_name="vibe")


def test_what_waits_is_shown_and_approved(ledger: Database, plan_id: str, tmp_path: Path) -> None:
    """`--diff` approves nothing; what does not wait is refused in one line."""
    assert "no deploy that waits" in vibe("todo").output
    job_id = to_deploy(ledger, tmp_path, "a")
    shown = vibe("todo", "--diff")
    assert shown.exit_code == 0
    assert "+I am a\N{REPLACEMENT CHARACTER}[31m" in shown.stdout
    assert "\x1b[31m" not in shown.stdout
    told: dict[str, Any] = json.loads(vibe(plan_id, "a", "--diff", "--json").stdout)
    assert [(each["task_id"], each["job_id"]) for each in told["waiting"]] == [("a", job_id)]
    assert "+I am a" in told["waiting"][0]["diff"]
    assert row(ledger, job_id)["status"] == "blocked"

    refused = vibe("todo", "b")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "task b of plan todo has no deploy that waits for an approval" in refused.stderr

    assert json.loads(vibe("todo", "--json").stdout)["approved"] == [job_id]
    assert row(ledger, job_id)["status"] == "pending"
    assert vibe("todo").exit_code == 2


def test_a_deploy_that_begins_to_wait_says_so(
    ledger: Database, plan_id: str, tmp_path: Path
) -> None:
    """By an event, for whoever is to be told."""
    job_id = to_deploy(ledger, tmp_path, "a")
    with ledger.read() as connection:
        found = events.recent(connection, session=plan_id)
    asked = [each for each in found if each["hook_event_type"] == "APPROVAL_NEEDED"]
    assert [(each["payload"]["task"], each["payload"]["job_id"]) for each in asked] == [
        ("a", job_id)
    ]


def test_who_runs_the_plan_again_is_told_at_once(
    ledger: Database, plan_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Although other work is left, and by one line; again when nothing else is left."""
    job_id = to_deploy(ledger, tmp_path, "a")
    hints = Hints(ledger, plan_id, "todo", QuietView())
    assert [hints.ended(), hints.ended()] == [False, False]
    approve = f"{program()} plans approve todo"
    assert capsys.readouterr() == ("", f"1 task waiting for your approval: {approve}\n")
    to_deploy(ledger, tmp_path, "b")
    assert [hints.ended(), hints.ended()] == [False, False]
    assert capsys.readouterr().err == f"2 tasks waiting for your approval: {approve}\n"
    shown = CliRunner().invoke(cli, ["jobs", "show", job_id, "--json"]).stdout
    assert json.loads(shown)["waits"] == f"for an approval: {approve} a"


@pytest.mark.parametrize(("answer", "becomes"), [("n\n", "blocked"), ("y\n", "pending")])
def test_on_a_terminal_a_person_is_asked(
    ledger: Database, plan_id: str, tmp_path: Path, answer: str, becomes: str
) -> None:
    """After the change was shown; what comes to wait while they think is not approved with it."""
    first = to_deploy(ledger, tmp_path, "a")
    main, terminal = pty.openpty()
    environ = {**unmeasured(os.environ), "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "vibe_tasks.cli.main", "plans", "approve", plan_id]
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env=environ
    ) as process:
        os.close(terminal)
        said = ""
        while "[y/N]" not in said:
            said += os.read(main, 4096).decode()
        second = to_deploy(ledger, tmp_path, "b")
        os.write(main, answer.encode())
        assert process.wait(60) == 0
    os.close(main)
    assert "+I am a" in said
    assert "approve the deploy of a?" in said
    assert row(ledger, first)["status"] == becomes
    assert row(ledger, second)["status"] == "blocked"
