"""`vibe health`: one question, one line, one exit code."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.homes import forget, own_home
from tests.ledgers import backdate, new_job, submit
from vibe_tasks.cli.main import cli
from vibe_tasks.store import upkeep, workers
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import resources

ME = f"celery@{socket.gethostname()}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home without a ledger."""
    with own_home(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def ledger(home: Path) -> Database:  # noqa: ARG001
    """An empty ledger in it."""
    return resources.ledger()


def health(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, ["health", *arguments], prog_name="vibe")


def test_without_a_ledger_nothing_is_at_work(home: Path):
    """Asking makes none."""
    for part, said in (("worker", f"{ME} has not registered"), ("beat", "was ever done"),
                       ("ledger", "there is none"), ("broker", "does not answer")):  # fmt: skip
        result = health(part)
        assert (result.exit_code, result.output.count("\n")) == (1, 1)
        assert result.output.startswith(f"{part}: not healthy, ")
        assert said in result.output
    assert not (home / "ledger.db").exists()


def test_a_worker_is_healthy_while_it_beats(ledger: Database):
    """Also one that drains; not one that is silent or has left. The age is told."""
    known = workers.Registered(worker=ME, host=None, process="p")
    with ledger.begin() as connection:
        workers.register(connection, known, ["code", "qa"], tier="standard", capacity=1)
    assert health("worker").exit_code == 0
    with ledger.begin() as connection:
        workers.drain(connection, ME)
    assert "is draining" in health("worker").output
    with ledger.begin() as connection:
        connection.exec_driver_sql("UPDATE worker_health SET last_seen = last_seen - 20")
    late = health("worker", "--json")
    found = json.loads(late.output)
    assert (late.exit_code, found["healthy"], found["part"]) == (1, False, "worker")
    assert found["age"] == pytest.approx(20, abs=5)
    assert health("worker", "--max-age", "60").exit_code == 0
    with ledger.begin() as connection:
        workers.leave(connection, ME)
    assert "is offline" in health("worker", "--max-age", "60").output


def test_beat_is_healthy_while_its_ticks_are_worked_off(ledger: Database):
    """Half a minute is enough for another beat to take over."""
    with ledger.begin() as connection:
        now = upkeep.last_look(connection, "dispatch").now
        upkeep.keep_look(connection, "dispatch", at=now - 25, patient_until=now)
    assert health("beat").exit_code == 0
    assert health("beat", "--max-age", "20").exit_code == 1


def test_a_dispatcher_is_healthy_while_nothing_due_lies_about(ledger: Database):
    """It may be beat's or a process of its own: what counts is that the work is sent."""
    assert health("dispatcher").exit_code == 0
    submit(ledger, new_job(id="a"))
    assert health("dispatcher").exit_code == 0
    backdate(ledger, "a", ["status_updated_at"], 30)
    assert health("dispatcher").exit_code == 1


def test_a_ledger_of_another_version_is_not_healthy(ledger: Database):
    """What waits with `vibe health ledger` for a migration waits for the right one."""
    assert health("ledger").output.startswith("ledger: healthy, schema ")
    with ledger.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    resources.ledger.cache_clear()
    assert health("ledger").exit_code == 1


def test_wrong_settings_are_no_illness(home: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: ARG001
    """Exit code 2, as ever: a probe that restarts would mend nothing."""
    monkeypatch.setenv("VIBE_LEASE_SECONDS", "soon")
    forget()
    assert health("broker").exit_code == 2
