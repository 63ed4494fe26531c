"""Circuit breakers in the ledger: shared by all, decided under the row's lock."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults import START, World
from vibe_tasks.breaker import CircuitBreakerConfig, State
from vibe_tasks.store import breakers
from vibe_tasks.store.breakers import Breaker

CONFIG = CircuitBreakerConfig(
    minimum_calls=4, timeout_seconds=30.0, window_seconds=60.0, half_open_calls=2
)


@pytest.fixture
def world(empty_url: str) -> Iterator[World]:
    """A ledger whose clock the test sets."""
    made = World(empty_url)
    made.set_clock(START)
    yield made
    made.ledger.close()


def admit(world: World, holder: str, *, lease: float = 600.0) -> float:
    with world.ledger.begin() as connection:
        return breakers.admit(connection, "agent", CONFIG, holder, lease)


def settle(world: World, holder: str, ok: bool | None) -> str | None:
    with world.ledger.begin() as connection:
        return breakers.settle(connection, "agent", CONFIG, holder, ok)


def trip(world: World, seconds: float) -> str | None:
    with world.ledger.begin() as connection:
        return breakers.trip(connection, "agent", seconds, "limit reached")


def standing(world: World, **chosen: Any) -> Breaker:
    with world.ledger.read() as connection:
        (found,) = breakers.states(connection, **chosen)
    return found


def call(world: World, holder: str, ok: bool) -> str | None:
    assert admit(world, holder) == 0.0
    return settle(world, holder, ok)


def opened(world: World) -> None:
    """Four calls, all of which failed."""
    assert [call(world, f"j{n}", ok=False) for n in range(4)] == [None, None, None, "opened"]


def test_too_many_failures_open_it(world: World) -> None:
    """With the calls that decided it as the reason; successes alone never wrote a state."""
    assert call(world, "a", ok=True) is None
    assert call(world, "b", ok=True) is None
    assert call(world, "c", ok=False) is None
    assert standing(world).state is State.CLOSED
    assert call(world, "d", ok=False) == "opened"
    found = standing(world)
    assert (found.state, found.times_opened, found.wait) == (State.OPEN, 1, 30.0)
    assert found.reason == "2 of the last 4 calls failed"
    assert found.error_rate == 50.0
    assert admit(world, "e") == 30.0
    world.set_clock(START + 29)
    assert admit(world, "e") == 1.0


def test_old_calls_do_not_count(world: World) -> None:
    """Only those of the window; older ones are forgotten, so that their number is bounded."""
    for number in range(3):
        call(world, f"a{number}", ok=False)
    world.set_clock(START + 61)
    assert call(world, "b", ok=False) is None
    assert standing(world).calls == 1
    world.set_clock(START + 200)
    assert standing(world, window=60.0).calls == 0


def test_half_open_lets_few_try(world: World) -> None:
    """Two at a time; the same caller keeps its place; a place is free again when its call ends."""
    opened(world)
    world.set_clock(START + 30)
    assert [admit(world, name) for name in "abc"] == [0.0, 0.0, 30.0]
    assert admit(world, "a") == 0.0
    assert (standing(world).state, standing(world).trials) == (State.HALF_OPEN, 2)
    assert settle(world, "a", ok=None) is None
    assert admit(world, "c") == 0.0
    assert settle(world, "b", ok=True) is None
    assert settle(world, "c", ok=True) is None
    # Two successes of three: one more try tells enough.
    assert [admit(world, name) for name in "de"] == [0.0, 30.0]
    assert settle(world, "d", ok=True) == "closed"
    found = standing(world)
    assert (found.state, found.calls, found.times_opened, found.trials) == (State.CLOSED, 0, 1, 0)
    assert call(world, "f", ok=False) is None


def test_a_failed_try_opens_it_again(world: World) -> None:
    """At once and for the whole time; others that still try have no say in it any more."""
    opened(world)
    world.set_clock(START + 30)
    assert [admit(world, name) for name in "ab"] == [0.0, 0.0]
    assert settle(world, "a", ok=False) == "opened"
    assert settle(world, "b", ok=True) is None
    found = standing(world)
    assert (found.state, found.wait, found.times_opened) == (State.OPEN, 30.0, 2)


def test_who_was_let_through_before_is_not_asked(world: World) -> None:
    """A call that began while it was closed and ends later neither opens nor closes it."""
    assert admit(world, "late") == 0.0
    opened(world)
    assert settle(world, "late", ok=False) is None
    world.set_clock(START + 30)
    assert admit(world, "a") == 0.0
    assert settle(world, "late", ok=False) is None
    assert standing(world).state is State.HALF_OPEN


def test_a_try_whose_holder_died_leaves_its_place(world: World) -> None:
    """Once its lease has run out; if it comes to an end after all, that counts while it can."""
    opened(world)
    world.set_clock(START + 30)
    assert [admit(world, name, lease=10.0) for name in "abc"] == [0.0, 0.0, 30.0]
    world.set_clock(START + 41)
    assert settle(world, "b", ok=True) is None
    assert standing(world).successes == 1
    assert admit(world, "c") == 0.0
    assert settle(world, "a", ok=True) is None
    assert standing(world).successes == 1


def test_the_other_side_can_ask_for_a_pause(world: World) -> None:
    """It is open for as long as that, the longer pause of two; nothing failed for it."""
    assert trip(world, 3600.0) == "opened"
    assert trip(world, 60.0) is None
    found = standing(world)
    assert (found.wait, found.reason, found.calls) == (3600.0, "limit reached", 0)
    assert trip(world, 7200.0) is None
    assert admit(world, "a") == 7200.0
    world.set_clock(START + 7200)
    assert admit(world, "a") == 0.0
    assert trip(world, 10.0) == "opened"
    assert standing(world).times_opened == 2


def test_a_person_can_close_it(world: World) -> None:
    """What failed before is forgotten."""
    opened(world)
    with world.ledger.begin() as connection:
        assert breakers.close(connection, "agent")
        assert not breakers.close(connection, "agent")
        assert not breakers.close(connection, "nobody")
    assert standing(world).calls == 0
    assert call(world, "a", ok=False) is None


def test_an_ailing_endpoint_is_spared(world: World) -> None:
    """Four call once a second and wait as they are told. While it fails six times of ten, fewer
    than a fifth of their calls reach it; a minute after it has recovered all of them do.
    """
    draw, ailing, due, reached = Random(7), 200, dict.fromkeys("abcd", 0.0), [0] * 270
    for second in range(len(reached)):
        ready = [who for who, at in due.items() if at <= second]
        if ready:
            world.set_clock(START + second)
        for who in ready:
            wait = admit(world, who)
            due[who] = second + max(wait, 1.0)
            if not wait:
                reached[second] += 1
                settle(world, who, ok=second >= ailing or draw.random() >= 0.6)
    without = len(due) * ailing
    assert 0 < sum(reached[:ailing]) < without / 5
    assert standing(world).state is State.CLOSED
    assert reached[ailing + 60 :] == [len(due)] * (len(reached) - ailing - 60)


@pytest.mark.parametrize("lease", [0.0, -1.0, float("inf"), float("nan")])
def test_a_try_needs_a_lease(world: World, lease: float) -> None:
    """One that never ended would keep its place for ever."""
    with pytest.raises(ValueError, match="lease must be above zero"):
        admit(world, "a", lease=lease)
    with pytest.raises(ValueError, match="seconds must be zero or more"):
        trip(world, float("nan"))


class Witness:
    """What must hold of a breaker, whoever does what when.

    Attributes:
        state: Where it stands.
        until: While open: when that ends.
        trying: While half open: who was let through.
        good: While half open: tries that were good.
    """

    def __init__(self) -> None:
        self.until = 0.0
        self.enter("closed")

    def enter(self, state: str) -> None:
        """It is in this state now, and nobody tries yet."""
        self.state, self.trying, self.good = state, set[str](), 0

    def asked(self, holder: str, wait: float, *, now: float) -> None:
        """Nobody calls while it is open, and no more than two at a time while it is half open."""
        if self.state == "open" and now >= self.until:
            self.enter("half_open")
        if self.state != "half_open":
            assert wait == (self.until - now if self.state == "open" else 0.0)
        elif wait:
            assert holder not in self.trying
            assert len(self.trying) == min(2, 3 - self.good)
        else:
            self.trying.add(holder)
            assert len(self.trying) <= 2

    def ended(self, holder: str, change: str | None, *, ok: bool, now: float) -> None:
        """It closes only after three good tries in a row, and opens at a bad one."""
        tried = self.state == "half_open" and holder in self.trying
        self.trying.discard(holder)
        self.good += tried and ok
        if tried:
            expected = ("closed" if self.good == 3 else None) if ok else "opened"
            assert change == expected
        elif self.state != "closed" or ok:
            assert change is None
        if change is not None:
            self.enter("closed" if change == "closed" else "open")
            self.until = now + CONFIG.timeout_seconds


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("aabbffgggn")), max_size=50))
def test_whatever_happens_in_whatever_order(world: World, steps: list[tuple[int, str]]) -> None:
    """Four that ask, fail, succeed and let time go by: the witness agrees with each answer."""
    with world.ledger.begin() as connection:
        for table in ("breaker_trials", "breaker_calls", "breakers"):
            connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608
    witness = Witness()
    for who, what in [(0, "f")] * 4 + [(0, "n")] * 2 + steps:
        holder = f"h{who}"
        if what in "ab":
            witness.asked(holder, admit(world, holder), now=world.now)
        elif what == "n":
            world.set_clock(world.now + 16)
        else:
            change = settle(world, holder, ok=what == "g")
            witness.ended(holder, change, ok=what == "g", now=world.now)
