"""How to choose the reason why a job waits, from what is known of it.

What a person has to do comes before what passes by itself, and what the ledger knows before what
only the broker knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vibe_tasks.jobs import JobStatus
from vibe_tasks.reasons import Reason, Why
from vibe_tasks.words import counted, span

When = Callable[[float], str | None]
"""A moment in words, of epoch seconds."""

SLOW_DISPATCHER = 10.0
"""Seconds; a dispatcher that lives sends what is due within one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """A worker that serves the job's lane, as far as it is heard of.

    Attributes:
        worker: Its name.
        draining: Whether it takes nothing new.
        full: Whether it has no free slot.
        knows: Whether it knows the job's function; None where that is not known.
        able: Whether it has the labels that the job requires.
    """

    worker: str
    draining: bool = False
    full: bool = False
    knows: bool | None = None
    able: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What the broker says of a job's message.

    Attributes:
        answers: Whether it says anything.
        queue: Where the message is: the lane, or the worker whose own queue it is in; None: in none
            of them.
        own: Whether that is a worker's own queue.
        ahead: Messages of its priority that come before it.
        sure: Whether all queues in which it could be were read to their ends.
    """

    answers: bool
    queue: str | None = None
    own: bool = False
    ahead: int = 0
    sure: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a job that is pending; moments are epoch seconds of the ledger's clock.

    Attributes:
        now: The moment of the look.
        lane: Its lane.
        function: The Celery task that it runs.
        attempt: Attempts so far.
        failures: Those that counted as failures.
        most: The failure of this number is the last.
        error: What its last attempt ended with.
        due_at: When its wait is over; None where it does not wait for a moment.
        start_by: By when it must have started for the first time.
        held: Why it is held in words, with its `Why`; None where it is not.
        published_at: When its message was sent; None where nobody has sent it.
        breaker: The circuit breaker that it waits for, and the seconds until that lets a call try.
        required: The labels that it requires.
        crew: The workers of its lane.
        unsent: Seconds since when the dispatcher should have sent the oldest due message of all.
        grace: Seconds after which a message that is in no queue is sent again.
        message: What the broker says; None where it was not asked.
    """

    now: float
    lane: str
    function: str
    attempt: int = 0
    failures: int = 0
    most: int = 1
    error: str | None = None
    due_at: float | None = None
    start_by: float | None = None
    held: Reason | None = None
    published_at: float | None = None
    breaker: tuple[str, float] | None = None
    required: Sequence[str] = ()
    crew: Sequence[Crew] = ()
    unsent: float = 0.0
    grace: float = 5.0
    message: Message | None = None


def why_pending(facts: Facts, *, when: When, program: str = "vibe") -> Reason:
    """Why a pending job does not run.

    Args:
        facts: What is known of it.
        when: A moment in words.
        program: The word that starts this program.
    """
    if facts.attempt == 0 and facts.start_by is not None and facts.start_by <= facts.now:
        text = f"it had to start by {when(facts.start_by)}; the dispatcher's next look cancels it"
        return Reason(why=Why.LATE, text=text)
    if facts.due_at is not None and facts.due_at > facts.now:
        return _put_off(facts, facts.due_at, when=when, program=program)
    if facts.held is not None:
        return facts.held
    return _lacks_worker(facts, program=program) or _on_its_way(facts, when=when, program=program)


def _put_off(facts: Facts, due_at: float, *, when: When, program: str) -> Reason:
    until = f"until {when(due_at)}"
    last = f": {facts.error}" if facts.error else ""
    # A breaker's and a snooze's wait may come after failures; those stay counted.
    if facts.breaker is not None:
        name, wait = facts.breaker
        opens = f", which lets a few calls try in {span(wait)}" if wait else ", which tries again"
        return Reason(
            why=Why.BREAKER, text=f"{until}, for circuit breaker {name}{opens}",
            mend=f"`{program} report` and the breaker's events tell why it opened",
        )  # fmt: skip
    if not facts.attempt:
        return Reason(why=Why.COUNTDOWN, text=f"{until}, for which it was submitted")
    if facts.failures:
        text = f"{until}, {counted(facts.failures, 'failure')} of {facts.most} so far{last}"
        return Reason(why=Why.BACKOFF, text=text)
    return Reason(why=Why.SNOOZED, text=f"{until}{last}")


def _lacks_worker(facts: Facts, *, program: str) -> Reason | None:
    """What its lane lacks; None where some worker could take it, now or soon."""
    if not facts.crew:
        return Reason(
            why=Why.NOBODY, text=f"no worker serves lane {facts.lane}",
            mend=f"`{program} up`, or `celery -A vibe_tasks worker -Q {facts.lane}`",
        )  # fmt: skip
    there = [each for each in facts.crew if not each.draining]
    if not there:
        names = ", ".join(each.worker for each in facts.crew)
        return Reason(
            why=Why.DRAINING, text=f"all workers of lane {facts.lane} drain: {names}",
            mend=f"start another: `celery -A vibe_tasks worker -Q {facts.lane}`",
        )  # fmt: skip
    able = [each for each in there if each.able]
    if not able:
        return Reason(
            why=Why.LABELS, text=f"no worker of lane {facts.lane} has {', '.join(facts.required)}",
            mend=f"start one that has: VIBE_WORKER_LABELS={','.join(facts.required)}",
        )  # fmt: skip
    if all(each.knows is False for each in able):
        return Reason(
            why=Why.FUNCTION,
            text=f"no worker of lane {facts.lane} knows function {facts.function}",
            mend="name its module in VIBE_IMPORTS of the lane's workers and start them again",
        )  # fmt: skip
    return None


def _on_its_way(facts: Facts, *, when: When, program: str) -> Reason:
    """A job that may start, whose workers are there: where its message is."""
    message = facts.message
    if message is not None and not message.answers:
        return Reason(
            why=Why.BROKER, text="the broker does not answer; it is sent when that is back",
            mend=f"`{program} doctor` tells which",
        )  # fmt: skip
    if facts.published_at is None:
        if facts.unsent > SLOW_DISPATCHER:
            return Reason(
                why=Why.DISPATCHER,
                text=f"its message is not sent: a job is due and unsent since {span(facts.unsent)}",
                mend="start a beat, or `python -m vibe_tasks.tasks.dispatcher`",
            )  # fmt: skip
        return Reason(why=Why.UNSENT, text="its message goes out with the dispatcher's next look")
    if message is not None and message.queue is not None and message.own:
        return Reason(
            why=Why.OWN_QUEUE, text=f"its message is in the own queue of worker {message.queue}, "
            "which starts it or gives it back at once",
        )  # fmt: skip
    if message is not None and message.queue is None and message.sure:
        return _unfound(facts, facts.published_at, when=when)
    return _in_line(facts)


def _unfound(facts: Facts, published_at: float, *, when: When) -> Reason:
    """Its message was sent and is in no queue."""
    if facts.now - published_at <= facts.grace:
        return Reason(why=Why.READY, text="a worker is about to take it")
    again = when(max(facts.now, published_at + facts.grace))
    text = f"its message is in no queue of the broker; it is sent again from {again}"
    return Reason(why=Why.LOST, text=text)


def _in_line(facts: Facts) -> Reason:
    ahead = ""
    if facts.message is not None and facts.message.queue is not None:
        ahead = f", behind {counted(facts.message.ahead, 'message')} of its priority"
    there = [each for each in facts.crew if each.able and not each.draining]
    full = sum(each.full for each in there)
    if full == len(there):
        all_of = "the only worker" if full == 1 else f"all {full} workers"
        text = f"for a free worker: {all_of} of lane {facts.lane} {'is' if full == 1 else 'are'}"
        return Reason(why=Why.FULL, text=f"{text} full{ahead}")
    return Reason(why=Why.IN_LINE, text=f"for a free worker{ahead}")


def why_running(
    *, worker: str | None, attempt: int, started_at: float, lease_until: float, now: float,
    when: When,
) -> Reason:  # fmt: skip
    """What is to be said of a job that is being processed.

    Args:
        worker: Who has it.
        attempt: Of which attempt.
        started_at: Since when, in epoch seconds.
        lease_until: When its lease ends, in epoch seconds.
        now: The moment of the look, in epoch seconds of the ledger's clock.
        when: A moment in words.
    """
    by = f"attempt {attempt} on {worker or 'a worker without a name'} since {when(started_at)}"
    if lease_until < now:
        text = f"{by}, not heard of for {span(now - lease_until)} beyond its lease"
        return Reason(why=Why.LEASE_OVER, text=f"{text}; the dispatcher takes it back")
    return Reason(why=Why.RUNS, text=by)


def why_ended(
    status: str, *, job: str, at: float, by: str | None, error: str | None, dead: bool,
    archived: bool, when: When, program: str = "vibe",
) -> Reason:  # fmt: skip
    """What became of a job that has ended.

    Args:
        status: Its status.
        job: Its id.
        at: When it got that, in epoch seconds.
        by: Who cancelled it, where that is known; else who ran it.
        error: Its error.
        dead: Whether it is a dead letter.
        archived: Whether it is in the archive.
        when: A moment in words.
        program: The word that starts this program.
    """
    kept = "; it is in the archive" if archived else ""
    on = f" by {by}" if by else ""
    told = f": {error}" if error else ""
    if dead:
        mend = "" if archived else f"`{program} dlq retry {job}` brings it back"
        return Reason(why=Why.DEAD, text=f"since {when(at)}{told}{kept}", mend=mend)
    if status == JobStatus.COMPLETED:
        return Reason(why=Why.DONE, text=f"since {when(at)}{on}{kept}")
    mend = "" if archived else f"`{program} jobs retry {job}` brings it back"
    if status == JobStatus.CANCELLED:
        return Reason(why=Why.CANCELLED, text=f"at {when(at)}{on}{told}{kept}", mend=mend)
    return Reason(why=Why.DEAD, text=f"since {when(at)}{told}{kept}", mend=mend)
