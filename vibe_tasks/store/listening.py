"""Notifications of the ledger: a job became ready, or its status changed.

PostgreSQL sends them itself, from triggers: `Listener` hears them over a connection of its own.
SQLite has no such thing; there each process collects what its own transactions did
(`store.telling`) and `tasks.notices` sends it through the broker. The words are the same.

Nobody may rely on a notification alone: it is lost where nobody listens at that moment.
"""

from __future__ import annotations

import json
import selectors
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

from vibe_tasks.errors import UnavailableError
from vibe_tasks.store.engine import DATABASE_ERRORS, Database, run_plain
from vibe_tasks.store.statement import driver

NEW_JOB = "new_job"
"""A job became ready: submitted, unblocked, returned, or its wait is over. Its payload is a JSON
object with `job_id`, `lane` and `priority`."""

STATUS_CHANGED = "job_status_changed"
"""A job's status changed; `job_id`, `lane`, `old_status` and `new_status`."""

CHANNELS = (NEW_JOB, STATUS_CHANGED)

LONGEST_NAME = 500
"""Characters of an id or lane in a payload: PostgreSQL takes no more than 8,000 bytes in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What one notification says.

    Attributes:
        channel: `NEW_JOB` or `STATUS_CHANGED`.
        job_id: The job, cut to `LONGEST_NAME` characters.
        lane: Its lane, cut likewise.
        priority: Of a new job, from 0, the most urgent, to 4.
        old_status: Of a change, one of `jobs.JobStatus`.
        new_status: Of a change, one of `jobs.JobStatus`.
    """

    channel: str
    job_id: str
    lane: str
    priority: int | None = None
    old_status: str | None = None
    new_status: str | None = None

    def payload(self) -> str:
        """The JSON text that goes over the wire."""
        fields: dict[str, Any] = {
            "job_id": self.job_id[:LONGEST_NAME], "lane": self.lane[:LONGEST_NAME],
        }  # fmt: skip
        if self.channel == NEW_JOB:
            fields["priority"] = self.priority
        else:
            fields |= {"old_status": self.old_status, "new_status": self.new_status}
        return json.dumps(fields)


_FIELDS = tuple(each.name for each in fields(Notification) if each.name != "channel")


def notification_of(channel: str, payload: str | bytes) -> Notification | None:
    """The notification with this payload, also that of a newer version, which may say more; None
    where it is none of ours.
    """
    try:
        said = json.loads(payload)
        known = {name: said[name] for name in _FIELDS if name in said}
        return Notification(channel=channel, **known)
    except (TypeError, ValueError):
        return None


class Listener:
    """PostgreSQL's notifications, over one connection of its own.

    Any thread may close it. After an error it is of no more use: make another one.

    Args:
        database: The ledger, on PostgreSQL.

    Raises:
        UnavailableError: The server does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._turn = threading.Lock()
        self._closed = False
        try:
            self._connection = database.engine.connect()
            self._connection.detach()  # the pool makes another when it needs one
            for channel in CHANNELS:
                run_plain(self._connection, f"LISTEN {channel}")
        except DATABASE_ERRORS as error:
            raise UnavailableError(f"cannot listen to the ledger: {error}") from error
        self._ear, self._mouth = socket.socketpair()
        # Not `select`, which knows no file number above 1,023.
        self._heard = selectors.DefaultSelector()
        self._heard.register(self._ear, selectors.EVENT_READ)
        self._heard.register(driver(self._connection), selectors.EVENT_READ)

    def receive(self, timeout: float) -> Sequence[Notification]:
        """What has come, waiting at most so many seconds for the first; empty once closed.

        Raises:
            UnavailableError: The connection is lost, and with it maybe some notifications.
        """
        with self._turn:
            if self._closed:
                return ()
            connection = driver(self._connection)
            try:
                # What came along with the answer to LISTEN is there already.
                found = list(connection.notifies(timeout=0))
                if not found:
                    ready = [key.fileobj for key, _ in self._heard.select(timeout)]
                    if connection in ready:
                        found = list(connection.notifies(timeout=0))
            except self._errors as error:
                raise UnavailableError(f"the ledger's notifications: {error}") from error
        known = (notification_of(each.channel, each.payload) for each in found)
        return [each for each in known if each is not None]

    def close(self) -> None:
        """Stop listening; a `receive` that waits in another thread returns."""
        with suppress(OSError):  # closed twice
            self._mouth.send(b"!")
        with self._turn:
            if not self._closed:
                self._closed = True
                with suppress(*self._errors, *DATABASE_ERRORS):
                    self._connection.close()
                self._heard.close()
                self._ear.close()
                self._mouth.close()

    @property
    def _errors(self) -> tuple[type[Exception], ...]:
        return (self._connection.dialect.loaded_dbapi.Error, OSError)
