"""A worker of the lane `control`: `celery -A workers.control worker`."""

from __future__ import annotations

from workers.role import serving

app = serving(["control"])
