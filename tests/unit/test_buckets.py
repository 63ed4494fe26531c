from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.buckets import BucketLimits, Buckets, Overflow, event_time, merge_buckets


def event(number: int, priority: int = 0, *, at: int | None = None) -> Mapping[str, Any]:
    """An event of this level."""
    return {"id": number, "timestamp": number if at is None else at, "priority": priority}


def ids(events: Any) -> list[int]:
    """Their numbers."""
    return [each["id"] for each in events]


def test_chatter_never_pushes_out_what_matters() -> None:
    """Ten thousand regular events leave the priority events where they are."""
    buckets = Buckets(BucketLimits(priority=3, regular=5))
    for number in (1, 2, 3):
        buckets.add(event(number, priority=number))
    for number in range(10, 10_010):
        buckets.add(event(number))
    assert ids(buckets.events()) == [1, 2, 3, *range(10_005, 10_010)]
    told = buckets.statistics()
    assert (told.priority, told.regular, told.removed_priority) == (3, 5, 0)
    assert (told.received, told.removed_regular) == (10_003, 9_995)


def test_a_full_bucket_loses_its_oldest() -> None:
    """Also that of the priority events."""
    buckets = Buckets(BucketLimits(priority=2, regular=2))
    for number in range(1, 5):
        buckets.add(event(number, priority=1))
    assert ids(buckets.events()) == [3, 4]
    assert buckets.statistics().removed_priority == 2


@pytest.mark.parametrize(
    ("overflow", "left"),
    [
        (Overflow.OLDEST_REGULAR, [1, 2, 4]),
        (Overflow.OLDEST, [2, 3, 4]),
        (Overflow.LOWEST_PRIORITY, [1, 2, 4]),
    ],
)
def test_over_the_sum_the_strategy_says_what_goes(overflow: Overflow, left: list[int]) -> None:
    """By default the oldest regular one."""
    buckets = Buckets(BucketLimits(priority=9, regular=9, total=3, overflow=overflow))
    for number, priority in ((1, 2), (2, 1), (3, 0), (4, 1)):
        buckets.add(event(number, priority))
    assert ids(buckets.events()) == left


def test_without_regular_ones_the_lowest_or_the_oldest_goes() -> None:
    """`remove_lowest_priority` keeps a system event that is older than a high one."""
    for overflow, left in ((Overflow.LOWEST_PRIORITY, [1, 3]), (Overflow.OLDEST_REGULAR, [2, 3])):
        buckets = Buckets(BucketLimits(priority=9, total=2, overflow=overflow))
        for number, priority in ((1, 3), (2, 1), (3, 2)):
            buckets.add(event(number, priority))
        assert ids(buckets.events()) == left


def test_bytes_are_bounded_too() -> None:
    """Large payloads push out more than small ones; one that is larger than all goes at once."""
    buckets = Buckets(BucketLimits(priority=99, regular=99, bytes=100))
    for number in range(1, 6):
        buckets.add(event(number, priority=number == 1), size=30)
    assert ids(buckets.events()) == [1, 4, 5]
    assert buckets.statistics().bytes == 90
    buckets.add(event(6), size=1_000)
    assert buckets.statistics().bytes <= 100


def test_old_events_go() -> None:
    """By their own time, whatever order they came in."""
    buckets = Buckets(BucketLimits(max_age=10))
    buckets.add(event(1, 1, at=50_000), size=5)
    buckets.add(event(2, at=39_999), size=5)
    buckets.add(event(3, 2, at=40_000), size=5)
    buckets.expire(now=50.0)
    assert ids(buckets.events()) == [3, 1]
    assert (buckets.statistics().expired, buckets.statistics().bytes) == (1, 10)
    for_ever = Buckets()
    for_ever.add(event(1))
    for_ever.expire(now=1e12)
    assert ids(for_ever.events()) == [1]


def test_limits_are_not_negative() -> None:
    """A view of less than nothing is a mistake."""
    with pytest.raises(ValueError, match="regular must be zero or more"):
        BucketLimits(regular=-1)


def test_over_the_limit_the_oldest_regular_ones_go_first() -> None:
    """Then the oldest priority ones; the rest is merged by time."""
    grave = [event(number, 1) for number in (1, 4, 9)]
    chatter = [event(number) for number in (2, 3, 5, 8)]
    assert ids(merge_buckets(grave, chatter, limit=9, time=event_time)) == [1, 2, 3, 4, 5, 8, 9]
    assert ids(merge_buckets(grave, chatter, limit=5, time=event_time)) == [1, 4, 5, 8, 9]
    assert ids(merge_buckets(grave, chatter, limit=2, time=event_time)) == [4, 9]
    assert ids(merge_buckets(grave, chatter, limit=0, time=event_time)) == []


@given(
    levels=st.lists(st.integers(0, 3), max_size=60),
    limits=st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 12)),
    overflow=st.sampled_from(Overflow),
)
def test_no_bound_is_ever_passed(
    levels: list[int], limits: tuple[int, int, int], overflow: Overflow
) -> None:
    """Whatever comes, and the sums of what came, is there and went are right."""
    priority, regular, total = limits
    buckets = Buckets(
        BucketLimits(priority=priority, regular=regular, total=total, bytes=100, overflow=overflow)
    )
    for number, level in enumerate(levels):
        buckets.add(event(number, level), size=number)
        told = buckets.statistics()
        assert told.priority <= priority
        assert told.regular <= regular
        assert told.priority + told.regular <= total
        assert told.bytes <= 100
        gone = told.removed_priority + told.removed_regular
        assert told.received == told.priority + told.regular + gone
    assert ids(buckets.events()) == sorted(ids(buckets.events()))
