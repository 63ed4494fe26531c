from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from vibe_tasks.metrics import (
    ATTEMPTS,
    BUCKETS,
    EXPIRED,
    RUN,
    WAIT,
    Step,
    cumulated,
    error_class,
    increments,
)


def step(**fields: Any) -> Step:
    """The end of an attempt."""
    return Step(**{
        "before": "processing", "status": "completed", "attempt": 1, "error": None, "since": 2.0,
        "kind": "dev", "lane": "code", "agent": "mine", **fields,
    })  # fmt: skip


def counted(*steps: Step) -> Counter[str]:
    """What they add, by the metric's name."""
    return Counter({name: int(value) for each in steps for name, _, value in increments(each)})


def test_a_first_start_tells_how_long_the_job_waited() -> None:
    """Later ones would tell of back-off."""
    start = step(before="pending", status="processing", since=0.7)
    assert list(increments(start)) == [
        (f"{WAIT}_bucket", (("le", "1.0"), ("queue", "code")), 1),
        (f"{WAIT}_sum", (("queue", "code"),), 0.7),
        (f"{WAIT}_count", (("queue", "code"),), 1),
    ]
    assert not list(increments(step(before="pending", status="processing", attempt=2)))


@pytest.mark.parametrize(
    ("status", "error", "outcome", "kind"),
    [
        ("completed", None, "completed", ""),
        ("pending", "ValueError: no", "failed", "ValueError"),
        ("pending", None, "returned", ""),
        ("failed", "OSError", "dead", "OSError"),
        ("failed", "the checks do not pass", "dead", "other"),
        ("cancelled", "enough", "cancelled", ""),
        ("blocked", "budget", "stopped", ""),
    ],
)
def test_the_end_of_an_attempt_is_counted(
    status: str, error: str | None, outcome: str, kind: str
) -> None:
    """By what became of it; only failures have a class."""
    found = {name: labels for name, labels, _ in increments(step(status=status, error=error))}
    assert dict(found[ATTEMPTS]) == {
        "kind": "dev", "agent": "mine", "outcome": outcome, "error_class": kind,
    }  # fmt: skip
    assert dict(found[f"{RUN}_bucket"])["le"] == "2.5"


def test_a_silent_worker_is_counted_apart() -> None:
    """Its attempt too."""
    found = counted(step(status="pending", error="lease expired: no heartbeat of w for 8 s"))
    assert (found[EXPIRED], found[ATTEMPTS]) == (1, 1)
    assert error_class("lease expired: no heartbeat") == "LeaseExpired"


def test_other_moves_add_nothing() -> None:
    """A new job, and one that is unblocked."""
    assert not counted(
        step(before=None, status="pending"), step(before="blocked", status="pending")
    )


def test_what_is_not_known_is_no_observation() -> None:
    """The row before is in the archive; a clock that went back is no negative time."""
    assert f"{RUN}_count" not in counted(step(since=None))
    sums = {name: value for name, _, value in increments(step(since=-3.0))}
    assert sums[f"{RUN}_sum"] == 0.0


def test_buckets_contain_those_below_them() -> None:
    """And the last one all."""
    rows = cumulated({"0.5": 2, "10.0": 1, "+Inf": 4})
    assert [bound for bound, _ in rows] == [*map(str, BUCKETS), "+Inf"]
    assert dict(rows)["0.1"] == 0
    assert (dict(rows)["1.0"], dict(rows)["10.0"], dict(rows)["+Inf"]) == (2, 3, 7)


@pytest.mark.parametrize(
    ("error", "kind"),
    [("ZeroDivisionError: division by zero", "ZeroDivisionError"), ("Timeout", "Timeout"),
     ("Error of mine: x", "other"), ("", "other"), (None, "other"), ("A" * 99, "other")],
)  # fmt: skip
def test_a_class_is_a_name_and_not_a_sentence(error: str | None, kind: str) -> None:
    """Sentences would make a metric of each error."""
    assert error_class(error) == kind
