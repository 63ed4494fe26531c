"""Telling a person, as Celery tasks of the lane `control`: by webhook and by command.

Each is a handler of its own, so that a webhook that fails is not called twice because of a command
that does.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from vibe_tasks.errors import InputError, TransientError
from vibe_tasks.escalation import COMMAND, WEBHOOK, body_of, headers_of
from vibe_tasks.events import Event
from vibe_tasks.flow import escalation
from vibe_tasks.jobs import Claim
from vibe_tasks.store.event_handlers import KIND, RETRIES
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.app import app
from vibe_tasks.tasks.subscriptions import LANE
from vibe_tasks.tasks.task import LedgerTask
from vibe_tasks.tasks.webhook import post
from vibe_tasks.workspace.process import run

MOST_OUTPUT = 20_000
"""Bytes of what the command says that are kept."""

Telling = Callable[[Mapping[str, Any], Claim], None]


class EscalationTask(LedgerTask):
    """Base of the tasks that tell a person.

    Attributes:
        tell: Tells the message.
        how: In a word.
    """

    abstract = True
    tell: Telling
    how: str

    def perform(self, claim: Claim) -> tuple[Mapping[str, Any], tuple[()]]:
        """One attempt: tell, and write that it is done."""
        event = Event.from_json(claim.kwargs["event"])
        ledger = resources.ledger()
        with ledger.read() as connection:
            message = escalation.message_of(connection, event)
        type(self).tell(message, claim)
        done = escalation.told(ledger, claim, event, how=self.how, retries=resources.retries)
        return done, ()


def by_webhook(message: Mapping[str, Any], claim: Claim) -> None:
    """Post the message to the webhook of the settings.

    Raises:
        TransientError: It may work later, or on a worker that has the setting.
        PermanentError: It was refused.
    """
    chosen = resources.settings()
    _require(chosen.escalation_webhook, "ESCALATION_WEBHOOK")
    body = body_of(message)
    headers = headers_of(
        message, body, delivery=claim.id, timestamp=int(resources.wall_clock()),
        secret=chosen.escalation_secret,
    )  # fmt: skip
    post(chosen.escalation_webhook, body, headers, timeout=chosen.escalation_timeout)


def by_command(message: Mapping[str, Any], _claim: Claim) -> None:
    """Run the command of the settings, the message on its standard input.

    It is the operator's own, so it has the worker's environment.

    Raises:
        TransientError: It failed, or ran past its time.
        PermanentError: There is no such program.
    """
    chosen = resources.settings()
    _require(chosen.escalation_command, "ESCALATION_COMMAND")
    home = resources.make_home()
    done = run(
        shlex.split(chosen.escalation_command), cwd=home,
        env={**os.environ, "VIBE_HOME": str(home)}, stdin=body_of(message).decode("ascii"),
        timeout=chosen.escalation_timeout, log=home / "logs" / "escalation.log",
        output_limit=MOST_OUTPUT,
    )  # fmt: skip
    if done.exit_code is None:
        raise TransientError(f"the command did not end within {chosen.escalation_timeout:g} s")
    if done.exit_code:
        said = f": {done.output.strip()}" if done.output.strip() else ""
        raise TransientError(f"the command exited with {done.exit_code}{said}")


def _require(value: str, name: str) -> None:
    if not value:  # no dead letter at once: another worker of the lane may have it
        raise TransientError(f"VIBE_{name} is not set for this worker, though it was for another")


def _escalation_task(name: str, tell: Telling, how: str) -> Any:
    def body(**_: Any) -> None:
        raise InputError(f"{name} is called by events, not by hand")

    body.__name__ = how
    return app.task(
        body, base=EscalationTask, name=name, lane=LANE, kind=KIND, tell=staticmethod(tell),
        how=how, max_retries=RETRIES.max_retries, retry_base=RETRIES.base, typing=False,
    )  # fmt: skip


webhook = _escalation_task(WEBHOOK, by_webhook, "webhook")
command = _escalation_task(COMMAND, by_command, "command")
