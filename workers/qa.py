"""A worker of the lane `qa`: `celery -A workers.qa worker`."""

from __future__ import annotations

from workers.role import serving

app = serving(["qa"])
