"""How a chord moves on when one of its members ends."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from vibe_tasks.errors import IllegalMoveError, UnknownJobError
from vibe_tasks.jobs import Publication
from vibe_tasks.store import chords, jobs, outbox
from vibe_tasks.store.engine import Transaction


def member_completed(
    connection: Transaction, group_id: str, *, lane: str
) -> tuple[Publication, ...] | None:
    """A member has completed: start the body after the last one; the messages to send.

    To be called once for each member, in the transaction of its completion. None where the group
    is no chord of the ledger.

    Args:
        connection: The transaction.
        group_id: The member's group.
        lane: The member's lane, which somebody serves.
    """
    missing = chords.count_member(connection, group_id)
    if missing is None:
        return None
    if missing > 0:
        return ()
    chord = chords.find_chord(connection, group_id)
    results = chords.results(connection, chord) if chord.takes_results else None
    chords.close_chord(connection, group_id)
    with suppress(UnknownJobError):  # somebody has deleted the body
        if jobs.start_body(connection, chord.body_id, results, lane=lane):
            return outbox.publications(connection, [chord.body_id])
    return ()


def member_ended(
    connection: Transaction, canvas: Mapping[str, Any] | None, job_id: str, error: str
) -> None:
    """A member will not complete: nor will the bodies that wait for it or for its chain.

    Should it be retried by hand and complete, the body starts after all.
    """
    for group_id in groups_of(canvas or {}):
        body = chords.body_of(connection, group_id)
        if body is not None:
            fail_body(connection, body, f"member {job_id}: {error}")


def fail_body(connection: Transaction, body_id: str, error: str) -> None:
    """The body of a chord cannot run; nor can what waits for that, where it is a member itself."""
    # Another member has ended it, or a person has; or somebody has deleted it.
    with suppress(IllegalMoveError, UnknownJobError):
        jobs.cancel_job(connection, body_id, f"{jobs.CHORD_ERROR}{error}")
        canvas = jobs.find_job(connection, body_id)["canvas"]
        member_ended(connection, canvas, body_id, error)


def groups_of(canvas: Mapping[str, Any]) -> tuple[str, ...]:
    """The groups that a job belongs to itself, or by what follows it in its chain."""
    following = [link.get("options", {}).get("group_id") for link in canvas.get("chain") or ()]
    return tuple(group for group in (canvas.get("group_id"), *following) if group)
