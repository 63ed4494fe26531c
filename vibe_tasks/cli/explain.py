"""`vibe jobs explain`: why a job has not run yet, and which worker it is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.jobs import what
from vibe_tasks.cli.ledger import look_into_ledger
from vibe_tasks.cli.printing import json_option, moment, one_line, print_json, print_table
from vibe_tasks.cli.program import program
from vibe_tasks.flow.views.explanation import explained
from vibe_tasks.flow.views.reason import meant
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.whereabouts import ask_broker


@click.command(cls=Command, example="vibe jobs explain 1b9d6bcd")
@click.argument("job_id", metavar="ID")
@json_option
def explain(job_id: str, as_json: bool) -> None:
    """Answer in a sentence why a job has not run yet, or what became of it, archived or not.

    And which worker it is for: the candidates, each term of their scores, the choice. Of a job
    that waits that is what would be decided now; of one that has started, what was decided when
    its message was sent, and who ran it.
    """
    with look_into_ledger() as ledger, ledger.read() as connection:
        row = meant(connection, job_id)
        told = explained(
            connection, row, settings=resources.settings(), when=moment, program=program(),
            ask=ask_broker,
        )  # fmt: skip
    if as_json:
        print_json(told)
        return
    _print(row, told)


def _print(row: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    asks = [f"a worker with {', '.join(told['required'])}"] if told["required"] else []
    asks += [f"{points:+g} for {label}" for label, points in told["labels"].items()]
    decision = told["decision"]
    click.echo(one_line(told["answer"], most=2000))
    lines = {
        "job": f"{row['id']}  {what(row)}",
        "status": told["status"],
        "lane": f"{told['lane']}, priority {told['priority']}, effort {told['effort']}",
        "asks for": "; ".join(asks),
        "worker": told["worker"],
        "decided": f"{told['decided']}: {_choice(decision)}" if decision else None,
    }
    for name, value in lines.items():
        if value:
            click.echo(f"{name:<10}{one_line(str(value), most=2000)}")
    if decision and decision["candidates"]:
        _print_candidates(decision["candidates"])
    for each in told.get("others", ()):
        click.echo(f"not       {one_line(each['worker'])}: {each['why']}")


def _choice(decision: Mapping[str, Any]) -> str:
    if not decision["choice"]:
        return f"for no worker in particular ({decision['why']})"
    return f"{decision['choice']}, {decision['why']}"


def _print_candidates(candidates: Sequence[Mapping[str, Any]]) -> None:
    names = list(dict.fromkeys(term for each in candidates for term in each["terms"]))
    print_table(
        ("CANDIDATE", "SCORE", *(name.upper() for name in names)),
        [
            (
                each["worker"], f"{each['score']:g}",
                *(f"{each['terms'][name]:g}" if name in each["terms"] else "" for name in names),
            )
            for each in candidates
        ],
        empty="",
    )  # fmt: skip
