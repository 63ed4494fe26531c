"""The `vibe` command: its parts, and how errors become exit codes."""

from __future__ import annotations

import os
import signal
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from vibe_tasks.cli.commands import Group
from vibe_tasks.errors import PlanError, VibeError

DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: everything was done; the work failed; bad input or settings; stopped by somebody."""

_HERE = "vibe_tasks.cli"
_COMMANDS = {
    "run": (f"{_HERE}.run:run", "Run a plan to its end on this machine."),
    "demo": (f"{_HERE}.demo:demo", "Run the example plan."),
    "up": (f"{_HERE}.up:up", "Run the embedded stack for producers."),
    "web": (f"{_HERE}.web:web", "Serve the API, the events and the dashboard."),
    "submit": (f"{_HERE}.submit:submit", "Hand a plan to the running deployment."),
    "status": (f"{_HERE}.status:status", "Show how much waits where, and who works."),
    "jobs": (f"{_HERE}.jobs:jobs", "List, show, retry and cancel jobs."),
    "dlq": (f"{_HERE}.dead_letters:dlq", "List, retry and discard dead letters."),
    "plans": (f"{_HERE}.plans:plans", "List, show, cancel and approve plans."),
    "lanes": (f"{_HERE}.lanes:lanes", "List, pause, resume and limit lanes."),
    "cache": (f"{_HERE}.cache:cache", "Show and empty the caches of results."),
    "workers": (f"{_HERE}.workers:workers", "List the worker registry."),
    "scale": (f"{_HERE}.scale:scale", "Show and check the size of the fleet."),
    "events": (f"{_HERE}.events:events", "Follow events, list their handlers, set their rules."),
    "db": (f"{_HERE}.database:db", "Upgrade, check and tidy the ledger."),
    "audit": (f"{_HERE}.audit:audit", "List what people did, and from where."),
    "config": (f"{_HERE}.config:config", "Show the effective settings."),
    "doctor": (f"{_HERE}.doctor:doctor", "Check the settings and every connection."),
    "health": (f"{_HERE}.health:health", "Answer probes: is this part at work?"),
}


class Vibe(Group):
    """The command itself: one place turns errors into a line and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the command line and end the process with its exit code."""
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
            sys.stdout.flush()
        except NoArgsIsHelpError as error:
            error.show()
            code = error.exit_code
        except click.ClickException as error:
            click.echo(f"vibe: {_with_hint(error)}", err=True)
            code = error.exit_code
        except (click.Abort, KeyboardInterrupt) as error:
            said = next((str(arg) for arg in _cause(error).args), "")
            click.echo(f"vibe: {said or 'interrupted'}", err=True)
            code = INTERRUPTED
        except VibeError as error:
            # A plan with several mistakes has a line for each; nothing else has more than one.
            lines = str(error).splitlines() if isinstance(error, PlanError) else [str(error)]
            for line in lines:
                click.echo(f"vibe: {' '.join(line.split())}", err=True)
            code = REFUSED
        except BrokenPipeError:
            # Whoever read us has gone; Python would complain about it once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = FAILED
        sys.exit(code if isinstance(code, int) else DONE)


def _cause(error: BaseException) -> BaseException:
    """Take off the Abort that click puts around a KeyboardInterrupt, whose words are ours."""
    return error.__cause__ if isinstance(error.__cause__, KeyboardInterrupt) else error


def _with_hint(error: click.ClickException) -> str:
    """What is wrong with a command line, in one line that leads to the right help."""
    said = " ".join(error.format_message().split())
    ctx = getattr(error, "ctx", None)
    if ctx is None:
        return said
    return f"{said.rstrip('.')} ({ctx.command_path} --help)"


def _print_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    try:
        number = version("vibe-tasks")
    except PackageNotFoundError:
        number = "(source tree, not installed)"
    click.echo(f"vibe {number}")
    ctx.exit()


@click.group(
    cls=Vibe,
    places=_COMMANDS,
    example="vibe demo             see it work\nvibe run plan.yaml    run a plan of your own",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version,
    help="Print the version.",
)  # fmt: skip
def cli() -> None:
    """Run coding agents, and any other jobs, on a durable ledger.

    A plan is a file with tasks; `vibe run PLAN` works it off with nothing else to set up.
    Every command explains itself: `vibe COMMAND --help`.

    Exit codes: 0 done; 1 the work failed; 2 bad input or settings; 130 interrupted.
    """


def main() -> None:
    """The entry point of the `vibe` script."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cli(prog_name="vibe")


if __name__ == "__main__":
    main()
