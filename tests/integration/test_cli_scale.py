"""`vibe scale` on a real ledger, with a fleet of virtual workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.ledgers import new_job, submit
from vibe_tasks.cli.main import cli
from vibe_tasks.store import fleet
from vibe_tasks.store.engine import Database
from vibe_tasks.store.workers import list_workers
from vibe_tasks.tasks import resources

CACHES = (resources.settings_with_sources, resources.database, resources.ledger)


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The ledger of a home of its own, whose lane `code` is scaled."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIBE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VIBE_FLEET", "code=virtual:1:4")
    _forget()
    opened = resources.ledger()
    yield opened
    opened.close()
    _forget()


def _forget() -> None:
    for cache in CACHES:
        cache.cache_clear()


def vibe(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, ["scale", *arguments], prog_name="vibe")


def names(ledger: Database) -> set[str]:
    """The registry."""
    with ledger.read() as connection:
        return {row["worker_id"] for row in list_workers(connection)}


def test_a_check_says_why_and_does_nothing_unless_told_to(ledger: Database):
    """With --apply it does what beat's check does, and the history has it."""
    submit(ledger, *(new_job() for _ in range(14)))
    said = vibe("check")
    assert said.exit_code == 0, said.output
    assert "at least 1" in said.output
    assert names(ledger) == set()
    assert "no decisions" in vibe("history").output
    (found,) = json.loads(vibe("check", "--apply", "--json").stdout)
    assert (found["before"], found["target"], found["applied"]) == (0, 1, 1)
    assert found["load"]["waiting"] == 14
    assert names(ledger) == {"@code-auto-1"}
    (row,) = json.loads(vibe("history", "--lane", "code", "--json").stdout)
    assert (row["provisioner"], row["applied"], row["error"]) == ("virtual", 1, None)
    assert "state" not in row["figures"]
    assert "at least 1" in vibe("history").output
    assert "no decisions" in vibe("history", "--lane", "qa").output


def test_a_lane_that_is_taken_from_the_fleet_loses_its_workers(
    ledger: Database, monkeypatch: pytest.MonkeyPatch
):
    """What the fleet has registered goes, what a person has registered by hand stays."""
    vibe("check", "--apply")
    with ledger.begin() as connection:
        fleet.want(connection, "@qa-auto-1", "qa", slots=3, status="online")
    monkeypatch.delenv("VIBE_FLEET")
    resources.settings_with_sources.cache_clear()
    (found,) = json.loads(vibe("check", "--apply", "--json").stdout)
    assert (found["lane"], found["applied"]) == ("code", 0)
    assert found["reason"] == "no longer under the fleet's control"
    assert names(ledger) == {"@qa-auto-1"}
    assert json.loads(vibe("check", "--apply", "--json").stdout) == []
    assert "VIBE_FLEET is not set" in vibe("check").output


def test_a_lane_that_nobody_has_served_may_be_misspelt(
    ledger: Database, monkeypatch: pytest.MonkeyPatch
):
    """A note beside the decision; none where a job waits in it or a worker was there."""
    monkeypatch.setenv("VIBE_FLEET", "kode=virtual:0:3")
    resources.settings_with_sources.cache_clear()
    checked = vibe("check")
    assert (checked.exit_code, checked.stderr.count("\n")) == (0, 1)
    assert "no worker has served lane kode yet" in checked.stderr
    submit(ledger, new_job(lane="kode"))
    assert vibe("check").stderr == ""


def test_a_provisioner_that_fails_is_an_exit_code(
    ledger: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """And a line that says what to do; the other lanes go on."""
    monkeypatch.setenv("VIBE_FLEET", "qa=kubernetes:1:2,code=virtual:2:4")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    resources.settings_with_sources.cache_clear()
    said = vibe("check", "--apply")
    assert said.exit_code == 1
    assert "no access to a Kubernetes cluster" in said.output
    assert names(ledger) == {"@code-auto-1", "@code-auto-2"}
