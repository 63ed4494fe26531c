"""What runs when. Beat reads it, through `vibe_tasks.app` and through `beat_schedule` alike.

The embedded stack needs no beat: its dispatcher is a process of its own.
"""

from __future__ import annotations

from typing import Any

CONTROL = {"queue": "control", "routing_key": "control", "expires": 5}
"""Maintenance goes to its own lane. A tick that waited longer than this is not worth running:
the next one does the same work."""

SCHEDULE: dict[str, dict[str, Any]] = {
    "dispatch": {"task": "vibe.dispatch", "schedule": 1.0, "options": CONTROL},
    "archive": {
        "task": "vibe.archive",
        "schedule": 86_400.0,
        "kwargs": {"days": 7.0},
        "options": {**CONTROL, "expires": 3_600},
    },
}
