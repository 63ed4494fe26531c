"""Sums that are read where they stand: what agents used, what reviewers decided.

Rows that are not kept for ever are added up when they are deleted: a counter must not fall.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, select

from vibe_tasks.metrics import Labels
from vibe_tasks.store.agent_tables import agent_usage, consensus_runs
from vibe_tasks.store.event_tables import metric_totals
from vibe_tasks.store.metric_totals import add

_U, _C, _M = agent_usage.c, consensus_runs.c, metric_totals.c

_USED, _VOTES = "deleted_usage", "deleted_votes"
"""Names of the sums of what was deleted."""

_UNITS = ("usd", "input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What an agent used, all attempts together.

    Attributes:
        agent: Its name.
        usd: US dollars.
        input_tokens: Tokens read by language models.
        output_tokens: Tokens written by them.
    """

    agent: str
    usd: float
    input_tokens: int
    output_tokens: int


def used(connection: Connection) -> tuple[Used, ...]:
    """What each agent used, by its name, that included whose rows are not kept any more."""
    wanted = select(
        _U.agent, func.sum(_U.cost_usd), func.sum(_U.input_tokens), func.sum(_U.output_tokens)
    ).group_by(_U.agent)
    sums: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0, 0])
    for agent, usd, read, written in connection.execute(wanted):
        sums[agent] = [float(usd), int(read), int(written)]
    for (agent, place), value in _kept(connection, _USED).items():
        sums[agent][_UNITS.index(place)] += value
    return tuple(
        Used(agent=agent, usd=usd, input_tokens=int(read), output_tokens=int(written))
        for agent, (usd, read, written) in sorted(sums.items())
    )


def keep_used(connection: Connection, rows: Iterable[Sequence[Any]]) -> None:
    """Add what these rows say, which are being deleted, to what `used` tells.

    Args:
        connection: A writing transaction.
        rows: Each an agent, US dollars, tokens read, tokens written.
    """
    amounts: Counter[tuple[str, Labels]] = Counter()
    for row in rows:
        agent, numbers = row[0], row[1:]
        for unit, number in zip(_UNITS, numbers, strict=True):
            amounts[_USED, (("of", agent), ("what", unit))] += number
    add(connection, amounts)


def decided(connection: Connection) -> Mapping[str, int]:
    """How many votes passed, failed, or passed or failed with fewer votes than were asked for."""
    result = case((_C.degraded != 0, "degraded"), (_C.consensus_ok != 0, "passed"), else_="failed")
    wanted = select(result, func.count()).group_by(result)
    found = Counter({row[0]: row[1] for row in connection.execute(wanted)})
    for (name, _), number in _kept(connection, _VOTES).items():
        found[name] += int(number)
    return found


def verdict(run: Any) -> str:
    """What was decided in a run, of which there are `consensus_ok` and `degraded`."""
    if run.degraded:
        return "degraded"
    return "passed" if run.consensus_ok else "failed"


def keep_decided(connection: Connection, votes: Mapping[str, int]) -> None:
    """Add votes, whose rows are being deleted, to what `decided` tells."""
    add(connection, {(_VOTES, (("of", name), ("what", ""))): votes[name] for name in votes})


def _kept(connection: Connection, name: str) -> dict[tuple[str, str], float]:
    wanted = select(_M.labels, _M.value).where(_M.name == name)
    found = {}
    for labels, value in connection.execute(wanted):
        (_, whose), (_, what) = json.loads(labels)
        found[str(whose), str(what)] = float(value)
    return found
