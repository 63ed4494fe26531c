"""When a worker writes its note, looks into its own queue, and gives back what is in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.tasks.main_process.giving_back import UNREAD, Looks

NOTHING = (None, None)


def test_a_note_is_written_when_it_says_something_new_or_grows_old() -> None:
    """Four times within the lease after which nobody believes it, and not with every look."""
    looks = Looks()
    assert looks.posts(3, now=0.0, lease=8.0)
    looks.posted(3, now=0.0)
    assert not looks.posts(3, now=1.9, lease=8.0)
    assert looks.posts(2, now=0.1, lease=8.0)
    assert looks.posts(3, now=2.0, lease=8.0)


def test_a_worker_with_free_slots_looks_into_its_queue_once_in_a_while() -> None:
    """One that is full does each time."""
    looks = Looks()
    assert [looks.sees(1) for _ in range(2 * UNREAD)].count(True) == 2
    assert all(looks.sees(0) for _ in range(2 * UNREAD))


def test_a_full_worker_gives_back_at_once_and_another_what_it_does_not_read() -> None:
    """What waits while it has free slots was sent a moment ago, unless it was there before."""
    looks = Looks()
    assert looks.gives_back(0, (b"a", None), 0)
    looks = Looks()
    assert not looks.gives_back(1, (b"a", None), 0)
    assert not looks.gives_back(1, (b"b", None), 1)
    assert not looks.gives_back(1, (b"b", None), 2)  # it reads, what is more urgent first
    assert looks.gives_back(1, (b"b", None), 2)


def test_a_worker_that_reads_nothing_of_what_is_sent_to_it_is_deaf() -> None:
    """Twice, with free slots and no message in between: others take what it has given back, so
    nothing waits long in its lanes. One that is full, or that reads, is not.
    """

    def left(free: int, received: int) -> None:
        for _ in range(2):
            looks.gives_back(free, (b"a", None), received)
        looks.gives_back(free, NOTHING, received)

    looks = Looks()
    left(1, 0)
    assert not looks.is_deaf()
    left(1, 0)
    assert looks.is_deaf()
    assert not looks.is_deaf(), "the new connection has its own chance"
    left(1, 0)
    left(1, 1)
    assert not looks.is_deaf()
    for _ in range(3):
        left(0, 1)
    assert not looks.is_deaf()


@given(
    st.lists(
        st.tuples(
            st.integers(min_value=0, max_value=2),
            st.sampled_from([NOTHING, (b"a", None), (None, b"b")]),
            st.integers(min_value=0, max_value=1),
        )
    )
)
def test_nothing_waits_for_two_looks_without_a_slot_or_a_reader(
    story: list[tuple[int, tuple[bytes | None, bytes | None], int]],
) -> None:
    """Whatever happens: something goes back just when there is something, and either no slot is
    free or nothing has moved since the look before.
    """
    looks, received = Looks(), 0
    before: tuple[object, int] = ((), 0)
    for free, heads, read in story:
        received += read
        expected = heads != NOTHING and (free == 0 or before == (heads, received))
        assert looks.gives_back(free, heads, received) == expected
        before = heads, received
