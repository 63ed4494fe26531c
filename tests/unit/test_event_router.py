"""The router of events within one process."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks import Event, EventRouter, EventType
from vibe_tasks.errors import PermanentError
from vibe_tasks.flow.event_router import DeadEvent


def event(kind: str = EventType.QA_PASSED, **fields: Any) -> Event:
    return Event(
        event_type=kind, task_id="task_001", payload={"code": "x"},
        timestamp=datetime(2026, 1, 2, 3, tzinfo=UTC), **fields,
    )  # fmt: skip


class Slept:
    """In place of sleep: remembers how long it was to be."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        """Wait."""
        self.seconds.append(seconds)


class Failing:
    """A handler whose first calls fail."""

    def __init__(self, times: int, error: Exception | None = None) -> None:
        self.left, self.error = times, error or RuntimeError("no luck")
        self.heard: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Hear of it."""
        self.heard.append(event)
        if len(self.heard) <= self.left:
            raise self.error


def test_plain_and_async_handlers_hear_of_their_type() -> None:
    """Those of the type and those of all are called once each, the others not."""
    router, heard = EventRouter(), []

    async def later(event: Event) -> None:
        await asyncio.sleep(0)
        heard.append(("later", event.task_id))

    def plain(event: Event) -> None:
        heard.append(("plain", event.task_id))

    router.register_handler(EventType.QA_PASSED, later)
    router.register_handler(EventType.QA_PASSED, plain)
    router.register_handler("*", plain)
    router.register_handler(EventType.QA_FAILED, Failing(9))
    assert asyncio.run(router.route_event(event()))
    assert sorted(heard) == [("later", "task_001"), ("plain", "task_001")]
    assert asyncio.run(router.route_event(event("Stop")))
    assert heard[-1] == ("plain", "task_001")
    assert asyncio.run(EventRouter().route_event(event()))


def test_a_failing_handler_is_retried_then_dead_and_escalated() -> None:
    """P3: 2, 4 and 8 seconds, then the dead letters; the others are called once all the same."""
    slept, good, bad = Slept(), Failing(0), Failing(99)
    router = EventRouter(sleep=slept)
    told: list[DeadEvent] = []

    async def escalate(dead: DeadEvent) -> None:
        told.append(dead)

    router.on_escalation(Failing(1))  # type: ignore[arg-type]
    router.on_escalation(escalate)
    for handler in (bad, good):
        router.register_handler(EventType.QA_PASSED, handler)
    assert not asyncio.run(router.route_event(event()))
    assert slept.seconds == [2.0, 4.0, 8.0]
    assert [heard.retry_count for heard in bad.heard] == [0, 1, 2, 3]
    assert len(good.heard) == 1
    (dead,) = router.get_dlq_items()
    assert told == [dead]
    assert (dead.event.retry_count, dead.error) == (4, "RuntimeError: no luck")
    assert router.get_stats() == {
        "events_routed": 1, "events_failed": 1, "retries": 3, "dlq_size": 1, "failure_rate": 1.0,
    }  # fmt: skip


@given(st.lists(st.integers(0, 6), max_size=20))
def test_the_figures_add_up(failures: list[int]) -> None:
    """However often handlers fail: an event is delivered or a dead letter, and counted once."""

    async def run() -> EventRouter:
        slept = Slept()
        router = EventRouter(sleep=slept)
        for number, times in enumerate(failures):
            router.register_handler(f"type {number}", Failing(times))
            assert await router.route_event(event(f"type {number}")) is (times < 4)
        assert router.get_stats()["retries"] == len(slept.seconds)
        return router

    router = asyncio.run(run())
    dead = sum(times >= 4 for times in failures)
    stats = router.get_stats()
    assert (stats["events_routed"], stats["events_failed"]) == (len(failures), dead)
    assert stats["dlq_size"] == len(router.get_dlq_items()) == dead
    assert stats["failure_rate"] == (dead / len(failures) if failures else 0.0)


def test_a_permanent_failure_is_not_retried() -> None:
    """It would fail the same way."""
    slept, handler = Slept(), Failing(99, PermanentError("no such address"))
    router = EventRouter(sleep=slept)
    router.register_handler(EventType.QA_PASSED, handler)
    assert not asyncio.run(router.route_event(event()))
    assert (slept.seconds, len(handler.heard)) == ([], 1)


def test_dead_letters_are_tried_again_by_hand() -> None:
    """Those that go well leave the list; the others come back with all their failures."""
    router = EventRouter(sleep=Slept())
    mended, broken = Failing(4), Failing(99)
    router.register_handler(EventType.QA_PASSED, mended)
    router.register_handler(EventType.QA_PASSED, broken)
    asyncio.run(router.route_event(event()))
    assert len(router.get_dlq_items()) == 2
    assert asyncio.run(router.retry_dlq_items()) == 1
    (dead,) = router.get_dlq_items()
    assert (dead.handler, dead.event.retry_count) == (broken, 4)
    assert router.get_stats()["events_routed"] == 1


def test_a_slow_handler_does_not_hold_up_another() -> None:
    """They run side by side: one waits here for what the other does."""

    async def run() -> bool:
        router, done = EventRouter(), asyncio.Event()

        async def waits(_event: Event) -> None:
            await done.wait()

        router.register_handler(EventType.QA_PASSED, waits)
        router.register_handler(EventType.QA_PASSED, lambda _event: done.set())
        return await router.route_event(event())

    assert asyncio.run(run())


@given(
    st.sampled_from([*EventType, "Stop", "a name"]), st.text(), st.integers(0, 9),
    st.dictionaries(st.text(), st.integers() | st.text() | st.none()),
)  # fmt: skip
def test_an_event_survives_json(
    kind: str, task: str, retries: int, payload: dict[str, object]
) -> None:
    """What `to_json` writes `from_json` reads; known types come back as types."""
    one = Event(
        event_type=kind, task_id=task, payload=payload, retry_count=retries, id=3, session="p",
        timestamp=datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC), summary="s",
    )  # fmt: skip
    assert Event.from_json({**one.to_json(), "said_by_a_newer_version": 1}) == one
    assert isinstance(Event.from_json(one.to_json()).event_type, EventType) is (
        kind in set(EventType)
    )


def test_an_event_without_a_type_is_refused() -> None:
    """Nobody could hear of it."""
    with pytest.raises(ValueError, match="event_type"):
        event("")
    with pytest.raises(ValueError, match="retry_count"):
        event(retry_count=-1)
