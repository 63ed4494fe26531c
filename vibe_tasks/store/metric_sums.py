"""Sums that are read where they stand: what agents used, what reviewers decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from vibe_tasks.store.agent_tables import agent_usage, consensus_runs

_U, _C = agent_usage.c, consensus_runs.c


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
    """What each agent used, by its name."""
    wanted = (
        select(
            _U.agent, func.sum(_U.cost_usd), func.sum(_U.input_tokens), func.sum(_U.output_tokens)
        )
        .group_by(_U.agent)
        .order_by(_U.agent)
    )
    return tuple(
        Used(agent=agent, usd=float(usd), input_tokens=int(read), output_tokens=int(written))
        for agent, usd, read, written in connection.execute(wanted)
    )


def decided(connection: Connection) -> Mapping[str, int]:
    """How many votes passed, failed, or passed or failed with fewer votes than were asked for."""
    result = case((_C.degraded != 0, "degraded"), (_C.consensus_ok != 0, "passed"), else_="failed")
    wanted = select(result, func.count()).group_by(result)
    return {row[0]: row[1] for row in connection.execute(wanted)}
