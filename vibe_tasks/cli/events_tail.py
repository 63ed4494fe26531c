"""`vibe events tail`: events as they happen, from a web server or from the ledger itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.ledger import ledger_exists, look_into_ledger, place
from vibe_tasks.cli.listening import open_stream, server_address
from vibe_tasks.cli.numbers import Whole
from vibe_tasks.cli.printing import clock, note, one_line
from vibe_tasks.event_priority import EventPriority
from vibe_tasks.flow.views.event_tail import tail as tail_of
from vibe_tasks.masking import masked
from vibe_tasks.tasks import resources

if TYPE_CHECKING:
    from vibe_tasks.web.stream_reading import StreamEvent

LOOK = 0.5
"""Seconds between two looks at the ledger."""

COLOURS = {
    EventPriority.REGULAR: None, EventPriority.HIGH: "yellow", EventPriority.CRITICAL: "red",
    EventPriority.SYSTEM: "magenta",
}  # fmt: skip

SAID = ("why", "message", "text", "tool_name", "prompt")
"""Fields of a payload that tell what an event without a summary is about, best first."""


@click.command(
    cls=Command,
    example="vibe events tail\nvibe events tail --min-priority 1 --session todo-api-1f2e3d4c\n"
    "vibe events tail --json --no-follow",
)
@click.option(
    "--session", "sessions", multiple=True, metavar="S",
    help="Only events of this session; may be given several times.",
)  # fmt: skip
@click.option(
    "--min-priority", type=Whole(0, 3), default=0, metavar="N",
    help="Only events of this level and above: 1 high, 2 critical, 3 system.",
)  # fmt: skip
@click.option(
    "--limit", type=Whole(1), metavar="N",
    help="End after N events; with --no-follow, print the newest N.",
)  # fmt: skip
@click.option(
    "--url", metavar="URL", help="The web server. [default: VIBE_WEB_URL, or the one of this home]"
)
@click.option("--no-follow", "once", is_flag=True, help="Print the newest events, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print each event as one line of JSON.")
def tail(
    *, sessions: tuple[str, ...], min_priority: int, limit: int | None, url: str | None,
    once: bool, as_json: bool,
) -> None:  # fmt: skip
    """Print the newest events, and then each as it happens.

    They come from a web server, or, where none runs, from the ledger. When a server starts again,
    nothing is missed and nothing printed twice. Who reads too slowly misses regular events, never
    those of priority.
    """
    printer = Printer(limit=None if once else limit, as_json=as_json)
    if once:
        printer.hold(limit)
    address = url or server_address()
    if address is None:
        _from_ledger(printer, sessions, min_priority, once=once)
    else:
        _from_server(printer, address, sessions, min_priority, once=once)
    printer.release()


class Printer:
    """Prints events, one line each.

    Args:
        limit: How many at most; None: any number.
        as_json: As JSON instead of words.
    """

    def __init__(self, *, limit: int | None, as_json: bool) -> None:
        self._left = limit
        self._line = json.dumps if as_json else line
        self._held: list[Mapping[str, Any]] | None = None
        self._most: int | None = None

    def hold(self, most: int | None) -> None:
        """Print nothing before `release`, and then the last of all; None: all."""
        self._held, self._most = [], most

    def release(self) -> None:
        """Print what was held back."""
        if self._held is not None:
            held, self._held = self._held, None
            self.take(held if self._most is None else held[-self._most :])

    def take(self, events: Sequence[Mapping[str, Any]]) -> bool:
        """Print these; whether more are wanted."""
        if self._held is not None:
            self._held.extend(events)
            return True
        if self._left is not None:
            events = events[: self._left]
            self._left -= len(events)
        if events:
            click.echo("\n".join(map(self._line, events)))
        return self._left != 0

    def take_streamed(self, events: Sequence[StreamEvent]) -> bool:
        """Print these; whether more are wanted."""
        return self.take([each.event for each in events])


def line(event: Mapping[str, Any]) -> str:
    """An event for people: when, how grave, whose, what."""
    level = EventPriority(event["priority"])
    colour = COLOURS[level]
    grave = click.style(f"{level.label:<8}", fg=colour)
    kind = click.style(_word(event, "hook_event_type"), fg=colour, bold=level > 0 or None)
    words = [_time(event["timestamp"]), grave, _word(event, "session_id"),
             _word(event, "source_app"), kind, _about(event)]  # fmt: skip
    return "  ".join(word for word in words if word)


def _word(event: Mapping[str, Any], name: str) -> str:
    return one_line(str(event.get(name) or "-"), most=60)


def _about(event: Mapping[str, Any]) -> str:
    payload = event.get("payload")
    fields = payload if isinstance(payload, dict) else {}
    said = [event.get("summary"), *(fields.get(name) for name in SAID)]
    return one_line(next((each for each in said if isinstance(each, str) and each), ""), most=200)


def _time(milliseconds: int) -> str:
    try:
        return clock(milliseconds / 1000)
    except (ValueError, OverflowError, OSError):  # some sender's moment that no clock shows
        return "--:--:--"


def _from_server(
    printer: Printer, url: str, sessions: Sequence[str], min_priority: int, *, once: bool
) -> None:
    stream = open_stream(
        url, sessions=sessions, min_priority=min_priority, follow=not once,
        patience=0.0 if once else None, tell=note,
    )  # fmt: skip
    from vibe_tasks.web.stream_following import follow  # noqa: PLC0415 - as in open_stream

    note(f"events of {masked(url)}")
    follow(stream, printer.take_streamed)


def _from_ledger(
    printer: Printer, sessions: Sequence[str], min_priority: int, *, once: bool
) -> None:
    note(f"events of the ledger in {place()}, no web server runs here")
    if not once and not ledger_exists():
        note("there is no ledger yet; waiting for it")
        while not ledger_exists():
            resources.pause(LOOK)
    with look_into_ledger() as ledger:
        for events in tail_of(
            ledger, resources.settings(), sessions=sessions, min_priority=min_priority,
            on=not once, pause=lambda: resources.pause(LOOK), tell=note,
        ):  # fmt: skip
            if not printer.take(events):
                return
