"""`vibe events`, and what `vibe plans show` says of priorities, on a real ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.homes import own_home
from tests.plan_jobs import prepared
from vibe_tasks.cli.main import cli
from vibe_tasks.escalation import WEBHOOK
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.store import event_handlers
from vibe_tasks.store.engine import Database
from vibe_tasks.store.event_handlers import Subscription
from vibe_tasks.tasks import resources


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The ledger of a home of its own."""
    with own_home(tmp_path, monkeypatch):
        opened = resources.ledger()
        yield opened


def vibe(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), prog_name="vibe")


def test_handlers_are_listed_and_forgotten(ledger: Database) -> None:
    """Those of functions that are no more can be taken off the list; a misspelt name is refused."""
    assert "no handlers" in vibe("events", "handlers").stdout
    types = frozenset({"TASK_DEAD", "JOB_DEAD"})
    for name, limit in ((WEBHOOK, 40.0), ("billing.note", None)):
        with ledger.begin() as connection:
            one = Subscription(handler=name, lane="control", types=types, time_limit=limit)
            event_handlers.subscribe(connection, one)
    shown = json.loads(vibe("events", "handlers", "--json").stdout)
    assert [each["handler"] for each in shown] == ["billing.note", WEBHOOK]
    assert shown[1]["event_types"] == ["JOB_DEAD", "TASK_DEAD"]
    assert "JOB_DEAD, TASK_DEAD" in vibe("events", "handlers").stdout
    refused = vibe("events", "forget", "billing.not")
    assert (refused.exit_code, "did you mean 'billing.note'" in refused.stderr) == (2, True)
    assert vibe("events", "forget", "billing.note").exit_code == 0
    assert json.loads(vibe("events", "forget", WEBHOOK, "--json").stdout) == {"forgotten": WEBHOOK}
    assert "no handlers" in vibe("events", "handlers").stdout


def test_priorities_are_explained(ledger: Database, tmp_path: Path) -> None:
    """P1: in words, for people and for programs."""
    plan_id = submit_plan(ledger, prepared(tmp_path)).plan_id
    tasks = json.loads(vibe("plans", "show", plan_id, "--json").stdout)["tasks"]
    why = "no files named (normal), raised: on the critical path"
    assert [(each["id"], each["priority"], each["priority_why"]) for each in tasks] == [
        ("a", "high", f"{why}, effort 2 waits for it in a row"), ("b", "high", why),
    ]  # fmt: skip
    assert why in vibe("plans", "show", plan_id).stdout
