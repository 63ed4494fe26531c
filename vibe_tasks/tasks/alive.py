"""The alive file: for a probe that asks whether a process still turns, and nothing else.

A probe that ended workers because the ledger or the broker is away would make an outage of one
server an outage of all, and cost the work that they have in hand. So the loop that a process lives
by sets the time of a file at each turn, whatever it reached, and the probe looks at the file's age
alone. Deaf and stuck workers end by themselves: see `watchdog`.
"""

from __future__ import annotations

import logging
from pathlib import Path

from vibe_tasks.tasks import resources

log = logging.getLogger(__name__)

_told: set[str] = set()


def sign() -> None:
    """Set the time of the file that `VIBE_ALIVE_FILE` names; without one, nothing.

    A file that cannot be written is told of once: the work goes on.
    """
    name = resources.settings().alive_file
    if not name:
        return
    try:
        Path(name).touch()
    except OSError as error:
        if name not in _told:
            _told.add(name)
            log.warning("VIBE_ALIVE_FILE: cannot touch %s: %s", name, error.strerror)
