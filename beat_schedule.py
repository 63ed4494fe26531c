"""What runs when: `celery -A beat_schedule beat`, and the same through `celery -A vibe_tasks beat`."""

from __future__ import annotations

from vibe_tasks import app

app.conf.beat_schedule = {
    "dispatch": {"task": "vibe.dispatch", "schedule": 1.0, "options": {"queue": "control", "expires": 5}},
    "archive": {"task": "vibe.archive", "schedule": 86_400.0, "kwargs": {"days": 7.0}, "options": {"queue": "control"}},
}

__all__ = ["app"]
