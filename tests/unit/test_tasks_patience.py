from __future__ import annotations

from vibe_tasks.tasks.dispatcher import Patience


def test_a_dispatcher_in_step_takes_leases_back() -> None:
    """Looks that follow each other closely may reap, from the first one on."""
    patience = Patience(30.0, now=0.0)

    for now in (0.0, 0.5, 1.0, 10.9):
        assert patience.over(now)
        patience.looked(now)


def test_after_a_pause_the_workers_get_time_for_a_heartbeat() -> None:
    """A machine that slept finds all leases expired; none is taken back for half a lease."""
    patience = Patience(30.0, now=0.0)
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
    patience = Patience(30.0, now=0.0)

    assert patience.over(5.0)  # this look fails, so do those until 12
    assert not patience.over(12.0)
