"""Events as rows: which columns readers get, and how the driver's values become Python's."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
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

_NAMES = tuple(column.name for column in COLUMNS)
_PLAIN = len(_NAMES) - len(_JSON)


def event_rows(rows: Iterable[tuple[Any, ...]]) -> list[EventRow]:
    """The events of these values of `COLUMNS`, as the driver gave them."""
    found = list(rows)
    # One text for all: most of the time that a small one takes goes into calling the decoder.
    texts = [text or "null" for row in found for text in row[_PLAIN:]]
    values = iter(json.loads(f"[{','.join(texts)}]"))
    return [
        dict(zip(_NAMES, (*row[:_PLAIN], *islice(values, len(_JSON))), strict=True))
        for row in found
    ]


def json_value(connection: Connection, value: Any) -> Any:
    """A JSON column's value as the driver gave it: text from SQLite, parsed from PostgreSQL."""
    return json.loads(value) if connection.dialect.name == "sqlite" else value
