"""Beat for a fleet: `celery -A beat_schedule beat`.

What runs when stands in `vibe_tasks.tasks.schedule`, so that an installed package has it too;
add a deployment's own entries here.
"""

from __future__ import annotations

from vibe_tasks.tasks import resources
from vibe_tasks.tasks.app import app
from vibe_tasks.tasks.schedule import schedule_of

app.conf.beat_schedule = schedule_of(scale_seconds=resources.settings().scale_seconds)

__all__ = ["app"]
