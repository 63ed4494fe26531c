"""`vibe run`: a plan from its file to its report."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from shlex import quote
from typing import Any

import click
from rich.console import Console

from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.crew import Crew
from vibe_tasks.cli.interruption import Interruption
from vibe_tasks.cli.ledger import open_ledger
from vibe_tasks.cli.live import LiveView
from vibe_tasks.cli.numbers import Whole
from vibe_tasks.cli.plain import PlainView, QuietView
from vibe_tasks.cli.printing import counted, json_option, note, print_json
from vibe_tasks.cli.program import program
from vibe_tasks.cli.report import print_report
from vibe_tasks.cli.served_lanes import served_lanes
from vibe_tasks.cli.telling import until_told
from vibe_tasks.cli.watching import View, watch
from vibe_tasks.errors import SettingsError
from vibe_tasks.flow.plan_source import no_model, on_path, read_plan
from vibe_tasks.flow.submission import Prepared, Submission, prepare, submit_plan
from vibe_tasks.flow.views.plans import report_of
from vibe_tasks.masking import masked
from vibe_tasks.store import outbox
from vibe_tasks.store.engine import Database
from vibe_tasks.store.watching import newest
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.broker_socket import stack_answers
from vibe_tasks.tasks.observation import logs, traces
from vibe_tasks.workspace.sandbox import unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is asked for.

    Attributes:
        source: The plan's file.
        again: The command that goes on with it.
        agent: Another default agent.
        processes: Processes of the worker.
        insisted: Whether their number was asked for.
        as_json: Print the report as JSON and nothing else.
        fresh: Start over.
    """

    source: Path
    again: str
    agent: str | None = None
    processes: int
    insisted: bool = False
    as_json: bool = False
    fresh: bool = False


def default_processes() -> int:
    """Processes of the embedded worker: one for each processor, at least two."""
    return max(2, os.cpu_count() or 1)


workers_option = click.option(
    "--workers", "processes", type=Whole(1, 256), default=default_processes, metavar="N",
    help="Jobs that run at once; by default one for each processor, and at least 2.",
)  # fmt: skip


@click.command(cls=Command, example="vibe run plan.yaml --workers 4")
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("--agent", metavar="NAME", help="The plan's agent to use where a task names none.")
@workers_option
@json_option
@click.option(
    "--fresh", is_flag=True,
    help="Start over; the old branch is kept as vibe/NAME.N. Changes that are kept are used again, "
    "but not after `vibe cache clear`, nor those of agents with `cache: false`.",
)  # fmt: skip
def run(
    plan: Path,
    agent: str | None,
    processes: int,
    as_json: bool,
    fresh: bool,
) -> None:
    """Run the plan in the file PLAN to its end.

    Starts broker, workers and dispatcher on this machine and stops them at the end, unless
    VIBE_BROKER_URL names a deployment or `vibe up` runs. An interrupted run goes on where it
    stopped when it is started again. The result is the branch vibe/NAME of the plan's repository.
    What waits for a person is said on standard error, with --json too.
    """
    ctx = click.get_current_context()
    again = f"{program()} run {quote(str(plan))}" + (f" --agent {agent}" if agent else "")
    report = carry_out(
        Run(
            source=plan, again=again, agent=agent, processes=processes, insisted=insisted(ctx),
            as_json=as_json, fresh=fresh,
        )
    )  # fmt: skip
    ctx.exit(exit_code(report))


def insisted(ctx: click.Context) -> bool:
    """Whether the number of processes was given on the command line."""
    return ctx.get_parameter_source("processes") is click.core.ParameterSource.COMMANDLINE


def exit_code(report: dict[str, Any]) -> int:
    """0 when every task is deployed, else 1."""
    return 0 if report["outcome"] == "completed" else 1


def carry_out(wanted: Run) -> dict[str, Any]:
    """Run the plan, show its progress and print its report, which is returned too.

    Raises:
        InputError: The plan, a setting or a server is not as it must be.
        KeyboardInterrupt: Somebody stopped us; says how to go on.
    """
    # Workers elsewhere, or of another shell, have a PATH of their own.
    ours = not resources.settings().broker_url and not stack_answers()
    plan = (
        read_plan(
            wanted.source,
            agent=wanted.agent,
            has_program=on_path,
            no_sandbox=unavailable,
            no_chat=no_model,
        )
        if ours
        else read_plan(wanted.source, agent=wanted.agent)
    )
    prepared = prepare(plan, wanted.source, home=resources.home())
    log_to_file()
    with open_ledger() as ledger:
        try:
            submission = _work_off(ledger, prepared, wanted)
        except KeyboardInterrupt:  # the first, or one more while the stack was being stopped
            raise KeyboardInterrupt(
                f"interrupted; the work is safe in the ledger, go on with: {wanted.again}"
            ) from None
        report = report_of(ledger, submission.plan_id, home=resources.home())
    if wanted.as_json:
        print_json(report)
    else:
        print_report(report, repo=prepared.repository.place)
    return report


def log_to_file() -> None:
    """Send warnings to a file, where they do not break the view."""
    folder = resources.make_home() / "logs"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"VIBE_HOME: cannot use {folder}: {error.strerror}") from error
    logs.set_up(level=logging.WARNING, file=folder / "vibe.log")
    traces.check()


def _work_off(ledger: Database, prepared: Prepared, wanted: Run) -> Submission:
    with ledger.read() as connection:
        mark = newest(connection)
    with ExitStack() as closing:
        with Interruption() as interruption:  # a plan is accepted whole or not at all
            submission, poll, start = _begin(ledger, prepared, wanted, closing)
            interruption.obey()
        if not wanted.as_json:
            _introduce(prepared, submission)
        console = Console(stderr=True)
        view: View
        if console.is_terminal and not console.is_dumb_terminal:
            view = closing.enter_context(LiveView(console, submission.plan_id, prepared.plan.name))
        else:
            view = QuietView() if wanted.as_json else PlainView(submission.plan_id, mark)
        try:
            with Interruption() as interruption:
                watch(
                    ledger, submission.plan_id, prepared.plan.name,
                    view=view, poll=poll, interruption=interruption, start=start,
                )  # fmt: skip
                if poll is not _nothing:  # a deployment goes on without us
                    until_told(
                        ledger, submission.plan_id,
                        view=view, poll=poll, interruption=interruption,
                    )  # fmt: skip
        except KeyboardInterrupt:
            view.say("stopping; Ctrl-C again stops at once")
            raise
    return submission


def _begin(
    ledger: Database, prepared: Prepared, wanted: Run, closing: ExitStack
) -> tuple[Submission, Callable[[], None], str | None]:
    """Hand the plan over to whoever works; the submission, what keeps that going, and the command
    that starts it, where it is ours.
    """
    if resources.settings().broker_url:
        _say_ignored(
            wanted, f"the workers of {masked(resources.settings().broker_url)} do the work"
        )
        # Celery and redis take a third of a second to import: only here.
        hand_over = import_module("vibe_tasks.cli.submit").hand_over
        return hand_over(wanted.source, agent=wanted.agent, fresh=wanted.fresh), _nothing, None
    lanes = served_lanes(prepared.plan)  # a module that cannot be imported leaves no plan behind
    with traces.Submission() as trace:
        submission = submit_plan(
            ledger, prepared, fresh=wanted.fresh, trace=trace, by=resources.person()
        )
    crew = closing.enter_context(
        Crew(
            ledger, resources.home(),
            processes=wanted.processes, lanes=lanes,
        )
    )  # fmt: skip
    crew.join()
    if not crew.owns:
        _say_ignored(wanted, "a stack that runs already does the work")
        # Its dispatcher finds them in the outbox.
        with ledger.begin() as connection:
            outbox.give_back(connection, [each.id for each in submission.following])
    return submission, crew.poll, wanted.again if crew.owns else None


def _say_ignored(wanted: Run, why: str) -> None:
    if wanted.insisted and not wanted.as_json:
        note(f"--workers {wanted.processes} is ignored: {why}")


def _nothing() -> None:
    """A deployment keeps itself running."""


def _introduce(prepared: Prepared, submission: Submission) -> None:
    plan = prepared.plan
    if submission.set_aside:
        note(f"the earlier branch is kept as {submission.set_aside}")
    how = "going on with" if submission.resumed else "plan"
    note(
        f"{how} {plan.name}: {counted(len(plan.tasks), 'task')}, "
        f"branch {prepared.branch} in {prepared.repository.place}"
    )
