"""The run report for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from vibe_tasks.cli.printing import counted, one_line, short_id, span
from vibe_tasks.cli.program import program
from vibe_tasks.pipeline import TaskStatus

MOST_DEAD = 20
"""Dead letters that are printed; the others are in `vibe dlq list`."""


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
    if hits := report["cache"]["hits"]:
        click.echo(f"  cache   {hits} used again")
    if words := _votes(report):
        click.echo(f"  reviews {words}")
    _print_dead(report)


def _votes(report: dict[str, Any]) -> str:
    """How often reviewers decided, and how often not all of them voted; empty without any."""
    runs = [task["consensus"] for task in report["tasks"] if "consensus" in task]
    if not runs:
        return ""
    total = {name: sum(run[name] for run in runs) for name in ("runs", "degraded", "undecided")}
    parts = [counted(total["runs"], "run")]
    parts += [f"{total[name]} {name}" for name in ("degraded", "undecided") if total[name]]
    return ", ".join(parts)


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
            f"{_fate(letter)}"
        )
    if len(dead) > MOST_DEAD:
        click.echo(f"          and {len(dead) - MOST_DEAD} more")
    for outcome in (TaskStatus.BLOCKED, TaskStatus.CANCELLED):
        ids = [task["id"] for task in report["tasks"] if task["outcome"] == outcome]
        if ids:
            click.echo(f"  {outcome:<7} {one_line(', '.join(ids))}")
    if dead:
        # All of them, however many: the line is there to be pasted.
        ids = [short_id(letter["job_id"]) for letter in dead]
        click.echo(
            f"  why     {program()} jobs show {ids[0]}\n"
            f"  mend    {program()} dlq retry {' '.join(ids)}\n"
            f"          and run the plan again"
        )


def _fate(letter: Mapping[str, Any]) -> str:
    """How often it was tried and what came of it; a verdict tells its fix rounds itself."""
    error = one_line(letter["error"] or "", most=600)
    tried = counted(letter["attempts"], "attempt")
    return error if error.startswith("after ") else f"after {tried}: {error}"
