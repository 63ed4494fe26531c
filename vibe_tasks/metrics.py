"""What is counted for metrics: the sums that one step of a job's history adds to.

Sums are kept in the ledger, so every web process tells the same counters, and neither a restart
nor the removal of old history takes one back. Names: docs/monitoring.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

BUCKETS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Upper bounds of the histograms, in seconds: from a function's job to an agent's hour."""

WAIT = "vibe_job_wait_seconds"
RUN = "vibe_job_run_seconds"
ATTEMPTS = "vibe_job_attempts_total"
EXPIRED = "vibe_leases_expired_total"
RESENT = "vibe_redispatched_total"

OTHER = "other"
"""In place of a label's value that is one too many, or of an error without a class."""

LEASE_EXPIRED = "lease expired"
"""How the error of an attempt begins whose worker fell silent."""

_CLASS = re.compile(r"([A-Z][A-Za-z0-9_]{1,60})(?::|$)")

Labels = tuple[tuple[str, str], ...]
"""Names and values, in the order of the names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A row of a job's history.

    Attributes:
        before: The status that it left, None for a new job.
        status: The status that it took.
        attempt: Number of the attempt.
        error: What the row tells of it.
        since: Seconds since the job's row before, None where that is not known.
        kind: Kind of the job.
        lane: Its lane.
        agent: Who worked on the attempt; empty for a function's job.
    """

    before: str | None
    status: str
    attempt: int
    error: str | None
    since: float | None
    kind: str
    lane: str
    agent: str


def increments(step: Step) -> Iterator[tuple[str, Labels, float]]:
    """Names, labels and by how much: what this step adds to the sums."""
    if step.status == "processing" and step.attempt == 1:
        yield from observed(WAIT, {"queue": step.lane}, step.since)
    if step.before != "processing":
        return
    whose = {"kind": step.kind, "agent": step.agent}
    yield from observed(RUN, whose, step.since)
    outcome = _outcome(step)
    failed = outcome in {"failed", "dead"}
    told = {**whose, "outcome": outcome, "error_class": error_class(step.error) if failed else ""}
    yield ATTEMPTS, labels(told), 1
    if (step.error or "").startswith(LEASE_EXPIRED):
        yield EXPIRED, (), 1


def observed(
    name: str, whose: Mapping[str, str], seconds: float | None
) -> Iterator[tuple[str, Labels, float]]:
    """What an observation adds to a histogram: to one of its buckets (not to those above it, which
    `cumulated` sums), to its sum and to its count.
    """
    if seconds is None:
        return
    value = max(0.0, seconds)  # a database's clock may have been set back
    bound = next((str(each) for each in BUCKETS if value <= each), "+Inf")
    yield f"{name}_bucket", labels({**whose, "le": bound}), 1
    yield f"{name}_sum", labels(whose), value
    yield f"{name}_count", labels(whose), 1


def cumulated(found: Mapping[str, float]) -> list[tuple[str, float]]:
    """The buckets of a histogram as Prometheus wants them: each with all that are below it.

    Args:
        found: Numbers by upper bound, each observation in one of them.
    """
    total, rows = 0.0, []
    for bound in (*map(str, BUCKETS), "+Inf"):
        total += found.get(bound, 0.0)
        rows.append((bound, total))
    return rows


def labels(values: Mapping[str, str]) -> Labels:
    """These labels in the order of their names."""
    return tuple(sorted(values.items()))


def error_class(error: str | None) -> str:
    """What kind of error a text is of: the name of its type, where it begins with one."""
    found = _CLASS.match(error or "")
    if found:
        return found[1]
    return "LeaseExpired" if (error or "").startswith(LEASE_EXPIRED) else OTHER


def _outcome(step: Step) -> str:
    if step.status == "pending":
        return "failed" if step.error else "returned"
    return {"failed": "dead", "blocked": "stopped"}.get(step.status, step.status)
