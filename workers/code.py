"""A worker of the lane `code`: `celery -A workers.code worker`."""

from __future__ import annotations

from workers.role import serving

app = serving(["code"])
