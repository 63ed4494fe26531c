"""The result cache in the ledger: one makes, the others wait; bounded in time and number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults import START, World
from vibe_tasks.store import result_cache as cache
from vibe_tasks.store.result_cache import LOOK_AGAIN, Busy, Counts, Hit, Mine, Taken

TTL = 3600.0


@pytest.fixture
def world(empty_url: str) -> Iterator[World]:
    """A ledger whose clock the test sets."""
    made = World(empty_url)
    made.set_clock(START)
    yield made
    made.ledger.close()


def take(world: World, key: str, holder: str, **chosen: Any) -> Taken:
    values = {"lease": 60.0, "tag": None, "ttl": TTL} | chosen
    with world.ledger.begin() as connection:
        return cache.take(connection, key, holder, **values)


def put(
    world: World, key: str, holder: str | None, value: Any = "v", *, most: int = 1000, **chosen: Any
) -> bool:
    with world.ledger.begin() as connection:
        return cache.put(connection, key, holder, value, 10, TTL, most, **chosen)


def make(world: World, key: str, value: Any = "v", **chosen: Any) -> None:
    assert take(world, key, "w", **chosen) == Mine()
    assert put(world, key, "w", value)


def counts(world: World, **chosen: Any) -> Counts:
    with world.ledger.read() as connection:
        return cache.counts(connection, **chosen)


def test_one_makes_it_and_the_others_wait(world: World) -> None:
    """All of them get what the first has made; each look is counted once."""
    assert take(world, "k", "a") == Mine()
    assert take(world, "k", "b") == Busy(LOOK_AGAIN)
    assert take(world, "k", "a") == Mine()  # it has come back, or holds on to it
    value = {"patch": "…\n", "numbers": [1, 1.0, None, 2**60]}
    assert put(world, "k", "a", value)
    assert take(world, "k", "b") == Hit(value)
    assert take(world, "k", "c") == Hit(value)
    assert counts(world) == Counts(size=1, bytes=10, hits=2, misses=1, waits=1)
    assert counts(world).hit_rate == 66.67


def test_a_value_may_be_null(world: World) -> None:
    """It is a result like any other."""
    make(world, "k", None)
    assert take(world, "k", "b") == Hit(None)


def test_another_takes_over_from_one_that_died(world: World) -> None:
    """When the lease has run out, and not before; who comes too late changes nothing."""
    assert take(world, "k", "dead", lease=3.0) == Mine()
    assert take(world, "k", "b") == Busy(3.0)
    world.set_clock(START + 3)
    assert take(world, "k", "b") == Mine()
    assert not put(world, "k", "dead", "late")
    with world.ledger.begin() as connection:
        assert not cache.give_up(connection, "k", "dead")
    assert put(world, "k", "b", "in time")
    assert take(world, "k", "c") == Hit("in time")


def test_one_that_was_late_but_not_replaced_may_still_store(world: World) -> None:
    """Nobody else has made it: why throw it away."""
    take(world, "k", "slow", lease=3.0)
    world.set_clock(START + 60)
    make(world, "other")
    assert put(world, "k", "slow", "at last")
    assert take(world, "k", "b") == Hit("at last")


def test_who_fails_lets_another_try(world: World) -> None:
    """At once, not only after the lease."""
    take(world, "k", "a")
    with world.ledger.begin() as connection:
        assert cache.give_up(connection, "k", "a")
        assert not cache.give_up(connection, "k", "a")
    assert counts(world).making == 0
    assert take(world, "k", "b") == Mine()


def test_a_result_is_good_for_a_time(world: World) -> None:
    """After that it is made again; a shorter time that is asked for holds too."""
    make(world, "k")
    world.set_clock(START + 10)
    assert take(world, "k", "b", ttl=5.0) == Mine()
    assert put(world, "k", "b", "new")
    world.set_clock(START + 10 + TTL)
    assert counts(world).size == 0
    assert take(world, "k", "c") == Mine()


def test_those_not_used_for_longest_go(world: World) -> None:
    """When there are too many; what is being made is nobody's victim."""
    take(world, "making", "m")
    for number in range(3):
        world.set_clock(START + number)
        make(world, f"k{number}")
    world.set_clock(START + 3)
    assert take(world, "k0", "b") == Hit("v")
    assert take(world, "k3", "w") == Mine()
    assert put(world, "k3", "w", most=3)
    assert take(world, "k1", "b") == Mine()
    assert [take(world, key, "b") for key in ("k0", "k2", "k3")] == [Hit("v")] * 3
    assert counts(world).evictions == 1
    assert put(world, "making", "m", most=2)
    assert (counts(world).size, counts(world).evictions) == (2, 3)


def test_what_came_to_nothing_is_dropped_by_its_tag(world: World) -> None:
    """Only that, whatever its keys."""
    make(world, "a", tag="plan/task")
    make(world, "b", tag="plan/task")
    make(world, "c", tag="plan/other")
    with world.ledger.begin() as connection:
        assert cache.drop_tag(connection, "plan/task") == 2
        assert cache.drop(connection, "c")
        assert not cache.drop(connection, "c")
    assert counts(world).size == 0


def test_caches_are_apart(world: World) -> None:
    """Each with its entries, bounds and figures; all together on demand."""
    make(world, "k", "ours")
    assert put(world, "k", None, "theirs", most=1, cache="mine")
    assert take(world, "k", "b", cache="mine") == Hit("theirs")
    assert put(world, "l", None, "theirs too", most=1, cache="mine")
    assert take(world, "k", "b") == Hit("ours")
    assert (counts(world).size, counts(world, cache="mine").size) == (1, 1)
    assert counts(world, cache=None) == Counts(size=2, bytes=20, hits=2, misses=1, evictions=1)


def test_it_can_be_emptied(world: World) -> None:
    """One cache or all; the figures of what happened stay, and a maker's result is not stored."""
    make(world, "a")
    put(world, "b", None, cache="mine")
    take(world, "c", "w")
    with world.ledger.begin() as connection:
        assert cache.clear(connection, cache="mine") == 1
        assert cache.clear(connection) == 1
    assert not put(world, "c", "w")
    assert counts(world, cache=None) == Counts(misses=2)


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_what_is_no_json_is_refused(world: World, value: Any) -> None:
    """Before anything is written."""
    with pytest.raises(TypeError):
        put(world, "k", None, value)


def test_numbers_out_of_bounds_are_refused(world: World) -> None:
    """With their names."""
    with pytest.raises(ValueError, match="lease must be above zero, got 0"):
        take(world, "k", "a", lease=0)
    with pytest.raises(ValueError, match="ttl must be above zero, got inf"):
        take(world, "k", "a", ttl=float("inf"))
    with pytest.raises(ValueError, match="max_entries must be 1 or more, got 0"):
        put(world, "k", None, most=0)
