"""Events, their rules and their handlers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from vibe_tasks.web.models.kinds import Given, Json

EVENT = {
    "source_app": "shop", "session_id": "5f0e", "hook_event_type": "PreToolUse",
    "payload": {"tool_name": "Bash"},
}  # fmt: skip


class Event(BaseModel):
    """An event; more fields as whoever sent it gave them."""

    model_config = ConfigDict(extra="allow")

    id: int
    source_app: str
    session_id: str
    hook_event_type: str
    payload: Json
    timestamp: int = Field(description="Milliseconds since 1970.")
    priority: int = Field(description="0 regular, 1 high, 2 critical, 3 system.", ge=0, le=3)


_NAME = {"type": "string", "minLength": 1, "maxLength": 500}
_GIVEN = {
    "type": "object",
    "description": "Other fields are kept.",
    "required": ["source_app", "session_id", "hook_event_type", "payload"],
    "properties": {
        "source_app": _NAME, "session_id": _NAME, "hook_event_type": _NAME,
        "payload": {"not": {"type": "null"}},
        "timestamp": {"type": ["integer", "null"], "description": "Milliseconds since 1970; now."},
        "summary": {"type": ["string", "null"]},
        "chat": {},
        "model_name": {"type": ["string", "null"]},
    },
}  # fmt: skip
EVENTS_BODY = {
    "required": True,
    "description": "Events as hooks send them one by one to `/events`.",
    "content": {
        "application/json": {
            "schema": {"type": "array", "items": _GIVEN, "minItems": 1, "maxItems": 1_000},
            "example": [EVENT],
        }
    },
}
"""The body of a POST. It is read as that of `/events` is, which takes more than a model would."""


class Ingested(BaseModel):
    """Events as they were stored, in order."""

    items: list[Event]


class FilterOptions(BaseModel):
    """What can be filtered by; at most 5,000 of each."""

    source_apps: list[str]
    session_ids: list[str]
    hook_event_types: list[str]


Whole = Annotated[int, Field(ge=0, le=1_000_000_000)]
View = Annotated[int, Field(ge=0, le=10_000)]
Days = Annotated[float, Field(ge=0, le=36_500, allow_inf_nan=False)]
Level = Annotated[int, Field(ge=0, le=3)]


class Rule(BaseModel):
    """A rule of events."""

    name: str = Field(examples=["regular_days"])
    value: float | int | dict[str, int] = Field(description="In force; `priorities` by event type.")
    setting: float | int | dict[str, int] = Field(description="What the settings say.")
    changed: bool = Field(description="Whether it was set at run time.")


class RulesGiven(Given):
    """Rules to set; null: as the settings say; what is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"regular_days": 3, "priorities": {"MyHook": 2}}]},
    )

    priority_limit: View | None = None
    regular_limit: View | None = None
    priority_keep: Whole | None = None
    regular_keep: Whole | None = None
    priority_days: Days | None = None
    regular_days: Days | None = None
    priorities: dict[str, Level] | None = None


class Handler(BaseModel):
    """Who is told of which events."""

    handler: str = Field(examples=["billing.note_failure"])
    lane: str
    event_types: list[str]
    time_limit: float | None


class Forgotten(BaseModel):
    """A handler that is told of nothing any more."""

    forgotten: str
