"""Jobs whose function a worker does not know: a failed attempt, so that somebody hears of it.

Celery logs such a message and drops it; the job would be sent again and again without a word.
"""

from __future__ import annotations

import logging
from typing import Any

from vibe_tasks.flow import attempts
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.store.event_handlers import KIND
from vibe_tasks.tasks import followers, publisher, resources
from vibe_tasks.tasks.labels import worker_labels

log = logging.getLogger(__name__)


def refuse(sender: Any, name: str, id: str, **_: Any) -> None:  # noqa: A002  the signal's name
    """Count a failure of the job that this message is about, and say what is missing.

    Args:
        sender: The worker's consumer.
        name: The function that it does not know.
        id: The job, if the message is one of ours.
    """
    ledger = resources.ledger()
    text = f"worker {sender.hostname} knows no function {name}: is its module in VIBE_IMPORTS?"
    try:
        with ledger.write_once() as connection:
            claim = jobs.claim(
                connection, id, worker=sender.hostname, lease=resources.settings().lease_seconds,
                labels=worker_labels(),
            )  # fmt: skip
        if claim is None:
            return  # no job, or another worker has it
        if claim.kind == KIND:
            text += f" If there is no such handler any more: vibe events forget {name}"
        again, following = attempts.settle(
            ledger, claim, attempts.Ending(kind="failure", text=text), uniform=resources.uniform
        )
    except DATABASE_ERRORS as error:
        log.warning("ledger away, job %s will be sent again: %s", id, error)
        return
    publisher.publish(sender.app, ledger, following)
    if not again:
        followers.tell(sender.app, ledger, [id])
