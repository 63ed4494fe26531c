"""What of a plan waits for labels that no worker has, and the command that starts such a worker."""

from __future__ import annotations

from shlex import quote

from vibe_tasks.labels import REPOSITORY, host_label
from vibe_tasks.settings import Settings
from vibe_tasks.store import worker_line
from vibe_tasks.store.engine import Transaction
from vibe_tasks.store.worker_line import Lack


def lacking(
    connection: Transaction, plan_id: str, *, settings: Settings, start: str | None = None
) -> tuple[str, ...]:
    """One line for each lane and set of labels.

    Args:
        connection: A connection.
        plan_id: The plan.
        settings: The settings.
        start: The command that starts its worker; None where workers may come to a stack that runs.
    """
    found = worker_line.lacks(connection, lease=settings.lease_seconds, plan_id=plan_id)
    return tuple(
        f"{each.text()}{_mend(each, settings, start)}" for each in found if not each.workers
    )


def _mend(lack: Lack, settings: Settings, start: str | None) -> str:
    if any(label.startswith((host_label(""), REPOSITORY)) for label in lack.required):
        return ""  # a worker gets these by where it is and what it has done
    labels = dict.fromkeys([*settings.worker_labels, *lack.required])
    command = start or f"celery -A vibe_tasks worker -Q {lack.lane}"
    return f"; start one that has: VIBE_WORKER_LABELS={quote(','.join(labels))} {command}"
