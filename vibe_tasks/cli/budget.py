"""`vibe plans budget`: what a plan has used of its budgets, and more of them."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import click

from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.ledger import look_into_ledger
from vibe_tasks.cli.printing import counted, json_option, print_json, print_table, short_id
from vibe_tasks.errors import InputError
from vibe_tasks.flow import budgets
from vibe_tasks.flow.budgets import Account, Accounts
from vibe_tasks.tasks import resources

NO_LIMIT = "none"
UNITS = ("usd", "tokens", "seconds")


@click.command(
    cls=Command, example="vibe plans budget todo-api\nvibe plans budget todo-api --usd 20"
)
@click.argument("plan")
@click.option("--task", metavar="ID", help="The budget of this task.")
@click.option("--agent", metavar="NAME", help="The budget of this agent.")
@click.option("--usd", metavar="NUMBER", help="US dollars in all; none: no limit.")
@click.option("--tokens", metavar="NUMBER", help="Tokens in all; none: no limit.")
@click.option("--seconds", metavar="NUMBER", help="Seconds of agents' work in all; none: no limit.")
@json_option
def budget(
    plan: str, task: str | None, agent: str | None, as_json: bool, **given: str | None
) -> None:
    """Show what is used and left of a plan's budgets, or set one.

    A limit counts from the plan's start, so it is set higher than what is used. Work that waits
    for it goes on at once.
    """
    limits = {name: _limit(name, text) for name, text in given.items() if text is not None}
    if not limits and (task is not None or agent is not None):
        raise InputError("give --usd, --tokens or --seconds with --task or --agent")
    with look_into_ledger() as ledger:
        started: tuple[str, ...] = ()
        if limits:
            started = budgets.raise_budget(
                ledger, plan, task=task, agent=agent, by=resources.person(), **limits
            )
        found = budgets.look(ledger, plan)
    if as_json:
        print_json({**found.to_json(), "started": list(started)})
        return
    _print(found)
    if limits:
        scope, name = ("task", task) if task else ("agent", agent) if agent else ("plan", None)
        for account in found.accounts:
            if account.budget.scope == scope and name in {None, account.budget.name}:
                _print_low(account, limits)
        click.echo(f"{counted(len(started), 'job')} {'goes' if len(started) == 1 else 'go'} on")


def _limit(name: str, text: str) -> Any:
    """The limit that was typed; None for none."""
    if text == NO_LIMIT:
        return None
    try:
        number = int(text) if name == "tokens" else float(text)
    except ValueError as error:
        raise InputError(f"--{name} must be a number, or {NO_LIMIT}, got {text!r}") from error
    if not (number > 0 and isfinite(number)):
        raise InputError(f"--{name} must be above zero, or {NO_LIMIT}, got {text!r}")
    return number


def _print(found: Accounts) -> None:
    rows = [row for each in found.accounts for row in _rows(each)]
    print_table(("BUDGET OF", "UNIT", "USED", "LIMIT", "LEFT"), rows, empty="no budgets")
    used = found.spent
    click.echo(
        f"used in all: {used.usd:.2f} USD, {used.tokens} tokens, {used.seconds:.0f} seconds "
        f"in {counted(used.attempts, 'attempt')}, {used.cached} from the cache"
    )
    for job in found.waiting:
        click.echo(f"waiting: job {short_id(job['id'])} of {job['task_id']}: {job['error']}")


def _rows(account: Account) -> list[tuple[str, ...]]:
    """One for each limit."""
    values = account.to_json()
    whose = f"{account.budget.scope} {account.budget.name}"
    return [
        (whose, unit, *(_amount(unit, values[what][unit]) for what in ("used", "limit", "left")))
        for unit in UNITS
        if values["limit"][unit] is not None
    ]


def _print_low(account: Account, limits: Mapping[str, Any]) -> None:
    """Say which of the limits that were set let nothing go on."""
    for unit in account.budget.over(account.spent):
        if unit in limits:
            used = getattr(account.spent, unit)
            how = "still below what is used" if limits[unit] < used else "just what is used"
            click.echo(f"--{unit} {_amount(unit, limits[unit])} is {how}: {_amount(unit, used)}")


def _amount(unit: str, value: float) -> str:
    return f"{value:.{2 if unit == 'usd' else 0}f}"
