"""What a lane may be called."""

from __future__ import annotations

import re

OWN = "worker."
"""What the names of workers' own queues begin with, and no lane's does."""

_NAME = re.compile(r"[A-Za-z0-9._@-]+")


def why_no_lane(name: object) -> str | None:
    """Why this cannot be a lane's name, in words; None where it can.

    A worker's `-Q` must be able to name it, and the broker's lists must not mix.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"lane must be of letters, digits and . _ - @, got {name!r}"
    if name.startswith(OWN):
        return f"no lane begins with {OWN!r}, as workers' own queues do: got {name!r}"
    return None
