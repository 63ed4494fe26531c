from __future__ import annotations

from vibe_tasks.tasks.main_process.watchdog import Signs, Verdict, Watchdog


class Worker:
    """A worker whose signs a test sets, looked at every two seconds."""

    def __init__(self) -> None:
        self.dog = Watchdog(patience=10, stuck=30)
        self.received = 0
        self.turns: int | None = 0
        self.room = True
        self.waiting = True

    def looks(self, number: int, *, turning: bool = True) -> list[Verdict]:
        """So many looks; what came out of them besides nothing."""
        found = []
        for _ in range(number):
            if turning and self.turns is not None:
                self.turns += 1
            signs = Signs(received=self.received, room=self.room, turns=self.turns)
            found.append(self.dog.look(signs, seconds=2, waiting=lambda: self.waiting))
        return [each for each in found if each is not Verdict.FINE]


def test_a_deaf_worker_is_reconnected_and_then_ended() -> None:
    """After ten seconds a new connection, after ten more the end."""
    worker = Worker()
    assert worker.looks(5) == []
    assert worker.looks(1) == [Verdict.RECONNECT]
    assert worker.looks(4) == []
    assert worker.looks(1) == [Verdict.DEAF]


def test_a_new_connection_that_helps_starts_the_count_again() -> None:
    """A message came."""
    worker = Worker()
    assert worker.looks(6) == [Verdict.RECONNECT]
    worker.received += 1
    assert worker.looks(5) == []
    assert worker.looks(1) == [Verdict.RECONNECT]


def test_silence_is_no_fault_where_nothing_waits() -> None:
    """An idle worker is left alone, for as long as it is idle."""
    worker = Worker()
    worker.waiting = False
    assert worker.looks(1000) == []


def test_a_full_worker_is_not_expected_to_take_more() -> None:
    """Long jobs are no deafness."""
    worker = Worker()
    worker.room = False
    assert worker.looks(1000) == []


def test_a_worker_that_connects_is_not_judged() -> None:
    """While the broker is away the event loop does not turn, and nothing comes."""
    worker = Worker()
    worker.turns = None
    assert worker.looks(1000) == []


def test_silence_while_it_connects_does_not_count() -> None:
    """When it is connected again it has all the time to receive something."""
    worker = Worker()
    assert worker.looks(5) == []
    worker.turns = None
    assert worker.looks(1) == []
    worker.turns = 100
    assert worker.looks(4) == []
    assert worker.looks(1) == [Verdict.RECONNECT]


def test_an_event_loop_that_does_not_turn_ends_the_process() -> None:
    """After thirty seconds, whatever waits."""
    worker = Worker()
    worker.waiting = False
    assert worker.looks(3) == []
    assert worker.looks(14, turning=False) == []
    assert worker.looks(1, turning=False) == [Verdict.STUCK]
