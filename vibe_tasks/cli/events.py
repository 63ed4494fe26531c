"""`vibe events`: what happened, and who is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from vibe_tasks.cli.commands import Group
from vibe_tasks.cli.ledger import look_into_ledger, open_ledger, place
from vibe_tasks.cli.printing import json_option, print_json, print_table, span
from vibe_tasks.flow.views import event_rules
from vibe_tasks.flow.views.handlers import forget as forget_handler
from vibe_tasks.flow.views.handlers import listed
from vibe_tasks.tasks import resources

_ELSEWHERE = {
    "tail": ("vibe_tasks.cli.events_tail:tail", "Print events as they happen."),
}


@click.group(cls=Group, places=_ELSEWHERE)
def events() -> None:
    """Follow events, list and forget their handlers, show and set their rules."""


@events.command(example="vibe events handlers")
@json_option
def handlers(as_json: bool) -> None:
    """List who is told of which events.

    A handler is a Celery task: one that `@on_event` made, or one of ours that tells people.
    """
    with look_into_ledger() as ledger:
        found = listed(ledger)
    if as_json:
        print_json(found)
        return
    print_table(
        ("HANDLER", "LANE", "TIME LIMIT", "EVENTS"),
        [
            (each["handler"], each["lane"], each["time_limit"] and span(each["time_limit"]),
             ", ".join(each["event_types"]))
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
        forget_handler(ledger, handler, by=resources.person())
    if as_json:
        print_json({"forgotten": handler})
    else:
        click.echo(f"{handler} is told of no further events")


@events.command(example="vibe events rules\nvibe events rules regular_keep 50000\n"
                "vibe events rules priorities Stop=0,MyHook=2\n"
                "vibe events rules regular_keep default")  # fmt: skip
@click.argument("name", required=False)
@click.argument("value", required=False)
@json_option
def rules(name: str | None, value: str | None, as_json: bool) -> None:
    """Show the rules of events, or set the rule NAME to VALUE for all processes.

    They know it within two seconds, without a restart. VALUE `default` leaves the rule to the
    settings again. With a NAME alone, only that rule is shown.
    """
    if name is not None and value is not None:
        given = event_rules.read_value(name, value)
        with open_ledger() as ledger:
            by = resources.person()
            found = [event_rules.change(ledger, resources.settings(), name, given, by=by)]
    else:
        with look_into_ledger() as ledger:
            found = event_rules.listed(ledger, resources.settings())
        found = found if name is None else [event_rules.one_of(found, name)]
    if as_json:
        print_json(found if name is None else found[0])
        return
    print_table(
        ("RULE", "VALUE", "SETTING"),
        [
            (each["name"], _rule_text(each["value"]),
             _rule_text(each["setting"]) if each["changed"] else None)
            for each in found
        ],
        empty="",
    )  # fmt: skip


def _rule_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{kind}={level}" for kind, level in sorted(value.items())) or "as designed"
    return f"{value:g}" if isinstance(value, float) else str(value)
