from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError

from tests.ledgers import middle
from vibe_tasks.store.retries import (
    CALL,
    FEWEST,
    OUTCOME,
    WARN_EVERY,
    Counts,
    Persistence,
    Retries,
    passes,
)


class Said(Exception):
    """What a driver raises."""

    def __init__(self, text: str = "said", **codes: Any) -> None:
        super().__init__(text)
        vars(self).update(codes)


def busy() -> OperationalError:
    return OperationalError("", None, Said("database is locked", sqlite_errorcode=5))


def full() -> OperationalError:
    return OperationalError("", None, Said("database or disk is full", sqlite_errorcode=13))


def lost() -> DBAPIError:
    return OperationalError("", None, Said("gone", sqlstate=None), connection_invalidated=True)


def postgres(state: str) -> DBAPIError:
    return OperationalError("", None, Said(state, sqlstate=state))


class Clock:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    """At 100 seconds."""
    return Clock()


@pytest.fixture
def retries(clock: Clock) -> Retries:
    """On that clock, with dice that draw the middle."""
    return Retries(monotonic=lambda: clock.now, sleep=clock.wait, uniform=middle)


def failing(*errors: SQLAlchemyError) -> Callable[[bool], list[bool]]:
    """Fails so often, then returns what each try was told of the ones before."""
    left, told = list(errors), []

    def operation(unsure: bool) -> list[bool]:
        told.append(unsure)
        if left:
            raise left.pop(0)
        return told

    return operation


def test_a_call_is_tried_three_times(retries: Retries, clock: Clock) -> None:
    """S7: 100 ms, doubling; then the error comes out."""
    assert retries.call(failing(busy(), busy())) == [False, False, False]
    with pytest.raises(OperationalError, match="locked"):
        retries.call(failing(busy(), busy(), busy()))
    assert clock.waits == [pytest.approx(0.1), pytest.approx(0.2)] * 2
    assert retries.counts == Counts(calls=2, retried=2, failed=1)


@pytest.mark.parametrize(
    "error", [IntegrityError("", None, Said("twice", sqlite_errorcode=2067)), full(),
              postgres("42601"), SQLAlchemyError("misused")]
)  # fmt: skip
def test_what_does_not_pass_is_not_tried_again(
    retries: Retries, clock: Clock, error: SQLAlchemyError
) -> None:
    """Once, and no wait."""
    with pytest.raises(type(error)):
        retries.call(failing(error))
    assert clock.waits == []
    assert retries.counts == Counts(calls=1)


def test_an_outcome_is_tried_for_minutes(retries: Retries, clock: Clock) -> None:
    """Also for want of space; waits grow to ten seconds, and there is an end."""
    assert len(retries.call(failing(*[full()] * 30), OUTCOME)) == 31
    assert max(clock.waits) == 10
    began = clock.now
    with pytest.raises(OperationalError):
        retries.call(failing(*[busy()] * 1000), OUTCOME)
    assert OUTCOME.seconds <= clock.now - began <= OUTCOME.seconds + 10


def test_after_a_lost_connection_the_next_try_is_told(retries: Retries) -> None:
    """What it was to write may have been written."""
    assert retries.call(failing(busy(), lost())) == [False, False, True]
    assert retries.call(failing(lost(), busy())) == [False, True, True]


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (busy(), True),
        (OperationalError("", None, Said(sqlite_errorcode=sqlite3.SQLITE_BUSY | 2 << 8)), True),
        (OperationalError("", None, Said(sqlite_errorcode=6)), True),
        (OperationalError("", None, Said(sqlite_errorcode=11)), False),
        *((postgres(state), True) for state in ("40001", "40P01", "57P01", "57P03", "53300")),
        (postgres("08006"), True),
        (postgres("23505"), False),
        (OperationalError("", None, Said("connection refused", sqlstate=None)), True),
        (full(), False),
    ],
)
def test_which_errors_pass(error: SQLAlchemyError, again: bool) -> None:
    """Busy and locked, a lost or refused connection, deadlocks, a server that goes or comes."""
    assert passes(error) is again


@pytest.mark.parametrize("error", [full(), postgres("53100")])
def test_a_full_disk_passes_for_what_is_worth_waiting(error: SQLAlchemyError) -> None:
    """Somebody makes room."""
    assert not passes(error)
    assert passes(error, full=True)


def test_many_retries_are_told_once_a_minute(
    retries: Retries, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """S7: a warning when over 20 % of the last calls needed one; a few calls are no share."""
    with caplog.at_level(logging.WARNING):
        for _ in range(FEWEST - 1):
            retries.call(failing(busy()))
        assert not caplog.records
        for _ in range(3):
            retries.call(failing(busy()))
        assert len(caplog.records) == 1
        clock.now += WARN_EVERY
        retries.call(failing(busy()))
        assert len(caplog.records) == 2
    assert "100 % of the last calls" in caplog.text


def test_every_wait_has_its_jitter(clock: Clock) -> None:
    """Calls that failed together do not come back together."""
    low = Retries(monotonic=lambda: clock.now, sleep=clock.wait, uniform=lambda low, _: low)
    high = Retries(monotonic=lambda: clock.now, sleep=clock.wait, uniform=lambda _, high: high)
    for each in (low, high):
        each.call(failing(busy()), Persistence(policy=CALL.policy))
    assert clock.waits == [pytest.approx(0.05), pytest.approx(0.15)]
