"""What makes a worker's role: the lanes it serves when its command line names none."""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery

from vibe_tasks.tasks.app import app
from vibe_tasks.tasks.job import ROLE
from vibe_tasks.tasks.queues import lane_queue


def serving(lanes: Sequence[str]) -> Celery:
    """The application, its workers serving these lanes."""
    app.conf.task_queues = [lane_queue(lane) for lane in lanes]
    app.conf[ROLE] = True
    return app
