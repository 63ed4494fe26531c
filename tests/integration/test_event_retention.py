"""What the ledger keeps of events, and what goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from tests.homes import own_home
from vibe_tasks.cli.main import cli
from vibe_tasks.protocol import NewEvent
from vibe_tasks.settings import Settings
from vibe_tasks.store import event_query, event_retention, event_rules, events
from vibe_tasks.store.engine import Database, server_time
from vibe_tasks.store.event_retention import Trimmed
from vibe_tasks.store.event_rules import EventRules
from vibe_tasks.tasks.event_trimming import TrimmingTurns, trim_events

DAY_MS = 86_400_000
KEEP_ALL = EventRules(priority_days=0, regular_days=0, priority_keep=0, regular_keep=0)


def fill(database: Database, count: int, **fields: Any) -> None:
    """So many events, every fifth of level 1, every tenth of level 2."""
    kinds = ["JOB_DEAD", "x", "x", "x", "x", "Stop", "x", "x", "x", "x"]
    new = [
        NewEvent(
            source_app="app", session_id="s", hook_event_type=kinds[n % 10], payload={},
            **({"timestamp": n} | fields),
        )
        for n in range(count)
    ]  # fmt: skip
    with database.begin() as connection:
        events.ingest(connection, new, EventRules())


def kept(database: Database) -> list[tuple[int, int]]:
    """Id and level of what is there."""
    with database.read() as connection:
        found = event_query.after(connection, 0, limit=10_000)
    return [(row["id"], row["priority"]) for row in found]


def trim(database: Database, **rules: Any) -> Trimmed:
    chosen = {"priority_days": 0, "regular_days": 0, "priority_keep": 0, "regular_keep": 0} | rules
    return event_retention.trim(database, EventRules(**chosen), batch=7)


def test_each_bucket_keeps_its_newest(database: Database) -> None:
    """Exactly as many as its rule says, the oldest by time go first; a bound of 0 is none."""
    fill(database, 100)
    assert event_retention.trim(database, KEEP_ALL) == Trimmed()
    assert trim(database, regular_keep=30, priority_keep=15) == Trimmed(priority=5, regular=50)
    left = kept(database)
    assert [each for each, level in left if level] == list(range(26, 101, 5))
    assert len([each for each, level in left if not level]) == 30
    assert min(each for each, level in left if not level) > 60
    assert trim(database, regular_keep=30, priority_keep=15) == Trimmed()
    with database.read() as connection:
        assert event_query.trimmed_until(connection) == 63
    fill(database, 1)
    assert kept(database)[-1][0] == 101  # no id comes back


def test_events_of_one_time_are_counted_all_the_same(database: Database) -> None:
    """Somebody whose clock stands still fills no disk."""
    fill(database, 60, timestamp=5)
    assert trim(database, regular_keep=10, priority_keep=3) == Trimmed(priority=9, regular=38)
    left = kept(database)
    assert [each for each, level in left if level] == [46, 51, 56]
    assert [each for each, level in left if not level][-1] == 60


def test_what_is_old_goes(database: Database) -> None:
    """By its own time, and only if it has been here for as long: old events that are brought in
    stay for a while. Each bucket has its age.
    """
    moment = int(server_time(database) * 1000)
    fill(database, 20, timestamp=moment - 10 * DAY_MS)
    fill(database, 10, timestamp=moment)
    with database.begin():  # who looks past a million of these makes no writer wait
        assert trim(database, regular_days=7, priority_days=7) == Trimmed()
    with database.begin() as connection:
        connection.execute(text("UPDATE events SET received_at = received_at - 691200"))  # 8 days
        connection.execute(text("UPDATE events SET received_at = NULL WHERE id = 2"))
    assert trim(database, regular_days=7, priority_days=9) == Trimmed(regular=16)
    assert trim(database, priority_days=7) == Trimmed(priority=4)
    assert [each for each, _ in kept(database)] == list(range(21, 31))


def test_a_few_batches_at_a_time(database: Database) -> None:
    """The rest is for the next turn; others get theirs in between."""
    fill(database, 100)
    pauses: list[None] = []
    rules = EventRules(regular_keep=10)
    done = event_retention.trim(
        database, rules, pause=lambda: pauses.append(None), most=3, batch=10
    )
    assert done == Trimmed(regular=30, more=True)
    assert len(kept(database)) == 70
    assert len(pauses) == 2
    assert event_retention.trim(database, rules, most=3, batch=10) == Trimmed(regular=30, more=True)
    assert event_retention.trim(database, rules, most=3, batch=10) == Trimmed(regular=10)
    assert len(kept(database)) == 30


def test_the_dispatcher_takes_turns(database: Database) -> None:
    """Every minute, and at once where more is left; what was set at run time holds without a
    restart.
    """
    fill(database, 100)
    moment = [0.0]
    settings = Settings(events_regular_keep=70)
    turns = TrimmingTurns(
        database, settings, monotonic=lambda: moment[0], pause=lambda _: None, most=4
    )
    assert turns.take() is None
    moment[0] = 60.0
    assert turns.take() == Trimmed(regular=10)
    assert turns.take() is None
    with database.begin() as connection:
        event_rules.set_rule(connection, "regular_keep", 20)
    moment[0] = 120.0
    assert turns.take() == Trimmed(regular=50)
    with database.begin() as connection:
        event_rules.set_rule(connection, "regular_keep", 5)
    done = trim_events(database, settings, pause=lambda _: None, most=1)
    assert done == Trimmed(regular=15, more=True)
    moment[0] = 180.0
    few = TrimmingTurns(
        database, settings, monotonic=lambda: moment[0], pause=lambda _: None, every=0.0, most=0
    )
    assert (few.take(), few.take()) == (Trimmed(more=True), Trimmed(more=True))


def test_rules_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shown with what the settings say, set, given back; what is wrong is one line. Only setting
    one makes a ledger.
    """

    def run(*words: str) -> Any:
        done = CliRunner().invoke(cli, ["events", "rules", *words, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    monkeypatch.setenv("VIBE_EVENTS_REGULAR_KEEP", "500")
    with own_home(tmp_path, monkeypatch) as home:
        assert [each["name"] for each in run()] == list(event_rules.NAMES)
        assert run("regular_keep") == {
            "name": "regular_keep", "value": 500, "setting": 500, "changed": False,
        }  # fmt: skip
        assert not home.exists()
        assert run("regular_keep", "20")["value"] == 20
        assert run("regular_days", "0.5")["value"] == 0.5
        assert run("priorities", "Stop=0,Mine=3")["value"] == {"Stop": 0, "Mine": 3}
        assert [each["name"] for each in run() if each["changed"]] == [
            "regular_keep", "regular_days", "priorities",
        ]  # fmt: skip
        table = CliRunner().invoke(cli, ["events", "rules"]).stdout
        assert "Mine=3,Stop=0" in table
        assert "as designed" in table
        assert run("regular_keep", "default")["value"] == 500
        for words, line in {
            ("regular_kep", "1"): "did you mean 'regular_keep'",
            ("regular_keep", "some"): "regular_keep must be a whole number, got 'some'",
            ("regular_days", "nan"): "regular_days must be from 0 to 36500, got nan",
            ("priorities", "Stop"): "use TYPE=LEVEL",
            ("nonsense",): "no rule 'nonsense'",
        }.items():
            done = CliRunner().invoke(cli, ["events", "rules", *words])
            assert (done.exit_code, line in done.stderr) == (2, True), done.output
