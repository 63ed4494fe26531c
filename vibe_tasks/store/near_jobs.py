"""Jobs that somebody may have meant who gave an id that no job has."""

from __future__ import annotations

from sqlalchemy import Connection, select

from vibe_tasks.store.schema import jobs

_J = jobs.c

SAME = 3
"""Characters at the beginning that most mistypings leave right."""


def near_ids(connection: Connection, text: str, *, most: int) -> tuple[str, ...]:
    """Ids that begin as this one does, and those of the newest jobs; at most so many of each."""
    begins = text[:SAME]
    alike = select(_J.id).where(_J.id >= begins, _J.id < begins + "\U0010ffff").limit(most)
    newest = select(_J.id).order_by(_J.seq.desc()).limit(most)
    found = [*connection.execute(alike).scalars(), *connection.execute(newest).scalars()]
    return tuple(dict.fromkeys(found))
