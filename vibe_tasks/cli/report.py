"""The run report for a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vibe_tasks.cli.printing import counted, one_line, short_id, span
from vibe_tasks.errors import GitError, RepositoryError
from vibe_tasks.flow.report import run_report
from vibe_tasks.pipeline import TaskStatus
from vibe_tasks.store.engine import Database
from vibe_tasks.store.plans import plan_heading
from vibe_tasks.workspace.repository import Repository

MOST_DEAD = 20
"""Dead letters that are printed; the others are in `vibe dlq list`."""


def report_of(ledger: Database, plan_id: str) -> dict[str, Any]:
    """The run report of a plan, with where its branch stands now.

    Raises:
        UnknownJobError: No such plan.
    """
    with ledger.read() as connection:
        plan = plan_heading(connection, plan_id)
        try:
            commit = Repository.open(Path(plan["repo"])).branch_commit(plan["branch"])
        except (RepositoryError, GitError):  # the plan may be older than its repository
            commit = None
        return run_report(connection, plan_id, commit=commit)


def print_report(report: dict[str, Any], *, repo: str) -> None:
    """Outcome, branch, figures and what needs a hand."""
    tasks = report["tasks"]
    deployed = sum(task["outcome"] == TaskStatus.DEPLOYED for task in tasks)
    click.echo(
        f"plan {report['plan']} {report['outcome']} in {span(report['seconds'])}: "
        f"{deployed} of {counted(len(tasks), 'task')} deployed"
    )
    if report["commit"]:
        click.echo(f"  branch  {report['branch']} at {report['commit'][:12]} in {repo}")
    click.echo(f"  jobs    {_jobs(report)}")
    tokens = report["tokens"]
    if tokens["input"] or tokens["output"] or report["cost_usd"]:
        click.echo(
            f"  agents  {tokens['input']} tokens in, {tokens['output']} out, "
            f"{report['cost_usd']:.4f} USD"
        )
    _print_dead(report)


def _jobs(report: dict[str, Any]) -> str:
    jobs = report["jobs"]
    parts = [f"{jobs['completed']} completed"]
    parts += [f"{jobs[name]} {name}" for name in ("failed", "cancelled") if jobs[name]]
    retries = report["retries"]
    if retries:
        parts.append("1 retry" if retries == 1 else f"{retries} retries")
    rounds = sum(task["fix_rounds"] for task in report["tasks"])
    if rounds:
        parts.append(counted(rounds, "fix round"))
    return ", ".join(parts)


def _print_dead(report: dict[str, Any]) -> None:
    dead = report["dead_letters"]
    for letter in dead[:MOST_DEAD]:
        click.echo(
            f"  dead    {letter['task']}: {letter['kind']} job {short_id(letter['job_id'])} "
            f"after {counted(letter['attempts'], 'attempt')}: {one_line(letter['error'] or '')}"
        )
    if len(dead) > MOST_DEAD:
        click.echo(f"          and {len(dead) - MOST_DEAD} more")
    for outcome in (TaskStatus.BLOCKED, TaskStatus.CANCELLED):
        ids = [task["id"] for task in report["tasks"] if task["outcome"] == outcome]
        if ids:
            click.echo(f"  {outcome:<9} {one_line(', '.join(ids))}")
    if dead:
        click.echo("  mend    vibe jobs show ID tells why; vibe dlq retry ID gives it another try")
