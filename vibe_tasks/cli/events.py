"""`vibe events`: what happened, and who is told of it."""

from __future__ import annotations

import click

from vibe_tasks.cli.commands import Group
from vibe_tasks.cli.ledger import look_into_ledger, place
from vibe_tasks.cli.printing import json_option, print_json, print_table, span
from vibe_tasks.errors import InputError
from vibe_tasks.store import event_handlers
from vibe_tasks.suggestion import did_you_mean


@click.group(cls=Group)
def events() -> None:
    """List and forget the handlers of events."""


@events.command(example="vibe events handlers")
@json_option
def handlers(as_json: bool) -> None:
    """List who is told of which events.

    A handler is a Celery task: one that `@on_event` made, or one of ours that tells people.
    """
    with look_into_ledger() as ledger, ledger.read() as connection:
        found = event_handlers.subscriptions(connection)
    if as_json:
        print_json(
            [
                {"handler": each.handler, "lane": each.lane, "event_types": sorted(each.types),
                 "time_limit": each.time_limit}
                for each in found
            ]
        )  # fmt: skip
        return
    print_table(
        ("HANDLER", "LANE", "TIME LIMIT", "EVENTS"),
        [
            (each.handler, each.lane, each.time_limit and span(each.time_limit),
             ", ".join(sorted(each.types)))
            for each in found
        ],
        empty=f"no handlers in {place()}",
    )  # fmt: skip


@events.command(example="vibe events forget billing.note_failure")
@click.argument("handler")
@json_option
def forget(handler: str, as_json: bool) -> None:
    """Tell a HANDLER of no further events.

    For functions that are no more: a worker that knows it subscribes it again when it starts.
    """
    with look_into_ledger() as ledger:
        with ledger.read() as connection:
            known = [each.handler for each in event_handlers.subscriptions(connection)]
        if handler not in known:
            raise InputError(f"no handler {handler}{did_you_mean(handler, known)}")
        with ledger.begin() as connection:
            event_handlers.unsubscribe(connection, handler)
    if as_json:
        print_json({"forgotten": handler})
    else:
        click.echo(f"{handler} is told of no further events")
