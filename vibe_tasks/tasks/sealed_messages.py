"""Bodies of messages that nobody reads in the broker: links and chains carry arguments.

A job's own arguments are in the ledger alone; what goes through the broker beside its id is what
Celery must know of links, chains and chords. Where payloads are sealed, that is too.
"""

from __future__ import annotations

import json
from typing import Any

from kombu.serialization import dumps, loads, register

from vibe_tasks.jobs import Publication
from vibe_tasks.tasks import resources

NAME = "vibe-sealed"
"""Of the serializer, as `accept_content` names it."""

CONTENT_TYPE = "application/x-vibe-sealed"

UNOPENED = "sealed_for_others"
"""In the request of a message that this process cannot open."""

EMPTY = [
    [], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None, UNOPENED: True},
]  # fmt: skip
"""The body of such a message. Its job is not claimed here: what is to follow it would be lost."""

HIDDEN = "(sealed)"
"""What Flower is shown instead of arguments."""


def install() -> list[str]:
    """What may come through the broker: JSON, and where there are keys also what is sealed."""
    if resources.sealing() is None:
        return ["json"]
    register(NAME, _dumps, _loads, content_type=CONTENT_TYPE, content_encoding="utf-8")
    return ["json", NAME]


def serializer_of(job: Publication) -> str:
    """How this job's message is written."""
    return NAME if job.canvas and is_on() else "json"


def shown_of(job: Publication) -> str:
    """What a message tells of the job's arguments."""
    return HIDDEN if is_on() else f"({job.shown})"


def is_on() -> bool:
    """Whether this process seals."""
    sealing = resources.sealing()
    return sealing is not None and sealing.seals


def _dumps(body: Any) -> str:
    sealing = resources.sealing()
    if sealing is None:  # pragma: no cover  the serializer is there only with keys
        raise ValueError("there is no key to seal with")
    return json.dumps(sealing.seal(dumps(body, serializer="json")[2]))


def _loads(text: str | bytes) -> Any:
    sealing = resources.sealing()
    value = json.loads(text)
    opened = None if sealing is None else sealing.opened_text(value.get("$sealed"))
    if opened is None:
        return EMPTY
    return loads(opened, "application/json", "utf-8", force=True)
