"""Commands with an example in their help, and groups that import a command when it is used.

`vibe --help` and the answer to a mistyped command come without importing the ledger.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from vibe_tasks.suggestion import did_you_mean

Places = Mapping[str, tuple[str, str]]
"""Command name to `module:attribute` and the line that the help shows."""


class Command(click.Command):
    """A command whose help ends with an example.

    Args:
        example: Command lines, printed as they are.
    """

    def __init__(self, *args: Any, example: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example."""
        super().format_epilog(ctx, formatter)
        write_example(formatter, self.example)


class Group(click.Group):
    """A group of commands, defined in place or elsewhere.

    Args:
        places: Its commands that are elsewhere.
        example: Command lines, printed as they are.
    """

    command_class = Command

    def __init__(
        self, *args: Any, places: Places | None = None, example: str = "", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._places = dict(places or {})
        self.example = example

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table, then those defined in place."""
        return [*self._places, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None where there is none of that name."""
        if cmd_name not in self._places:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._places[cmd_name][0].partition(":")
        gc.disable()  # looks through all that is being imported, in vain: a seventh of a start
        try:
            command = getattr(import_module(module), attribute)
        finally:
            gc.enable()
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{attribute} is no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is refused with the near miss."""
        name = args[0]
        known = self.list_commands(ctx)
        if name not in known and not name.startswith("-"):
            ctx.fail(f"no command {name!r}{did_you_mean(name, known)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing them."""
        rows = [(name, summary) for name, (_, summary) in self._places.items()]
        if not rows:
            super().format_commands(ctx, formatter)
            return
        rows += [
            (name, command.get_short_help_str(formatter.width))
            for name, command in self.commands.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example."""
        super().format_epilog(ctx, formatter)
        write_example(formatter, self.example)


def write_example(formatter: click.HelpFormatter, example: str) -> None:
    """Write an example below the options, its lines as they are."""
    if example:
        lines = "".join(f"  {line}\n" for line in example.splitlines())
        formatter.write(f"\nExample:\n{lines}")
