"""All events in the order of their ids, from one on, as they are committed: no gap, no double.

SQLite has one writer at a time, so ids become visible in their order. On PostgreSQL a transaction
may draw an id and be committed after one that drew a greater one. Where an id is missing the feed
waits: its transaction is under way, or it never comes (rolled back, removed). Each writer takes its
transaction's id before it draws an event's (`events`), so the feed takes one for itself when it
meets a gap: once every transaction with a lesser one has ended, what is still missing never comes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import Connection, literal_column, select, text

from vibe_tasks.store.engine import Database
from vibe_tasks.store.event_query import after as events_after
from vibe_tasks.store.event_rows import EventRow
from vibe_tasks.store.event_tables import events
from vibe_tasks.store.statement import Statement

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds to wait for a transaction that may fill a gap: one that stays open, whatever it does,
must not hold up everybody's events."""

LOOK_BACK = 1_000
"""Events among whose ids a new feed looks for gaps that may still be filled."""

_OWN_NUMBER = Statement(text("SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)"))
_OLDEST_OPEN = Statement(
    text("SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint), vibe_now()")
)
_LATEST = Statement(
    select(events.c.id).order_by(events.c.id.desc()).limit(literal_column(str(LOOK_BACK)))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gap:
    """Ids that were missing when there was a greater one.

    Attributes:
        before: The greatest id that was there; what it lacks was drawn before.
        fence: Transactions that may fill it have lesser numbers.
        until: When to give up, in epoch seconds of the ledger's clock.
    """

    before: int
    fence: int
    until: float


class EventFeed:
    """Reads on where it left off. Not for several threads at once.

    Args:
        database: The ledger.
        after: The id after which to begin; `event_query.last_id` for what is yet to come.
        patience: Seconds to wait for a transaction that may fill a gap.
    """

    def __init__(self, database: Database, after: int, *, patience: float = PATIENCE) -> None:
        self._database = database
        self._patience = patience
        self._gap: _Gap | None = None
        self._settled = after
        self.position = after
        """The id up to which all events have been read."""

    @classmethod
    def from_end(cls, database: Database, *, patience: float = PATIENCE) -> EventFeed:
        """A feed of what is yet to come, that of transactions under way included."""
        with database.read() as connection:
            ids = sorted(row[0] for row in _LATEST.all(connection, {}))
            last = ids[-1] if ids else 0
            if len(ids) < LOOK_BACK:
                ids = [0, *ids]
            feed = cls(database, last, patience=patience)
            before_gap = next((low for low, high in pairwise(ids) if high != low + 1), last)
            if before_gap != last and not database.is_sqlite:
                feed._meet_gap(connection, last)
                if feed._gap is not None:  # it may still be filled
                    feed.position = feed._settled = before_gap
        return feed

    def read(self, limit: int = 1000) -> tuple[EventRow, ...]:
        """What has come since, by id; empty where nothing has, or what has must still wait.

        Does not wait itself. Raises the database's errors, and goes on from the same place then.
        """
        with self._database.read() as connection:
            if self._database.is_sqlite:
                return self._passed(events_after(connection, self.position, limit=limit))
            if self._gap is not None:
                self._look_at_gap(connection, self._gap)
            found = events_after(connection, self.position, limit=limit)
            whole = self._without_gap(found)
            if len(whole) < len(found) and self._gap is None:
                # Most transactions end within moments: a second look spares a turn of waiting.
                self._meet_gap(connection, found[-1]["id"])
                found = events_after(connection, self.position, limit=limit)
                whole = self._without_gap(found)
            return self._passed(whole)

    def _without_gap(self, found: tuple[EventRow, ...]) -> tuple[EventRow, ...]:
        """The events before the first gap that may still be filled."""
        expected = self.position + 1
        for place, row in enumerate(found):
            if row["id"] != expected and row["id"] > self._settled:
                return found[:place]
            expected = row["id"] + 1
        return found

    def _passed(self, found: tuple[EventRow, ...]) -> tuple[EventRow, ...]:
        if found:
            self.position = found[-1]["id"]
        return found

    def _meet_gap(self, connection: Connection, before: int) -> None:
        """Remember who may fill it: all whose transactions have begun to write by now."""
        (fence,) = _OWN_NUMBER.all(connection, {})[0]
        _, moment = _OLDEST_OPEN.all(connection, {})[0]
        self._gap = _Gap(before=before, fence=fence, until=moment + self._patience)
        self._look_at_gap(connection, self._gap)

    def _look_at_gap(self, connection: Connection, gap: _Gap) -> None:
        oldest_open, moment = _OLDEST_OPEN.all(connection, {})[0]
        over = oldest_open >= gap.fence
        # A clock that was set back does not make it wait for longer.
        if not over and gap.until - self._patience <= moment < gap.until:
            return
        if not over:
            log.warning(
                "events after %d, up to %d, are passed on although a transaction that was open for "
                "%g s may still fill a gap", self.position, gap.before, self._patience,
            )  # fmt: skip
        self._settled, self._gap = gap.before, None
