"""Why a job has not run yet, or what became of it: every answer that there is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Why(StrEnum):
    """Every reason."""

    NEEDS = "needs"  #: blocked: tasks that it needs are not deployed yet
    NEED_IS_DEAD = "need is dead"  #: blocked: one of them is dead or cancelled
    APPROVAL = "approval"  #: blocked: a person has to look at its deploy
    BUDGET = "budget"  #: blocked: what it may use is used up
    MEMBERS = "members"  #: blocked: the members of its chord have not all completed
    OTHER_WORK = "other work"  #: blocked: work that the ledger does not know has to come first
    LATE = "late"  #: its deadline has passed; it is about to be cancelled
    BREAKER = "breaker"  #: put off: a circuit breaker is open
    BACKOFF = "backoff"  #: put off after a failure
    SNOOZED = "snoozed"  #: put off, no failure counted
    COUNTDOWN = "countdown"  #: not due yet
    PAUSED = "paused"  #: its lane is paused
    LIMIT = "limit"  #: as many of its lane run as may
    RATE = "rate"  #: as many of its lane have started as may
    KEY = "key"  #: another job has its concurrency key
    LABELS = "labels"  #: no worker of its lane has the labels that it requires
    LABELS_BUSY = "labels busy"  #: those that have them are full
    TURN = "turn"  #: its turn has come; the dispatcher gives it
    NOBODY = "nobody"  #: no worker serves its lane
    DRAINING = "draining"  #: all workers of its lane drain
    FUNCTION = "function"  #: no worker of its lane knows its function
    FULL = "full"  #: all workers of its lane are full
    BROKER = "broker"  #: its message cannot be sent or received: the broker is away
    DISPATCHER = "dispatcher"  #: its message is not sent, and nobody sends any
    UNSENT = "unsent"  #: its message is about to be sent
    OWN_QUEUE = "own queue"  #: its message waits for one worker
    LOST = "lost"  #: its message is gone; it is sent again
    IN_LINE = "in line"  #: its message waits in its lane
    READY = "ready"  #: a worker is about to take it
    RUNS = "runs"  #: a worker has it
    LEASE_OVER = "lease over"  #: who had it has fallen silent; it is taken back
    DONE = "done"  #: completed
    DEAD = "dead"  #: failed for the last time
    CANCELLED = "cancelled"  #: will not run (again)


STATES = {
    Why.RUNS: "runs", Why.LEASE_OVER: "runs", Why.DONE: "is done", Why.DEAD: "is dead",
    Why.CANCELLED: "was cancelled",
}  # fmt: skip
"""What a job with this reason does; with all others it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a job is where it is.

    Attributes:
        why: Which of the reasons.
        text: In words, as it goes on after `it waits: `.
        mend: What lets it go on, a command where there is one; empty where that comes by itself.
    """

    why: Why
    text: str
    mend: str = ""

    def sentence(self, job: str) -> str:
        """The answer to "why has it not run yet?" of a job, by its name."""
        end = f"; {self.mend}" if self.mend else ""
        return f"{job} {STATES.get(self.why, 'waits')}: {self.text}{end}"
