"""`vibe jobs claim`, `heartbeat`, `complete` and `fail`: jobs for workers in any language.

A worker that is a shell script, or a program in another language, claims a job, keeps its lease
while it works, and says how it ended. The attempt's number goes along each time: a worker that
was away for too long is refused.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.ledger import storage_trouble
from vibe_tasks.cli.numbers import Number, Whole
from vibe_tasks.cli.printing import json_option, moment, note, print_json, short_id
from vibe_tasks.errors import InputError, LeaseLostError
from vibe_tasks.flow.outside import Held, claimed
from vibe_tasks.store.job_rows import find_job, whole_job_id
from vibe_tasks.tasks.consumers.job_queue import LONGEST_LEASE, JobQueue

REFUSED = 1
"""Exit code where there is no job, or the attempt is over."""


attempt_option = click.option(
    "--attempt", type=Whole(min=1, max=2**31 - 1), required=True, metavar="N",
    help="The attempt, as the claim named it.",
)  # fmt: skip
lease_option = click.option(
    "--lease", type=Number(min=0, min_open=True, max=LONGEST_LEASE), metavar="SECONDS",
    help="Time until it counts as lost without a heartbeat; default: VIBE_LEASE_SECONDS.",
)  # fmt: skip


@click.command(
    cls=Command,
    example="vibe jobs claim reports --wait 60 --json",
)
@click.argument("lanes", metavar="LANE...", nargs=-1, required=True)
@click.option("--worker", metavar="NAME", help="Who takes it; default: cli@HOST.")
@click.option(
    "--wait", type=Number(min=0, max=LONGEST_LEASE), default=0.0, metavar="SECONDS",
    help="Wait so long for a job.",
)  # fmt: skip
@click.option(
    "--label", "labels", metavar="LABEL", multiple=True,
    help="Also jobs that require this label; may be repeated.",
)  # fmt: skip
@lease_option
@json_option
def claim(
    *,
    lanes: tuple[str, ...],
    worker: str | None,
    wait: float,
    labels: tuple[str, ...],
    lease: float | None,
    as_json: bool,
) -> int:
    """Take the most urgent due job of the first LANE that has one, for one attempt.

    Without a job, or when none comes in time, nothing is printed and the exit code is 1. Whoever
    claims a job ends it, with `vibe jobs complete` or `vibe jobs fail`; after the lease it counts
    as failed.
    """
    name = worker or f"cli@{socket.gethostname()}"
    with storage_trouble(), JobQueue(worker=name, lease=lease, labels=labels) as queue:
        taken = queue.claim(*lanes, wait=wait)
        if taken is None:
            queue.tidy(*lanes)
            return REFUSED
        with queue.ledger.read() as connection:
            row = find_job(connection, taken.id)
    if as_json:
        print_json(claimed(taken, row))
        return 0
    click.echo(
        f"claimed {taken.id} attempt {taken.attempt}: {taken.name}, "
        f"until {moment(row['lease_until'])}"
    )
    return 0


@click.command(
    cls=Command,
    example="vibe jobs heartbeat 1b9d6bcd --attempt 1",
)
@click.argument("job_id", metavar="ID")
@attempt_option
@lease_option
@json_option
def heartbeat(job_id: str, attempt: int, lease: float | None, as_json: bool) -> int:
    """Renew the lease of a job that takes longer; call it every third of the lease."""
    with _fenced(), JobQueue() as queue:
        held = _held(queue, job_id, attempt)
        until = queue.heartbeat(held, lease=lease)
        _say(f"until {moment(until)}", {"job_id": held.id, "lease_until": until}, as_json=as_json)
    return 0


@click.command(
    cls=Command,
    example="vibe jobs complete 1b9d6bcd --attempt 1 --result '{\"pages\": 12}'",
)
@click.argument("job_id", metavar="ID")
@attempt_option
@click.option(
    "--result", "text", default="null", metavar="JSON",
    help="The result, a JSON value; - reads it from standard input.",
)  # fmt: skip
@json_option
def complete(job_id: str, attempt: int, text: str, as_json: bool) -> int:
    """Record the result of a job that you have claimed; what needs it goes on."""
    result = _parsed(text)
    with _fenced(), JobQueue() as queue:
        held = _held(queue, job_id, attempt)
        queue.complete(held, result)
        _say(f"completed {short_id(held.id)}", {"completed": [held.id]}, as_json=as_json)
    return 0


@click.command(
    cls=Command,
    example='vibe jobs fail 1b9d6bcd --attempt 1 --error "no paper" --retry-after 60',
)
@click.argument("job_id", metavar="ID")
@attempt_option
@click.option("--error", required=True, metavar="TEXT", help="What went wrong.")
@click.option("--permanent", is_flag=True, help="Do not try again.")
@click.option(
    "--retry-after", type=Number(min=0, max=LONGEST_LEASE), metavar="SECONDS",
    help="Time to the next attempt, instead of the retry policy's.",
)  # fmt: skip
@json_option
def fail(
    job_id: str,
    attempt: int,
    error: str,
    *,
    permanent: bool,
    retry_after: float | None,
    as_json: bool,
) -> int:
    """Count a failure of a job that you have claimed, and say whether it will run again."""
    with _fenced(), JobQueue() as queue:
        held = _held(queue, job_id, attempt)
        again = queue.fail(held, error, permanent=permanent, retry_after=retry_after)
        words = f"failed {short_id(held.id)}: {'it will run again' if again else 'a dead letter'}"
        _say(words, {"job_id": held.id, "will_retry": again}, as_json=as_json)
    return 0


@contextmanager
def _fenced() -> Iterator[None]:
    """Where the attempt is refused, say so and end with `REFUSED`."""
    try:
        with storage_trouble():
            yield
    except LeaseLostError as error:
        note(f"vibe: {error}")
        click.get_current_context().exit(REFUSED)


def _say(words: str, told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(told)
    else:
        click.echo(words)


def _held(queue: JobQueue, text: str, attempt: int) -> Held:
    with queue.ledger.read() as connection:
        return Held(id=whole_job_id(connection, text), attempt=attempt)


def _parsed(text: str) -> Any:
    try:
        return json.loads(sys.stdin.read() if text == "-" else text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(f"--result is no JSON: {error}") from error


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON value")
