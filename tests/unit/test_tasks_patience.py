from __future__ import annotations

from vibe_tasks.tasks.dispatcher import Patience


def test_a_dispatcher_in_step_takes_leases_back() -> None:
    """Looks that follow each other closely may reap, from the first one on."""
    patience = Patience(40.0, now=0.0)

    for now in (0.0, 0.5, 1.0, 10.9):
        assert patience.over(now)
        patience.looked(now)


def test_after_a_pause_the_workers_get_time_for_a_heartbeat() -> None:
    """A machine that slept finds all leases expired; none is taken back for a beat and a half."""
    patience = Patience(40.0, now=0.0)
    patience.looked(0.0)

    assert not patience.over(3600.0)
    patience.looked(3600.0)
    assert not patience.over(3609.0)
    patience.looked(3609.0)
    patience.looked(3614.9)
    assert not patience.over(3614.9)
    assert patience.over(3615.0)


def test_an_outage_of_the_ledger_counts_as_a_pause() -> None:
    """Looks that failed were no looks: what comes after them is patient."""
    patience = Patience(40.0, now=0.0)

    assert patience.over(5.0)  # this look fails, so do those until 12
    assert not patience.over(12.0)


def test_patience_goes_on_in_another_process() -> None:
    """What one process has seen, the next one is told: beat's ticks go to whoever is free."""
    first = Patience(40.0, now=0.0)
    assert not first.over(3600.0)

    second = Patience(40.0, now=first.seen, until=first.until)
    assert not second.over(3601.0)
    second.looked(3601.0)
    third = Patience(40.0, now=3609.0, until=second.until)
    assert not third.over(3614.0)
    assert third.over(3615.0)


def test_a_clock_that_was_set_back_does_not_stop_the_reaping() -> None:
    """Patience of an hour that the clock took back is patience for a beat and a half."""
    patience = Patience(40.0, now=3600.0, until=3615.0)

    assert not patience.over(10.0)
    patience.looked(20.0)
    assert patience.over(25.0)
