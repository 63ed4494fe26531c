"""What waits for one client of the stream, and which events go when it is too much."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.web.backlog import Backlog, BacklogLimits, Lost
from vibe_tasks.web.frames import Batch, Frame

ALL = 10**9


def frame(number: int, *, priority: int = 0, size: int = 1) -> Frame:
    """An event's frame of so many bytes."""
    return Frame(number, priority, b"x" * size)


def ids(batch: Batch | None) -> list[int]:
    """The events of a batch."""
    return [each.id for each in batch.frames] if batch else []


def test_a_client_that_keeps_up_gets_each_batch_as_it_is() -> None:
    """Nothing is copied for a client that takes each batch before the next."""
    backlog = Backlog(BacklogLimits())
    batch = Batch([frame(1), frame(2, priority=1)])
    backlog.push(batch)
    assert backlog.take(ALL) is batch
    assert not backlog
    assert backlog.take(ALL) is None
    assert backlog.lost() is None


def test_batches_that_meet_come_out_in_the_order_of_ids() -> None:
    """Regular and priority events wait apart, and are sent in their order."""
    backlog = Backlog(BacklogLimits())
    backlog.push(Batch([frame(1), frame(2, priority=1)]))
    backlog.push(Batch([frame(3, priority=3), frame(4)]))
    assert ids(backlog.take(ALL)) == [1, 2, 3, 4]


def test_a_take_is_bounded_but_never_empty() -> None:
    """A client gets about as much as is asked for, and a frame that is longer than that alone."""
    backlog = Backlog(BacklogLimits())
    backlog.push(Batch([frame(1, size=50), frame(2, size=5), frame(3, size=5), frame(4, size=5)]))
    assert [ids(backlog.take(10)) for _ in range(3)] == [[1], [2, 3], [4]]
    assert not backlog


def test_the_oldest_regular_events_go_first() -> None:
    """Where too much waits, priority events stay, and what went is told once."""
    backlog = Backlog(BacklogLimits(regular=2, priority=10, size=ALL))
    backlog.push(Batch([frame(1), frame(2, priority=1), frame(3), frame(4)]))
    backlog.push(Batch([frame(5), frame(6, priority=2)]))
    assert backlog.lost() == Lost(regular=2, priority=0)
    assert backlog.lost() is None
    assert ids(backlog.take(ALL)) == [2, 4, 5, 6]


def test_priority_events_go_when_no_regular_one_is_left() -> None:
    """By their number or by their bytes: the oldest first, after all regular ones."""
    by_number = Backlog(BacklogLimits(regular=2, priority=2, size=ALL))
    by_number.push(Batch([frame(n, priority=1) for n in range(1, 5)]))
    assert by_number.lost() == Lost(regular=0, priority=2)
    assert ids(by_number.take(ALL)) == [3, 4]
    by_bytes = Backlog(BacklogLimits(size=25))
    by_bytes.push(Batch([frame(1, priority=1, size=10), frame(2, size=10)]))
    by_bytes.push(Batch([frame(3, priority=1, size=10), frame(4, priority=1, size=10)]))
    assert by_bytes.lost() == Lost(regular=1, priority=1)
    assert ids(by_bytes.take(ALL)) == [3, 4]


def test_a_loss_alone_is_something_to_send() -> None:
    """A client whose every event was lost is told so at once, not with the next one."""
    backlog = Backlog(BacklogLimits(regular=0))
    backlog.push(Batch([frame(1)]))
    assert backlog
    assert backlog.take(ALL) is None
    assert backlog.lost() == Lost(regular=1, priority=0)
    assert not backlog


@given(
    st.lists(
        st.one_of(
            st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)), min_size=1, max_size=8),
            st.integers(1, 100),
        ),
        max_size=30,
    ),
    st.integers(0, 6), st.integers(0, 6), st.integers(1, 150),
)  # fmt: skip
def test_nothing_comes_twice_or_out_of_order_and_every_loss_is_counted(
    steps: list[list[tuple[int, int]] | int], regular: int, priority: int, size: int
) -> None:
    """Whatever is pushed and taken: each event is sent once, in order, or counted as lost."""
    backlog = Backlog(BacklogLimits(regular=regular, priority=priority, size=size))
    numbers, sent = count(1), list[int]()
    pushed: dict[int, int] = {}
    lost = [0, 0]
    for step in [*steps, *[ALL] * 2]:
        if isinstance(step, int):
            sent += ids(backlog.take(step))
        else:
            batch = Batch([frame(next(numbers), priority=p, size=s) for p, s in step])
            pushed.update({each.id: each.priority for each in batch.frames})
            backlog.push(batch)
            waiting = backlog._size if backlog._whole is None else backlog._whole.size
            assert waiting <= size
        gone = backlog.lost()
        if gone:
            lost = [lost[0] + gone.regular, lost[1] + gone.priority]
    assert not backlog
    assert sent == sorted(set(sent))
    missing = [pushed[number] for number in pushed if number not in sent]
    assert [sum(not level for level in missing), sum(bool(level) for level in missing)] == lost
