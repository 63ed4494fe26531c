"""Events as rows: which columns readers get, and how the driver's values become Python's."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, cast

from vibe_tasks.store.event_tables import events

EventRow = dict[str, Any]
"""An event by its columns: `id`, `source_app`, `session_id`, `hook_event_type`, `payload`, `chat`,
`summary`, `model_name`, `timestamp` (ms), `priority`, `priority_metadata` and `extra`, a dict or
None."""

_JSON = (events.c.payload, events.c.chat, events.c.priority_metadata, events.c.extra)

COLUMNS: tuple[ColumnElement[Any], ...] = (
    events.c.id, events.c.source_app, events.c.session_id, events.c.hook_event_type,
    events.c.summary, events.c.model_name, events.c.timestamp, events.c.priority,
    *(cast(column, Text).label(column.name) for column in _JSON),
)  # fmt: skip
"""What readers get, the JSON values last and as texts."""


def event_rows(rows: Iterable[tuple[Any, ...]]) -> list[EventRow]:
    """The events of these values of `COLUMNS`, as the driver gave them."""
    found = list(rows)
    # One text for all: most of the time that a small one takes goes into calling the decoder.
    texts = [text for row in found for text in row[-len(_JSON) :] if text]
    values = iter(json.loads(f"[{','.join(texts)}]"))
    return [
        {
            "id": id_, "source_app": source_app, "session_id": session_id,
            "hook_event_type": hook_event_type, "summary": summary, "model_name": model_name,
            "timestamp": timestamp, "priority": priority,
            "payload": next(values) if payload else None,
            "chat": next(values) if chat else None,
            "priority_metadata": next(values) if metadata else None,
            "extra": next(values) if extra else None,
        }
        for (
            id_, source_app, session_id, hook_event_type, summary, model_name, timestamp, priority,
            payload, chat, metadata, extra,
        ) in found
    ]  # fmt: skip


def json_value(connection: Connection, value: Any) -> Any:
    """A JSON column's value as the driver gave it: text from SQLite, parsed from PostgreSQL."""
    return json.loads(value) if connection.dialect.name == "sqlite" else value
