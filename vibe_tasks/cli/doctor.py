"""`vibe doctor`: what is wrong, and how to mend it."""

from __future__ import annotations

from dataclasses import asdict

import click

from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.doctor_agents import known_agents
from vibe_tasks.cli.ledger import ledger_exists, look_into_ledger, place
from vibe_tasks.cli.printing import json_option, print_json
from vibe_tasks.tasks.doctor import examine


@click.command(cls=Command, example="vibe doctor --agents")
@click.option("--agents", is_flag=True, help="Look for known coding agents too, and start each.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, agents: bool, as_json: bool) -> None:
    """Check this machine, the broker, the ledger, the clocks, the workers and the work.

    Each check is one line, with the mend where something is wrong; then the exit code is 1.
    A warning, of what somebody should look at while work goes on, leaves it at 0.
    """
    findings = list(examine(look_into_ledger, missing=_missing))
    if agents and findings[0].ok:  # without settings nothing is known of an agent's surroundings
        findings += known_agents()
    if as_json:
        print_json([asdict(each) for each in findings])
    else:
        width = max(11, *(len(each.check) for each in findings))
        for each in findings:
            fine = "ok  " if each.there else "-   "
            sign = "BAD " if not each.ok else "warn" if each.mend else fine
            click.echo(f"{sign} {each.check:<{width}} {each.text}")
            if each.mend:
                click.echo(f"     {'':<{width}} mend: {each.mend}")
    ctx.exit(0 if all(each.ok for each in findings) else 1)


def _missing() -> str | None:
    return None if ledger_exists() else place()
