"""`CircuitBreaker` as a program uses it, on a real ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text

from vibe_tasks import CircuitBreaker, CircuitBreakerConfig, CircuitBreakerOpenError, Snooze
from vibe_tasks.errors import InputError
from vibe_tasks.store import events
from vibe_tasks.store.engine import Database

CONFIG = CircuitBreakerConfig(minimum_calls=2, timeout_seconds=30.0, success_threshold=2)


def breaker(ledger: Database, name: str = "LLM_API") -> CircuitBreaker:
    return CircuitBreaker(name, CONFIG, ledger=ledger)


def fail() -> None:
    raise OSError("no route")


def time_passes(ledger: Database) -> None:
    """The 30 seconds are over."""
    with ledger.begin() as connection:
        connection.execute(text("UPDATE breakers SET open_until = open_until - 30"))


def twice(action: Callable[[], object]) -> None:
    for _ in range(2):
        with pytest.raises(OSError, match="no route"):
            action()


def test_calls_go_through_until_too_many_fail(database: Database) -> None:
    """Then none is made, in no process; it says for how long; a few try, and it closes again."""
    here, elsewhere = breaker(database), breaker(database)
    told: list[str] = []
    here.on_open(lambda each: told.append(f"{each.name} opened"))
    here.on_close(lambda each: told.append(f"{each.name} recovered"))
    assert [here.call(max, 1, number) for number in (2, 3)] == [2, 3]
    twice(lambda: here.call(fail))
    assert here.is_open()
    assert elsewhere.is_open()
    with pytest.raises(CircuitBreakerOpenError, match="breaker LLM_API is open") as caught:
        elsewhere.call(fail)
    assert 0 < caught.value.seconds <= 30
    time_passes(database)
    assert here.state == "half_open"
    assert not here.is_open()
    assert elsewhere.call(len, "abc") == 3
    assert here.call(len, "abc") == 3
    assert here.state == "closed"
    assert told == ["LLM_API opened", "LLM_API recovered"]
    with database.read() as connection:
        found = events.recent(connection, session="LLM_API")
    assert [each["hook_event_type"] for each in found] == ["BREAKER_OPENED", "BREAKER_CLOSED"]


def test_async_calls_are_awaited(database: Database) -> None:
    """A coroutine function, and any function that returns something to await."""
    one = breaker(database)

    async def echo(prompt: str) -> str:
        await asyncio.sleep(0)
        return prompt

    async def broken() -> None:
        await asyncio.sleep(0)
        fail()

    async def program() -> None:
        assert await one.call(echo, prompt="hi") == "hi"
        later: Callable[[], Awaitable[str]] = lambda: echo("later")  # noqa: E731
        assert await one.call(later) == "later"
        assert one.get_stats()["calls"] == 2
        for _ in range(2):
            with pytest.raises(OSError, match="no route"):
                await one.call(broken)
        with pytest.raises(CircuitBreakerOpenError):
            await one.call(echo, prompt="hi")

    asyncio.run(program())
    assert one.get_stats()["error_rate"] == 50.0


def test_what_says_nothing_about_the_other_side_is_not_counted(database: Database) -> None:
    """A snooze, and whoever ends the program; a try's place is free again."""
    one = breaker(database)

    def snooze() -> None:
        raise Snooze(1)

    def leave() -> None:
        raise KeyboardInterrupt

    twice(lambda: one.call(fail))
    time_passes(database)
    with pytest.raises(Snooze):
        one.call(snooze)
    with pytest.raises(KeyboardInterrupt):
        one.call(leave)
    assert one.get_stats() == {
        "state": "half_open", "error_rate": 100.0, "calls": 2, "failures": 2, "times_opened": 1,
        "successes": 0, "trials": 0, "reason": "2 of the last 2 calls failed", "wait_seconds": 0.0,
    }  # fmt: skip


def test_it_can_be_opened_and_closed_by_hand(database: Database) -> None:
    """Others of its name obey; a name of its own is a breaker of its own."""
    one = breaker(database)
    one.trip(3600, "the limit resets at eight")
    assert breaker(database).look().reason == "the limit resets at eight"
    assert not breaker(database, "other").is_open()
    assert breaker(database, "other").get_stats()["state"] == "closed"
    one.reset()
    assert one.call(len, "") == 0


@pytest.mark.parametrize("seconds", [0, -1, float("inf")])
def test_wrong_arguments_are_refused(database: Database, seconds: float) -> None:
    """When the object is made."""
    with pytest.raises(InputError, match="trial_seconds must be above zero"):
        CircuitBreaker("x", CONFIG, trial_seconds=seconds, ledger=database)
    with pytest.raises(InputError, match="needs a name"):
        CircuitBreaker("", CONFIG, ledger=database)
