"""The dispatcher: sends what is due, notices what the broker lost, takes back expired leases.

One look is `dispatch`; beat calls it as a task, the embedded stack runs `main` as a process
of its own. Any number of dispatchers may look at once.
"""

from __future__ import annotations

import logging
import signal
import threading
from dataclasses import dataclass
from typing import Any

from celery import Celery
from kombu.utils.json import loads

from vibe_tasks.flow import attempts
from vibe_tasks.store import outbox
from vibe_tasks.store.engine import DATABASE_ERRORS, Database
from vibe_tasks.tasks import followers, publisher, resources
from vibe_tasks.tasks.app import app as application
from vibe_tasks.tasks.queues import broker_keys

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """What one look did.

    Attributes:
        sent: Messages sent.
        lost: Messages found missing in the broker; they are sent by the next look.
        reaped: Attempts taken back because their lease had expired.
        wait: Seconds to the next due job, None without one.
    """

    sent: int
    lost: int
    reaped: int
    wait: float | None


def dispatch(app: Celery, ledger: Database, *, grace: float, reap: bool = True) -> Dispatched:
    """Look once.

    Args:
        app: The application whose broker gets the messages.
        ledger: The ledger.
        grace: Seconds a sent message may go unclaimed before the broker is asked for it.
        reap: Whether to take back expired leases.
    """
    reaped = attempts.reap(ledger, uniform=resources.uniform) if reap else attempts.Reaped()
    publisher.publish(app, ledger, reaped.following)
    followers.tell(app, ledger, reaped.dead)
    sent = 0
    while True:
        with ledger.begin() as connection:
            due = outbox.take_unpublished(connection)
        if not due:
            break
        if not publisher.publish(app, ledger, due):
            break
        sent += len(due)
    lost = find_lost(app, ledger, grace=grace)
    with ledger.read() as connection:
        wait = outbox.seconds_to_next(connection)
    return Dispatched(sent=sent, lost=lost, reaped=reaped.taken, wait=wait)


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
            before = None if oldest is None else outbox.sent_at(connection, oldest)
            if oldest is not None and before is None:
                continue  # the head is no waiting job of ours; it will be consumed
            lost += outbox.lost(connection, lane, priority, grace=grace, before=before)
    if lost:
        log.warning("the broker lost %d messages, sending them again", lost)
    return lost


def oldest_message(app: Celery, key: str) -> str | None:
    """The job id of the message that is consumed next from this broker list; None if empty."""
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        raw: Any = channel.client.lindex(key, -1)
    if raw is None:
        return None
    try:
        return str(loads(raw)["headers"]["id"])
    except (ValueError, TypeError, KeyError):
        return ""  # no message of Celery's; whoever put it there must take it away


def main() -> None:
    """Dispatch until told to stop."""
    logging.basicConfig(
        level=resources.settings().log_level, format="%(asctime)s %(levelname)s %(message)s"
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(application, resources.ledger(), stop)


class Patience:
    """When leases may be taken back: not right after a pause.

    A machine that slept, or a ledger that was away, held up the workers' heartbeats just as it
    held us up; every lease has run out, and none of the workers is gone.

    Args:
        lease: Seconds of a lease; a heartbeat comes at each third of it.
        now: Epoch seconds at the start.
    """

    def __init__(self, lease: float, *, now: float) -> None:
        self._beat = lease / 3
        self._seen = now
        self._until = now

    def over(self, now: float) -> bool:
        """Whether leases may be taken back in a look that begins now."""
        if now - self._seen > self._beat:
            self._until = now + 1.5 * self._beat
            self._seen = now
        return now >= self._until

    def looked(self, now: float) -> None:
        """A look that began at this time has come to its end."""
        self._seen = max(self._seen, now)


def run(app: Celery, ledger: Database, stop: threading.Event) -> None:
    """Look every `dispatch_seconds`, sooner when a job is due sooner, until `stop` is set."""
    settings = resources.settings()
    patience = Patience(settings.lease_seconds, now=resources.wall_clock())
    while not stop.is_set():
        wait = settings.dispatch_seconds
        now = resources.wall_clock()
        try:
            done = dispatch(app, ledger, grace=settings.republish_seconds, reap=patience.over(now))
            patience.looked(resources.wall_clock())
            if done.wait is not None:
                wait = min(wait, max(0.01, done.wait))
        except DATABASE_ERRORS as error:
            log.warning("ledger away, next look in %.1f s: %s", wait, error)
        stop.wait(min(wait, settings.lease_seconds / 6))


if __name__ == "__main__":
    main()
