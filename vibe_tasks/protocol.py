"""The event protocol: what agents' hooks post, and what clients of the stream are sent.

Version 1: `initial`, then `event` for each. Version 2: `hello` first, and messages tell an event's
priority, what a slow client lost, and from where a client can go on after a break.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from vibe_tasks.event_priority import EventPriority

SUPPORTED = (1, 2)
"""Versions, oldest first."""

FEATURES = ("sessions", "min_priority", "resume", "dropped")

MAX_NAME = 500
"""Characters of an application's, a session's or an event type's name."""

MOST_NESTED = 100
"""Levels of a body; what can just be read may be too deep to be written again."""

LATEST_TIMESTAMP = 8_640_000_000_000_000
"""The last millisecond that a browser's clock knows."""

_REQUIRED = ("source_app", "session_id", "hook_event_type", "payload")
_OWN = frozenset({*_REQUIRED, "id", "timestamp", "summary", "chat", "model_name", "priority",
                  "priority_metadata"})  # fmt: skip
"""Fields of an event that are ours to give; others are kept as they come."""

_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
"""Bodies in which something may be that no database takes: NUL, half a character."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event as somebody sent it.

    Attributes:
        source_app: Who sends it.
        session_id: What it belongs to.
        hook_event_type: Its name; any is taken.
        payload: A JSON value.
        timestamp: Milliseconds since 1970; None: when we take it.
        summary: One line for a person.
        chat: A JSON value.
        model_name: The model that the session talks to.
        extra: All other fields, JSON values.
    """

    source_app: str
    session_id: str
    hook_event_type: str
    payload: Any
    timestamp: int | None = None
    summary: str | None = None
    chat: Any = None
    model_name: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def loads(body: bytes) -> Any:
    """The JSON value of a body, without what a database or a browser could not take.

    Raises:
        ValueError: It is no JSON, is not UTF-8, or is nested too deeply.
    """
    try:
        # As bytes, json takes halves of characters.
        value = json.loads(
            body.decode("utf-8-sig"), parse_constant=_no_constant, parse_float=_finite
        )
    except RecursionError as error:
        raise ValueError("the body is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("the body is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"the body is no JSON: {error}") from error
    if body.count(b"[") + body.count(b"{") > MOST_NESTED and _is_nested(value, MOST_NESTED):
        raise ValueError("the body is nested too deeply")
    return cleaned(value) if _ESCAPE.search(body) else value


def cleaned(value: Any) -> Any:
    """The same JSON value; NUL and halves of characters replaced, infinite numbers None."""
    if isinstance(value, str):
        whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return whole.replace("\0", "\ufffd")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [cleaned(each) for each in value]
    if isinstance(value, dict):
        return {cleaned(name): cleaned(each) for name, each in value.items()}
    return value


def read_event(body: Any) -> NewEvent:
    """The event in a JSON body: as hook scripts send it, or as an agent's own HTTP hook does.

    Raises:
        ValueError: A required field is missing or has the wrong type; the message names it.
    """
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")  # noqa: TRY004 - one kind of refusal
    if "hook_event_name" in body and "hook_event_type" not in body:
        body = _of_native_hook(body)
    missing = [name for name in _REQUIRED if body.get(name) is None]
    if missing:
        raise ValueError(f"missing: {', '.join(missing)}")
    return NewEvent(
        source_app=_name(body, "source_app"),
        session_id=_name(body, "session_id"),
        hook_event_type=_name(body, "hook_event_type"),
        payload=body["payload"],
        timestamp=_timestamp(body.get("timestamp")),
        summary=_text(body, "summary"),
        chat=body.get("chat"),
        model_name=_text(body, "model_name"),
        extra={name: value for name, value in body.items() if name not in _OWN},
    )


def event_json(row: Mapping[str, Any], *, protocol: int = 2) -> dict[str, Any]:
    """A ledger's event as clients see it; fields without a value are left out."""
    event = {
        **(row["extra"] or {}),
        "id": row["id"],
        "source_app": row["source_app"],
        "session_id": row["session_id"],
        "hook_event_type": row["hook_event_type"],
        "payload": row["payload"],
        "timestamp": row["timestamp"],
        "priority": row["priority"],
    }
    optional = ("summary", "chat", "model_name") + (("priority_metadata",) * (protocol > 1))
    event.update({name: row[name] for name in optional if row[name] is not None})
    return event


def hello(*, priority_limit: int, regular_limit: int, resumed: bool) -> dict[str, Any]:
    """The first message of version 2.

    Args:
        priority_limit: Events of the levels 1 to 3 that a view begins with.
        regular_limit: Events of level 0 that it begins with.
        resumed: Whether what follows goes on without a gap where the client left off.
    """
    return {
        "type": "hello",
        "protocol": 2,
        "supported": list(SUPPORTED),
        "features": list(FEATURES),
        "buckets": {"priority_limit": priority_limit, "regular_limit": regular_limit},
        "resumed": resumed,
    }


def initial(
    events: Sequence[Mapping[str, Any]],
    *,
    protocol: int,
    statistics: Mapping[str, Any] | None = None,
    last_id: int = 0,
) -> dict[str, Any]:
    """The events that a client begins with, oldest first.

    Args:
        events: As `event_json` makes them.
        protocol: Version.
        statistics: Version 2: how many events the ledger has, by level.
        last_id: Version 2: all events up to this one are in here, or older than what is.
    """
    message: dict[str, Any] = {"type": "initial", "data": list(events)}
    if protocol > 1:
        message |= {"priority_statistics": dict(statistics or {}), "last_id": last_id}
    return message


def event_message(event: Mapping[str, Any], *, protocol: int) -> dict[str, Any]:
    """One event, as `event_json` makes it."""
    if protocol == 1:
        return {"type": "event", "data": event}
    level = EventPriority(event["priority"])
    return {
        "type": "priority_event" if level else "event",
        "data": event,
        "priority_info": {"level": int(level), "name": level.label, "bucket": level.bucket},
    }


def dropped(*, regular: int, priority: int) -> dict[str, Any]:
    """What a client that reads too slowly was not sent; version 2 alone."""
    return {"type": "dropped", "count": regular + priority, "regular": regular,
            "priority": priority}  # fmt: skip


def unsupported(asked: str) -> dict[str, Any]:
    """The answer to a version that we do not speak; version 1 follows."""
    return {
        "type": "error",
        "error": f"protocol {asked[:20]!r} is not supported; going on with 1",
        "supported": list(SUPPORTED),
    }


def ignored(name: str, given: str, wanted: str) -> dict[str, Any]:
    """What a client is told of a parameter that makes no sense; version 2 alone."""
    return {"type": "error", "error": f"{name} {given[:20]!r} is ignored: it must be {wanted}"}


def _of_native_hook(body: Mapping[str, Any]) -> dict[str, Any]:
    """An agent's own body; the working directory tells which application it is."""
    folder = body.get("cwd")
    name = PurePosixPath(folder).name if isinstance(folder, str) else ""
    return {
        "source_app": name or "agent",
        "session_id": body.get("session_id"),
        "hook_event_type": body["hook_event_name"],
        "payload": dict(body),
        "model_name": body.get("model") if isinstance(body.get("model"), str) else None,
    }


def _name(body: Mapping[str, Any], field_name: str) -> str:
    value = body[field_name]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{field_name} must be a text")
    if len(value) > MAX_NAME:
        raise ValueError(f"{field_name} may have {MAX_NAME} characters, got {len(value)}")
    return value


def _text(body: Mapping[str, Any], field_name: str) -> str | None:
    value = body.get(field_name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{field_name} must be a text")
    return value


def _timestamp(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("timestamp must be milliseconds since 1970")  # noqa: TRY004 - as above
    if not 0 <= value <= LATEST_TIMESTAMP:
        raise ValueError("timestamp is no moment that a clock can show")
    return int(value)


def _is_nested(value: Any, levels: int) -> bool:
    """Whether it has more levels than these."""
    level = [value]
    for _ in range(levels):
        boxes = [each for each in level if isinstance(each, list | dict)]
        if not boxes:
            return False
        level = [part for box in boxes for part in (box.values() if isinstance(box, dict) else box)]
    return any(isinstance(each, list | dict) for each in level)


def _finite(digits: str) -> float | None:
    """The number; None where it is too large: what Python writes for that is no JSON."""
    value = float(digits)
    return value if math.isfinite(value) else None


def _no_constant(name: str) -> None:
    raise ValueError(f"the body is no JSON: {name} is no JSON number")
