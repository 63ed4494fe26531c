"""Events: what happened. Written in the transaction of what they tell of, never changed.

With an event come the jobs that tell its handlers (`event_handlers`), in the same transaction.
On PostgreSQL every writer takes its transaction's id before it draws the event's: so whoever reads
events in order (`event_feed`) knows which transactions may still fill a gap.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    bindparam,
    cast,
    insert,
    literal_column,
    select,
    text,
)

from vibe_tasks.event_priority import calculate_event_priority, priority_metadata, with_defaults
from vibe_tasks.events import Event, happened_at
from vibe_tasks.protocol import NewEvent
from vibe_tasks.store.engine import Database, now
from vibe_tasks.store.event_handlers import call_handlers, call_handlers_of_others
from vibe_tasks.store.event_rows import EventRow
from vibe_tasks.store.event_rules import EventRules, configured_priorities
from vibe_tasks.store.event_tables import events
from vibe_tasks.store.redacting import redacted, redaction_of
from vibe_tasks.store.statement import Statement, encoded

SOURCE = "vibe_tasks"
"""`source_app` of the project's own events."""

_SAID = ("payload", "summary", "chat", "extra")
"""Columns in which others say what they like."""

FUTURE_MS = 3_600_000
"""An event from further in the future than this gets the time at which it came: a clock that is
wrong by days would keep it the newest for days."""

_E = events.c
_GIVEN = (
    _E.source_app, _E.session_id, _E.hook_event_type, _E.payload, _E.summary, _E.priority,
    _E.priority_metadata,
)  # fmt: skip
_LATER_GIVEN = (_E.chat, _E.model_name, _E.timestamp, _E.extra, _E.received_at)
_NEXT_ID = "CASE WHEN pg_current_xact_id() IS NOT NULL THEN nextval('events_id_seq') END"
"""The next id, and before it the id of the transaction that draws it."""


def _row(given: Sequence[Any]) -> dict[str, Any]:
    return {column.name: bindparam(column.name, type_=column.type) for column in given}


_RECORDED = _row(_GIVEN) | {
    "timestamp": cast(now() * literal_column("1000"), BigInteger), "received_at": now(),
}  # fmt: skip
_RECORD = Statement(
    {
        name: insert(events).values(row).returning(_E.id, _E.timestamp)
        for name, row in (
            ("sqlite", _RECORDED),
            ("postgresql", {**_RECORDED, "id": literal_column(_NEXT_ID)}),
        )
    }
)
_INGEST = Statement(insert(events).values(_row((_E.id, *_GIVEN, *_LATER_GIVEN))))
_GREATEST_ID = Statement(
    text(
        "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0),"
        " coalesce((SELECT max(id) FROM events), 0))"
    )
)
_INGEST_ALL = Statement(
    text(
        "INSERT INTO events (id, source_app, session_id, hook_event_type, payload, chat,"  # noqa: S608  ours
        " summary,"
        " model_name, timestamp, priority, priority_metadata, extra, received_at)"
        f" SELECT {_NEXT_ID}, source_app, session_id, hook_event_type, CAST(payload AS json),"
        " CAST(chat AS json), summary, model_name, timestamp, priority,"
        " CAST(priority_metadata AS json), CAST(extra AS json), received_at"
        " FROM unnest(CAST(:source_app AS text[]), CAST(:session_id AS text[]),"
        " CAST(:hook_event_type AS text[]), CAST(:payload AS text[]), CAST(:chat AS text[]),"
        " CAST(:summary AS text[]), CAST(:model_name AS text[]), CAST(:timestamp AS bigint[]),"
        " CAST(:priority AS int[]), CAST(:priority_metadata AS text[]), CAST(:extra AS text[]),"
        " CAST(:received_at AS double precision[]))"
        " WITH ORDINALITY AS given (source_app, session_id, hook_event_type, payload, chat,"
        " summary, model_name, timestamp, priority, priority_metadata, extra, received_at, place)"
        " ORDER BY place RETURNING id"
    )
)
_MOMENT = Statement(select(cast(now() * literal_column("1000"), BigInteger)))


def record(
    connection: Connection,
    kind: str,
    *,
    session: str,
    payload: Mapping[str, Any],
    summary: str,
    to: Collection[str] | None = None,
) -> Event:
    """Write one of the project's own events, and the jobs of those who want to hear of it.

    Args:
        connection: The transaction of what the event tells of.
        kind: Event type, such as `QA_PASSED`.
        session: What it belongs to: the plan's id, or the job's.
        payload: JSON values. `task`: the plan's task that it is about.
        summary: One line for a person.
        to: Handlers that are to hear of it if they want to; None: all that want to.
    """
    configured = configured_priorities(connection)
    why = priority_metadata(kind, configured)
    payload, summary = redacted(connection, payload), redacted(connection, summary)
    row = {
        "source_app": SOURCE, "session_id": session, "hook_event_type": kind,
        "payload": encoded(dict(payload)), "summary": summary,
        "priority": int(calculate_event_priority(kind, with_defaults(configured))),
        "priority_metadata": why and encoded(why),
    }  # fmt: skip
    written = _RECORD.all(connection, row)[0]
    event = Event(
        event_type=kind, task_id=str(payload.get("task") or ""), payload=payload,
        timestamp=happened_at(written[1]), id=written[0], session=session, summary=summary,
    )  # fmt: skip
    call_handlers(connection, event, to=to)
    return event


def ingest(
    connection: Connection, new: Sequence[NewEvent], rules: EventRules
) -> tuple[EventRow, ...]:
    """Write events that others sent, and the jobs of those who want to hear of them.

    Args:
        connection: A writing transaction.
        new: The events, in the order in which they came; their ids ascend in it.
        rules: Which priority they get.

    Returns:
        The events as they are stored, in the same order.

    Raises:
        TypeError: A payload or another field is no JSON value; nothing of these is written then.
    """
    if not new:
        return ()
    return _write(connection, *_prepared(connection, new, rules))


def take_in(database: Database, new: Sequence[NewEvent], rules: EventRules) -> tuple[EventRow, ...]:
    """As `ingest`, in a transaction of its own that is as short as can be: what can be done before
    it is. SQLite's other writers wait for it.
    """
    if not new:
        return ()
    with database.read() as connection:
        prepared = _prepared(connection, new, rules)
    with database.begin() as connection:
        return _write(connection, *prepared)


def _prepared(
    connection: Connection, new: Sequence[NewEvent], rules: EventRules
) -> tuple[list[EventRow], list[EventRow]]:
    """The rows of these events, but for their ids, and the same as the database takes them."""
    moment = _MOMENT.all(connection, {})[0][0]
    levels, redaction = rules.levels, redaction_of(connection)
    rows = [_stored(event, moment, levels, rules.priorities) for event in new]
    prepared = [{**row, **_json_texts(row), "received_at": moment / 1000} for row in rows]
    if redaction is not None:
        for place, row in enumerate(prepared):
            # Looked for in what is text already: it is cheaper than in each of many values.
            if any(redaction.hinted(row[name]) for name in _SAID if row[name]):
                rows[place] |= {name: redaction.value(rows[place][name]) for name in _SAID}
                prepared[place] = {**row, "summary": rows[place]["summary"],
                                   **_json_texts(rows[place])}  # fmt: skip
    return rows, prepared


def _write(
    connection: Connection, rows: list[EventRow], prepared: list[EventRow]
) -> tuple[EventRow, ...]:
    for row, number in zip(rows, _insert(connection, prepared), strict=True):
        row["id"] = number
    call_handlers_of_others(connection, rows)
    return tuple(rows)


def _stored(
    event: NewEvent, moment: int, levels: Mapping[str, int], configured: Mapping[str, int]
) -> EventRow:
    """The event's row, but for its id; `moment` is now, in ms."""
    kind = event.hook_event_type
    why = priority_metadata(kind, configured)
    timestamp = moment if event.timestamp is None else event.timestamp
    if timestamp > moment + FUTURE_MS:
        why = {**(why or {}), "sent_timestamp": timestamp}
        timestamp = moment
    return {
        "id": 0, "source_app": event.source_app, "session_id": event.session_id,
        "hook_event_type": kind, "payload": event.payload, "chat": event.chat,
        "summary": event.summary, "model_name": event.model_name, "timestamp": timestamp,
        "priority": int(calculate_event_priority(kind, levels)), "priority_metadata": why,
        "extra": dict(event.extra) or None,
    }  # fmt: skip


def _json_texts(row: EventRow) -> dict[str, str | None]:
    """The JSON columns of a row as texts; no value stays none."""
    optional = {
        name: None if row[name] is None else encoded(row[name])
        for name in ("chat", "priority_metadata", "extra")
    }
    return {"payload": encoded(row["payload"]), **optional}


def _insert(connection: Connection, rows: Sequence[EventRow]) -> list[int]:
    """Write these rows; their ids, in the same order."""
    if connection.dialect.name == "sqlite":
        # Nobody else writes now: the next ids are ours, and one call writes all.
        before: int = _GREATEST_ID.all(connection, {})[0][0]
        ids = list(range(before + 1, before + 1 + len(rows)))
        _INGEST.many(connection, [{**row, "id": each} for row, each in zip(rows, ids, strict=True)])
        return ids
    names = [column.name for column in (*_GIVEN, *_LATER_GIVEN)]
    columns = {name: [row[name] for row in rows] for name in names}
    return sorted(row[0] for row in _INGEST_ALL.all(connection, columns))


def recent(
    connection: Connection, *, session: str | None = None, limit: int = 300
) -> tuple[EventRow, ...]:
    """The events that were written last, oldest of them first."""
    statement = select(events).order_by(_E.id.desc()).limit(limit)
    if session is not None:
        statement = statement.where(_E.session_id == session)
    rows = [dict(row) for row in connection.execute(statement).mappings()]
    return tuple(reversed(rows))
