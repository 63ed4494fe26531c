"""`vibe jobs explain` on a real ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.homes import own_home
from tests.ledgers import new_job, submit
from vibe_tasks.cli.main import cli
from vibe_tasks.store import held, jobs, lanes, workers
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import resources


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A ledger with a senior and two other workers of lane `code`, one of them full."""
    with own_home(tmp_path, monkeypatch):
        opened = resources.ledger()
        register(opened, "old@h", tier="senior", capacity=1, labels=["gpu"])
        register(opened, "w@h", tier="standard", capacity=4)
        register(opened, "full@h", tier="standard", capacity=2, active=2, labels=["gpu"])
        yield opened


def register(ledger: Database, name: str, *, active: int = 0, **values: Any) -> None:
    """A worker of lane `code`."""
    with ledger.begin() as connection:
        known = workers.Registered(worker=name, host="h", process=name)
        workers.register(connection, known, ["code"], **values)
        workers.beat(connection, name, active=active)


def explain(job_id: str, *options: str) -> str:
    """What the command prints."""
    result = CliRunner().invoke(cli, ["jobs", "explain", job_id, *options], prog_name="vibe")
    assert result.exit_code == 0, result.output
    return result.stdout


def explained(job_id: str) -> dict[str, Any]:
    """The same as JSON."""
    found: dict[str, Any] = json.loads(explain(job_id, "--json"))
    return found


def test_a_waiting_job_shows_each_candidate_and_term(ledger: Database) -> None:
    """And the choice as of now, with who is no candidate and why."""
    submit(ledger, new_job(id="hard", effort=4, labels={"gpu": 5, "ssd": 3}))
    found = explained("hard")
    assert found["decision"] == {
        "choice": "old@h",
        "why": "the best score of 2 workers with a free slot",
        "candidates": [
            {
                "worker": "old@h",
                "score": 65,
                "terms": {"free slots": 10, "tier": 50, "priority": 0, "label gpu": 5},
            },
            {
                "worker": "w@h",
                "score": 20,
                "terms": {"free slots": 40, "tier": -20, "priority": 0},
            },
        ],
    }
    assert found["others"] == [{"worker": "full@h", "why": "full, 2 of 2"}]
    assert found["decided"] == "now"
    assert found["waits"] == "for a free worker"
    text = explain("hard")
    assert "decided   now: old@h, the best score of 2 workers with a free slot\n" in text
    assert "asks for  +5 for gpu; +3 for ssd\n" in text
    assert "CANDIDATE  SCORE  FREE SLOTS  TIER  PRIORITY  LABEL GPU\n" in text
    assert "w@h        20     40          -20   0         -\n" in text


def test_why_it_waits_is_told(ledger: Database) -> None:
    """For a label that nobody has, a worker that is full, a paused lane, a moment."""
    submit(ledger, new_job(id="a", required=("tpu",)), new_job(id="b", required=("gpu",)))
    submit(ledger, new_job(id="c"), new_job(id="d", delay=600))
    with ledger.begin() as connection:
        held.hold_for_worker(connection, ["a", "b"])
        workers.drain(connection, "old@h")
        lanes.pause(connection, "code")
        assert jobs.claim(connection, "c", worker="w@h", lease=9) is None
    assert explained("a")["waits"] == "no worker of lane code has tpu"
    assert explained("a")["decision"]["why"] == "no worker with tpu"
    assert {each["why"] for each in explained("a")["others"]} == {"it drains", "it has no tpu"}
    assert explained("b")["decision"] == {
        "choice": None, "why": "the only worker with gpu is full", "candidates": [],
    }  # fmt: skip
    assert explained("c")["waits"] == "lane code is paused"
    assert explained("d")["waits"].startswith("until ")
    assert "decided   now: no worker, the only worker with gpu is full\n" in explain("b")


def test_a_started_job_shows_what_was_recorded(ledger: Database) -> None:
    """Whatever the workers look like now; and of a job that nobody routed, who ran it."""
    submit(ledger, new_job(id="routed"), new_job(id="claimed"))
    why = {"choice": "gone@h", "why": "the only worker with a free slot", "candidates": []}
    with ledger.begin() as connection:
        assert jobs.claim(connection, "routed", worker="w@h", lease=9, routing=why)
        assert jobs.claim(connection, "claimed", worker="w@h", lease=9)
    found = explained("routed")
    assert (found["decided"], found["decision"], found["worker"]) == (
        "when it was sent", why, "w@h",
    )  # fmt: skip
    assert "decided   when it was sent: gone@h, the only worker" in explain("routed")
    assert explained("claimed")["decision"] is None
    assert "worker    w@h\n" in explain("claimed")
