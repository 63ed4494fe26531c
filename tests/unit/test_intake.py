"""Events on their way into the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest

from vibe_tasks.errors import UnavailableError
from vibe_tasks.protocol import NewEvent
from vibe_tasks.settings import Settings
from vibe_tasks.store.engine import open_database
from vibe_tasks.web import intake as intake_module
from vibe_tasks.web.hub import Hub
from vibe_tasks.web.intake import (
    ON_FILE,
    ON_SERVER,
    Intake,
    IntakeFullError,
    Pace,
    Rows,
    open_intake,
)


def event(name: str) -> NewEvent:
    """An event of this type."""
    return NewEvent(source_app="a", session_id="s", hook_event_type=name, payload={})


class Ledger:
    """Stores events in a list, once it is let; refuses those of the types that it is told."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.open = Event()
        self.entered = Event()
        self.refused: dict[str, BaseException] = {}

    def store(self, events: Sequence[NewEvent]) -> Rows:
        """Write these, once it is open."""
        self.entered.set()
        assert self.open.wait(60)
        names = [each.hook_event_type for each in events]
        for name in names:
            if name in self.refused:
                raise self.refused[name]
        self.groups.append(names)
        return tuple({"hook_event_type": name} for name in names)


@contextmanager
def running(ledger: Ledger, **more: Any) -> Iterator[Intake]:
    """An intake that writes to this ledger."""
    intake = Intake(ledger.store, **more)
    asyncio.run(intake.start())
    try:
        yield intake
    finally:
        ledger.open.set()
        asyncio.run(intake.stop())


def put(intake: Intake, *names: str, size: int = 10) -> Any:
    """Give events of these types in."""
    return intake.put([event(name) for name in names], size=size)


def test_what_waits_is_written_together_and_in_order() -> None:
    """While one commit is under way, all that comes waits for the next one, and each caller gets
    its own rows.
    """
    ledger, commits = Ledger(), []
    with running(ledger, stored=lambda: commits.append(1)) as intake:
        first = put(intake, "a")
        assert ledger.entered.wait(60)
        others = [put(intake, "b", "c"), put(intake, "d")]
        ledger.open.set()
        found = [[row["hook_event_type"] for row in each.result(60)] for each in (first, *others)]
    assert found == [["a"], ["b", "c"], ["d"]]
    assert ledger.groups == [["a"], ["b", "c", "d"]]
    assert len(commits) == 2


def test_the_more_is_written_the_longer_others_have_their_turn() -> None:
    """Within bounds; and where more waits than one commit takes, it is soon written."""
    pace = Pace(most=32, for_one=0.0005, shortest=0.004, longest=0.008)
    pauses = [pace.pause(*each) for each in ((1, 0), (10, 0), (12, 32), (30, 0), (32, 33))]
    assert pauses == [0.004, 0.005, 0.006, 0.008, 0.004]
    assert [pace.take(waiting) for waiting in (1, 128, 129)] == [32, 32, 256]


def test_the_pace_is_that_of_the_ledger(sqlite_url: str) -> None:
    """On SQLite claims wait for commits, on PostgreSQL for none."""
    file, server = open_database(sqlite_url), open_database("postgresql+psycopg:///nowhere")
    settings, hub = Settings(), Hub.__new__(Hub)
    assert open_intake(settings, file, hub).pace is ON_FILE
    assert open_intake(settings, server, hub).pace is ON_SERVER


def test_a_commit_is_bounded_by_number_and_by_bytes() -> None:
    """Claims wait for no endless transaction; what is too long by itself goes alone."""
    ledger = Ledger()
    with running(ledger, pace=Pace(most=2, for_one=0, shortest=0, longest=0)) as intake:
        put(intake, "first")
        assert ledger.entered.wait(60)
        sizes = [("a", 1), ("b", 1), ("c", 1), ("d", 2_000_000), ("e", 1)]
        last = [put(intake, name, size=size) for name, size in sizes][-1]
        ledger.open.set()
        last.result(60)
    assert ledger.groups == [["first"], ["a", "b"], ["c"], ["d"], ["e"]]


def test_more_than_may_wait_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that is slow does not fill the memory; nothing of what was refused is written."""
    monkeypatch.setattr(intake_module, "MOST_WAITING", 3)
    monkeypatch.setattr(intake_module, "MOST_BYTES_WAITING", 100)
    ledger = Ledger()
    with running(ledger) as intake:
        put(intake, "first")
        assert ledger.entered.wait(60)
        put(intake, "a", "b")
        with pytest.raises(IntakeFullError, match="too many"):
            put(intake, "c", "d")
        with pytest.raises(IntakeFullError):
            put(intake, "e", size=91)
        last = put(intake, "f")
        ledger.open.set()
        last.result(60)
    assert ledger.groups == [["first"], ["a", "b", "f"]]


def test_one_bad_event_harms_no_other() -> None:
    """A group that is refused is written one by one; who sent the bad one hears of it."""
    ledger = Ledger()
    ledger.refused["bad"] = TypeError("no JSON")
    with running(ledger) as intake:
        put(intake, "first")
        assert ledger.entered.wait(60)
        good, bad, other = put(intake, "a"), put(intake, "bad"), put(intake, "b")
        ledger.open.set()
        assert other.result(60)
        assert good.result(60)
        with pytest.raises(ValueError, match="does not take it: TypeError"):
            bad.result(60)
    assert ledger.groups == [["first"], ["a"], ["b"]]


def test_a_ledger_that_is_away_is_not_asked_for_each() -> None:
    """All who wait hear it at once, and the writer goes on when it is back."""
    ledger = Ledger()
    ledger.refused["x"] = UnavailableError("away")
    with running(ledger) as intake:
        put(intake, "first")
        assert ledger.entered.wait(60)
        waiting = [put(intake, name) for name in ("x", "y")]
        ledger.open.set()
        for each in waiting:
            with pytest.raises(UnavailableError):
                each.result(60)
        ledger.refused.clear()
        assert put(intake, "z").result(60)
    assert ledger.groups == [["first"], ["z"]]


def test_the_end_writes_what_waits_and_takes_no_more() -> None:
    """A server that is told to stop loses nothing that it took."""
    ledger = Ledger()
    with running(ledger) as intake:
        put(intake, "first")
        assert ledger.entered.wait(60)
        waiting = put(intake, "a")
    assert waiting.result(0)
    assert ledger.groups == [["first"], ["a"]]
    with pytest.raises(IntakeFullError, match="about to end"):
        put(intake, "b")
    asyncio.run(Intake(ledger.store).stop())  # one that never began ends as well


def test_who_gives_up_waiting_takes_nothing_back() -> None:
    """An event that was taken is written, whether or not anybody waits for the answer."""
    ledger = Ledger()
    with running(ledger) as intake:
        put(intake, "first")
        assert ledger.entered.wait(60)
        given_up = put(intake, "a")
        assert not given_up.cancel()
        ledger.open.set()
        assert given_up.result(60)
