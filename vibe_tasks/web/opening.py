"""What a client of the stream begins with: the newest events, or where it left off."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vibe_tasks.protocol import event_json, hello, initial
from vibe_tasks.settings import Settings
from vibe_tasks.store import event_query
from vibe_tasks.store.engine import Database, Transaction
from vibe_tasks.store.event_rules import EventRules, effective
from vibe_tasks.web.frames import json_bytes, text_frame
from vibe_tasks.web.hub import Row, Wish

MOST_BYTES = 1_000_000
"""Bytes of `initial`: many clients take no message of more than a mebibyte."""

FRESH = 5.0
"""Seconds for which the ledger's events are not counted again."""


class RemovedError(Exception):
    """Retention has removed events that a client was still to get; it comes again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The first messages for a client.

    Attributes:
        frames: The messages, ready to be written.
        resumed: Whether the client goes on where it left off: all events after its last one are
            still to be sent.
    """

    frames: tuple[bytes, ...]
    resumed: bool


class Openings:
    """Reads the ledger for clients that begin. From any thread.

    Args:
        ledger: The ledger.
        settings: The settings of this process.
        monotonic: Seconds that only ever grow.
    """

    def __init__(
        self, ledger: Database, settings: Settings, *, monotonic: Callable[[], float]
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._monotonic = monotonic
        self._counting = threading.Lock()
        self._counted: tuple[float, Mapping[str, Any]] = (float("-inf"), {})

    def begin(self, wish: Wish, *, until: int, after: int | None) -> Opening:
        """The first messages.

        Args:
            wish: What the client wants.
            until: The events up to this one; it gets all later ones as they come.
            after: The last event that it has; None for a new client.
        """
        with self._ledger.read() as connection:
            rules = effective(connection, self._settings)
            resumed = after is not None and _has_all_since(connection, after, until)
            rows = () if resumed else _newest(connection, wish, rules, until)
            counted = self._statistics(connection) if wish.protocol > 1 else {}
        begun = initial(
            [event_json(row, protocol=wish.protocol) for row in rows], protocol=wish.protocol,
            statistics=counted, last_id=after if resumed and after is not None else until,
        )  # fmt: skip
        frames = [text_frame(_bounded(begun))]
        if wish.protocol > 1:
            greeting = hello(
                priority_limit=rules.priority_limit, regular_limit=rules.regular_limit,
                resumed=resumed,
            )  # fmt: skip
            frames.insert(0, text_frame(json_bytes(greeting)))
        return Opening(frames=tuple(frames), resumed=resumed)

    def later(self, wish: Wish, *, after: int, until: int, limit: int) -> tuple[Row, ...]:
        """The first events after the client's last one, up to `until`.

        Raises:
            RemovedError: Some are not there any more.
        """
        with self._ledger.read() as connection:
            found = event_query.after(
                connection, after, limit=limit, session_ids=tuple(wish.sessions),
                min_priority=wish.min_priority, until=until,
            )  # fmt: skip
            # Afterwards: what was removed before we looked is told by now.
            if after < event_query.trimmed_until(connection):
                raise RemovedError
            return found

    def _statistics(self, connection: Transaction) -> Mapping[str, Any]:
        with self._counting:
            at, counted = self._counted
            moment = self._monotonic()
            if moment - at >= FRESH:
                counted = event_query.statistics(connection)
                self._counted = (moment, counted)
            return counted


def _has_all_since(connection: Transaction, after: int, until: int) -> bool:
    """Whether the ledger has all that came after this event, and knows it at all."""
    if after < event_query.trimmed_until(connection):
        return False
    return after <= until or after <= event_query.last_id(connection)


def _newest(connection: Transaction, wish: Wish, rules: EventRules, until: int) -> tuple[Row, ...]:
    return event_query.recent(
        connection, limit=rules.priority_limit + rules.regular_limit,
        session_ids=tuple(wish.sessions), min_priority=wish.min_priority, until=until,
        priority_limit=rules.priority_limit, regular_limit=rules.regular_limit,
    )  # fmt: skip


def _bounded(message: dict[str, Any]) -> bytes:
    """The message's bytes; where they are too many, without its oldest regular events, then
    without its oldest ones.
    """
    data = json_bytes(message)
    if len(data) <= MOST_BYTES:
        return data
    sized = [(event, len(json_bytes(event)) + 1) for event in message["data"]]
    excess = len(data) - MOST_BYTES
    gone = set()
    for event, size in sorted(sized, key=lambda pair: bool(pair[0]["priority"])):
        if excess <= 0:
            break
        gone.add(event["id"])
        excess -= size
    kept = [event for event, _ in sized if event["id"] not in gone]
    return json_bytes({**message, "data": kept})
