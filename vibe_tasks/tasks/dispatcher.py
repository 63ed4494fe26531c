"""The dispatcher: sends what is due, gives held jobs their turn, ends those past their deadline,
notices what the broker lost, takes back expired leases.

One look is `dispatch`; beat calls it as a task, the embedded stack runs `main` as a process
of its own. Any number of dispatchers may look at once.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from celery import Celery

from vibe_tasks.errors import InputError, UnavailableError
from vibe_tasks.flow import attempts, deadlines
from vibe_tasks.metrics import RESENT
from vibe_tasks.store import held, metric_totals, outbox
from vibe_tasks.store.engine import DATABASE_ERRORS, Database
from vibe_tasks.store.retries import passes
from vibe_tasks.tasks import alive, followers, processes, publisher, resources
from vibe_tasks.tasks.app import app as application
from vibe_tasks.tasks.archiving import ArchivingTurns
from vibe_tasks.tasks.event_trimming import TrimmingTurns
from vibe_tasks.tasks.main_process import reclaim, steps
from vibe_tasks.tasks.main_process.worker_turns import WorkerTurns
from vibe_tasks.tasks.observation import logs, traces
from vibe_tasks.tasks.queues import broker_keys
from vibe_tasks.tasks.vacuuming import VacuumTurns

log = logging.getLogger(__name__)

Result = TypeVar("Result")

SEEKS_IN_GRACE = 5
"""How often the broker is asked for lost messages within the time that one may be on its way."""

LEDGER_AWAY = 1.0
"""Seconds between two tries to open the ledger at the start."""

BITES = 10
"""Batches of messages that one look sends at most: what comes after it, above all the reaping of
the next look, must not wait for a backlog of fifty thousand."""

worker_turns = WorkerTurns()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """What one look did.

    Attributes:
        sent: Messages sent.
        lost: Messages found missing in the broker; they are sent again, to their lanes.
        reaped: Attempts taken back because their lease had expired.
        given_up: Jobs cancelled because they had not started by their deadline.
        wait: Seconds to the next job that is due or may have its turn, 0 where there was more
            to send or give up than one look does, None without any.
    """

    sent: int
    lost: int
    reaped: int
    given_up: int = 0
    wait: float | None = None


def dispatch(
    app: Celery, ledger: Database, *, grace: float, reap: bool = True, seek: bool = True
) -> Dispatched:
    """Look once.

    What waits for an answer of the broker is tried once: a broker that hangs holds up a look,
    and with it the leases of the dead, for no more than a few of its timeouts.

    Args:
        app: The application whose broker gets the messages.
        ledger: The ledger.
        grace: Seconds a sent message may go unclaimed before the broker is asked for it.
        reap: Whether to take back expired leases.
        seek: Whether to look for messages that the broker lost.
    """
    reaped = _unless_broken(lambda: _reap(ledger, late=reap), attempts.Reaped())
    none: tuple[tuple[str, ...], bool] = ((), False)
    late, later = _unless_broken(lambda: deadlines.give_up_late(ledger), none)
    answers = publisher.publish(app, ledger, reaped.following)
    if answers:
        dead = [*reaped.dead, *late]
        answers = _unless_broken(lambda: followers.tell(app, ledger, dead), otherwise=True)
    sent, more = _send_due(app, ledger) if answers else (0, False)
    wait: float | None = None
    if answers and not more:
        given, more, wait = _give_turns(app, ledger)
        sent += given + _unless_broken(lambda: worker_turns.give(app, ledger), 0)
    lost = 0
    if answers and seek:
        lease = resources.settings().lease_seconds
        if _unless_broken(lambda: reclaim.reclaim(app, ledger, lease=lease), 0) != reclaim.AWAY:
            lost = find_lost(app, ledger, grace=grace)
    if lost:
        again, also = _send_due(app, ledger, routed=False)
        sent, more = sent + again, more or also
    with ledger.read() as connection:
        waits = [each for each in (wait, outbox.seconds_to_next(connection)) if each is not None]
    return Dispatched(
        sent=sent, lost=lost, reaped=reaped.taken, given_up=len(late),
        wait=0.0 if more or later else min(waits, default=None),
    )  # fmt: skip


def _reap(ledger: Database, *, late: bool) -> attempts.Reaped:
    return attempts.reap(
        ledger, uniform=resources.uniform, late=late, host=processes.this_host(),
        gone=steps.is_gone, tell=traces.lost,
    )  # fmt: skip


def _unless_broken(work: Callable[[], Result], otherwise: Result) -> Result:
    """What this comes to. Where it breaks by what one job has made of its rows, all the others are
    to be sent all the same: it is logged, and the look goes on.
    """
    try:
        return work()
    except DATABASE_ERRORS as error:
        if passes(error, full=True):
            raise  # the ledger is away: nothing can be done
        log.exception("a look of the dispatcher does without a part")
    except Exception:  # the edge of the process: it must outlive what it meets
        log.exception("a look of the dispatcher does without a part")
    return otherwise


def _send_due(app: Celery, ledger: Database, *, routed: bool = True) -> tuple[int, bool]:
    """Send what nobody has sent, to the lanes alone unless it is `routed`; how many messages, and
    whether there is more.
    """
    sent = 0
    for _ in range(BITES):
        with ledger.begin() as connection:
            due = outbox.take_unpublished(connection)
        if not due:
            with ledger.read() as connection:
                if not outbox.any_unsent(connection):
                    return sent, False
        elif not publisher.publish(app, ledger, due, routed=routed):
            return sent, False
        sent += len(due)
    return sent, True


def _give_turns(app: Celery, ledger: Database) -> tuple[int, bool, float | None]:
    """Send what was held and may start; how many messages, whether there is more, and the seconds
    until a lane's rate allows another.
    """
    sent = 0
    for _ in range(BITES):
        with ledger.read() as connection:
            found = held.waiting(connection)
        if not found:
            return sent, False, found.wait
        with ledger.begin() as connection:
            turns = held.give_turns(connection, found=found)
            messages = outbox.publications(connection, turns.job_ids)
        if not publisher.publish(app, ledger, messages) or not turns.more:
            return sent + len(messages), False, turns.wait
        sent += len(messages)
    return sent, True, None


def find_lost(app: Celery, ledger: Database, *, grace: float) -> int:
    """Return to the outbox what was sent and is no longer in the broker; how many.

    A queue is first in, first out: what was sent well before its oldest message is gone, and
    what was sent before now is gone when the queue is empty. So a long queue costs one look
    at its end, and a backlog is not sent twice.
    """
    with ledger.read() as connection:
        levels = outbox.awaited(connection, grace=grace)
    lost = 0
    for lane, priority in levels:
        try:
            oldest = oldest_message(app, broker_keys(lane)[priority])
        except publisher.BROKER_ERRORS as error:
            log.warning("cannot look into the broker: %s", error)
            return lost
        with ledger.begin() as connection:
            before = None
            if oldest is not None:
                latest = outbox.sent_at(connection, oldest.job_id)
                if latest is None:
                    continue  # the head is no waiting job of ours; it will be consumed
                # A job that was sent again has a later message too; a sender's clock may be ahead.
                before = min(latest, oldest.at)
            again = outbox.lost(connection, lane, priority, grace=grace, before=before)
            if again:
                metric_totals.add(connection, {(RESENT, (("reason", "lost"),)): again})
            lost += again
    if lost:
        log.warning("the broker lost %d messages, sending them again", lost)
    return lost


def oldest_message(app: Celery, key: str) -> publisher.Sent | None:
    """The message that is consumed next from this broker list, that of job "" where it is none of
    ours; None if the list is empty.
    """
    with app.connection_for_write() as connection:
        raw: Any = connection.default_channel.client.lindex(key, -1)
    if raw is None:
        return None
    return publisher.sent_of(raw) or publisher.Sent(job_id="", at=0.0)


def main() -> None:
    """Dispatch until told to stop."""
    logs.set_up()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        ledger = wait_for_ledger(stop)
    except InputError as error:
        sys.stderr.write(f"vibe: {error}\n")
        raise SystemExit(2) from error
    if ledger is not None:
        run(application, ledger, stop)


def wait_for_ledger(stop: threading.Event) -> Database | None:
    """The ledger, once it answers; None when `stop` is set before.

    Raises:
        InputError: It answers, and cannot be used: its schema is of another version.
    """
    while not stop.is_set():
        alive.sign()
        try:
            return resources.ledger()
        except UnavailableError as error:
            log.warning("ledger away, next look in %.1f s: %s", LEDGER_AWAY, error)
            stop.wait(LEDGER_AWAY)
    return None


class Patience:
    """When leases may be taken back: not right after a pause.

    A machine that slept, or a ledger that was away, held up the workers' heartbeats just as it
    held us up; every lease has run out, and none of the workers is gone.

    Args:
        lease: Seconds of a lease; a heartbeat comes at each quarter of it.
        now: Epoch seconds at the end of the last look, or at the start.
        until: Epoch seconds until which an earlier pause asks for patience.
    """

    def __init__(self, lease: float, *, now: float, until: float | None = None) -> None:
        self._beat = lease / 4
        self.seen = now
        self.until = now if until is None else until

    def over(self, now: float) -> bool:
        """Whether leases may be taken back in a look that begins now."""
        set_back = self.until - now > 2 * self._beat
        if now - self.seen > self._beat or set_back:
            self.until = now + 1.5 * self._beat
            self.seen = now
        return now >= self.until

    def looked(self, now: float) -> None:
        """A look that began at this time has come to its end."""
        self.seen = max(self.seen, now)


def run(app: Celery, ledger: Database, stop: threading.Event) -> None:
    """Look every `dispatch_seconds`, sooner when a job is due sooner, until `stop` is set."""
    settings = resources.settings()
    patience = Patience(settings.lease_seconds, now=resources.wall_clock())
    trimming = TrimmingTurns(ledger, settings, monotonic=resources.monotonic, pause=resources.pause)
    archiving = ArchivingTurns(
        ledger, settings, home=resources.home(), monotonic=resources.monotonic,
        pause=resources.pause,
    )  # fmt: skip
    vacuuming = VacuumTurns(ledger, monotonic=resources.monotonic, pause=resources.pause)
    sought = -settings.republish_seconds
    while not stop.is_set():
        alive.sign()
        wait = settings.dispatch_seconds
        now = resources.wall_clock()
        # A look through all that is in the broker costs the more the longer its queues are.
        seek = resources.monotonic() - sought >= settings.republish_seconds / SEEKS_IN_GRACE
        if seek:
            sought = resources.monotonic()
        try:
            done = dispatch(
                app, ledger, grace=settings.republish_seconds, reap=patience.over(now), seek=seek
            )
            patience.looked(resources.wall_clock())
            if done.wait is not None:
                wait = min(wait, max(0.01, done.wait))
            trimming.take()
            archiving.take()
            vacuuming.take()
        except DATABASE_ERRORS as error:
            log.warning("ledger away, next look in %.1f s: %s", wait, error)
        except Exception:  # the edge of the process: the next look may go better
            log.exception("a look of the dispatcher failed, next look in %.1f s", wait)
        stop.wait(min(wait, settings.lease_seconds / 6))


if __name__ == "__main__":
    main()
