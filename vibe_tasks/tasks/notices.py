"""Notifications through the broker, for ledgers on SQLite; PostgreSQL sends its own.

A thread of each process sends what its transactions did. Nobody waits for it: a broker that is
away, slow or full costs a notification, which polling makes good, and never a job's time. While
nobody listens almost nothing is sent: the answer "nobody" holds for `DEAF` seconds.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from kombu import Connection
from redis import Redis

from vibe_tasks.errors import UnavailableError
from vibe_tasks.store.engine import Database
from vibe_tasks.store.listening import CHANNELS, Notification, notification_of
from vibe_tasks.store.telling import Moved, Tell, mark_of, notifications_of
from vibe_tasks.tasks.queues import BROKER_ERRORS, TRANSPORT_OPTIONS

log = logging.getLogger(__name__)

DEAF = 1.0
"""Seconds for which the answer holds that nobody listens. Who begins to listen must look at the
ledger once more after that time."""

LONGEST_REST = 30.0
"""Seconds between two tries to reach a broker that is away; they double from `DEAF` on."""

MOST_WAITING = 10_000
"""Moves that wait to be told; more are dropped, oldest first, and found by polling."""

IDLE = 10.0
"""Seconds after which a thread that has nothing to tell ends, and its connection with it."""

AT_THE_END = 0.5
"""Seconds that a process which ends gives to what it has not yet told."""

Connect = Callable[[], Redis]
"""Makes a client of the broker; raises one of `BROKER_ERRORS`."""


def channel_of(mark: str, channel: str) -> str:
    """The broker's channel for these notifications of this ledger."""
    return f"vibe:{mark}:{channel}"


def connect_to(url: str, *, patience: float) -> Redis:
    """A client of the broker at this URL, of any kind that kombu knows as Redis.

    Let go of it with `hang_up`.

    Args:
        url: As of the setting `broker_url`.
        patience: Seconds to wait for an answer.

    Raises:
        One of `BROKER_ERRORS`: It does not answer.
    """
    options = TRANSPORT_OPTIONS | {"socket_connect_timeout": patience, "socket_timeout": patience}
    with Connection(url, transport_options=options, connect_timeout=patience) as connection:
        channel: Any = connection.default_channel
        with channel.conn_or_acquire() as made:
            client: Redis = made
    return client  # its pool outlives kombu's connection, and connects again


def hang_up(client: Redis) -> None:
    """Close all connections of a client that `connect_to` has made."""
    with suppress(*BROKER_ERRORS):
        client.connection_pool.disconnect()


def teller(
    database: Database, broker_url: str, *, patience: float, monotonic: Callable[[], float]
) -> Tell:
    """What tells the users of this ledger; does nothing where the broker cannot.

    Args:
        database: The ledger, on SQLite.
        broker_url: As of the setting.
        patience: Seconds to wait for the broker's answer.
        monotonic: Seconds that only grow.
    """
    if broker_url.startswith("memory:"):
        return lambda _moved: None
    return Teller(database, lambda: connect_to(broker_url, patience=patience), monotonic=monotonic)


class Teller:
    """Sends what this process did to jobs; called with each commit.

    Args:
        database: The ledger, on SQLite.
        connect: Makes a client of the broker.
        monotonic: Seconds that only grow.
    """

    def __init__(
        self, database: Database, connect: Connect, *, monotonic: Callable[[], float]
    ) -> None:
        self._database = database
        self._connect = connect
        self._monotonic = monotonic
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._process = os.getpid()
        self._waiting: deque[Moved] = deque(maxlen=MOST_WAITING)
        self._there_is_more = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._deaf_until = 0.0
        self._rest = DEAF
        self._client: Redis | None = None

    def __call__(self, moved: Sequence[Moved]) -> None:
        """Tell whoever listens, soon."""
        if self._monotonic() < self._deaf_until or self._closed:
            return
        if self._process != os.getpid():
            self._begin_anew()  # forked: the thread and its connection are the parent's
        self._waiting.extend(moved)
        self._there_is_more.set()
        if self._thread is None:
            self._start()

    def close(self) -> None:
        """Tell what is left, within `AT_THE_END`; from then on nothing."""
        self._closed = True
        self._there_is_more.set()
        if self._thread is not None and self._process == os.getpid():
            self._thread.join(AT_THE_END)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="notices", daemon=True)
                self._thread.start()
                atexit.register(self.close)

    def _run(self) -> None:
        while True:
            if not self._there_is_more.wait(IDLE):
                self._hang_up()
                atexit.unregister(self.close)
                self._thread = None
                if self._there_is_more.is_set():  # who set it may have seen this thread
                    self._start()
                return
            self._there_is_more.clear()
            some = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if some:
                self._tell(some)
            if self._closed and not self._waiting:
                self._hang_up()
                return

    def _tell(self, moved: Sequence[Moved]) -> None:
        try:
            heard = self._send([each for row in moved for each in notifications_of(row)])
        except BROKER_ERRORS as error:
            log.debug("nobody is notified for %.0f s, the broker is away: %s", self._rest, error)
            self._hang_up()
            self._deaf_until = self._monotonic() + self._rest
            self._rest = min(LONGEST_REST, 2 * self._rest)
            return
        self._rest = DEAF
        if not heard:
            self._deaf_until = self._monotonic() + DEAF

    def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            hang_up(client)

    def _send(self, notifications: Sequence[Notification]) -> bool:
        """Whether somebody listens."""
        if self._client is None:
            self._client = self._connect()
        mark = mark_of(self._database)
        with self._client.pipeline(transaction=False) as pipeline:
            for each in notifications:
                pipeline.publish(channel_of(mark, each.channel), each.payload())
            pipeline.pubsub_numsub(*(channel_of(mark, channel) for channel in CHANNELS))
            *_, listeners = pipeline.execute()
        return any(count for _, count in listeners)


class Subscription:
    """The notifications of a ledger on SQLite, heard through the broker.

    Any thread may close it. After an error it is of no more use: make another one.

    Args:
        database: The ledger.
        connect: Makes a client of the broker.

    Raises:
        UnavailableError: The broker does not answer, or the ledger is gone.
    """

    def __init__(self, database: Database, connect: Connect) -> None:
        self._turn, self._closing = threading.Lock(), threading.Lock()
        self._closed = threading.Event()
        self._names: dict[str, str] = {}
        self._confirmed = 0
        try:
            mark = mark_of(database)
            self._names = {channel_of(mark, channel): channel for channel in CHANNELS}
            self._farewell = channel_of(mark, uuid4().hex)
            self._client = connect()
        except BROKER_ERRORS as error:
            raise UnavailableError(f"cannot listen to the broker: {error}") from error
        self._pubsub: Any = self._client.pubsub()
        try:
            self._pubsub.subscribe(*self._names, self._farewell)
        except BROKER_ERRORS as error:
            self._hang_up()
            raise UnavailableError(f"cannot listen to the broker: {error}") from error

    def receive(self, timeout: float) -> Sequence[Notification]:
        """What has come, waiting at most so many seconds for the first; empty once closed.

        Raises:
            UnavailableError: The connection was lost, and with it maybe some notifications.
        """
        try:
            with self._turn:
                return self._heard(timeout)
        except BROKER_ERRORS as error:
            raise UnavailableError(f"the broker's notifications: {error}") from error

    def _heard(self, timeout: float) -> Sequence[Notification]:
        found: list[Notification] = []
        while not self._closed.is_set():
            message = self._pubsub.get_message(timeout=0 if found else timeout)
            if message is None:
                break
            if message["type"] == "subscribe":
                self._confirmed += 1
                if self._confirmed > len(self._names) + 1:
                    raise UnavailableError("the broker was away")
                continue
            channel = self._names.get(message["channel"].decode())
            if channel is None:
                break  # farewell
            notification = notification_of(channel, message["data"])
            if notification is not None:
                found.append(notification)
        return found

    def close(self) -> None:
        """Stop listening; a `receive` that waits in another thread returns.

        Where it does, the connections stay open until it has: close it there as well.
        """
        with self._closing:  # the receiver must not hang up while the farewell is on its way
            if not self._closed.is_set():
                self._closed.set()
                with suppress(*BROKER_ERRORS):
                    self._client.publish(self._farewell, "")
            if self._turn.acquire(blocking=False):
                self._hang_up()
                self._turn.release()

    def _hang_up(self) -> None:
        with suppress(*BROKER_ERRORS):
            self._pubsub.close()
        hang_up(self._client)
