"""A worker of the lane `deploy`: `celery -A workers.deploy worker`."""

from __future__ import annotations

from workers.role import serving

app = serving(["deploy"])
