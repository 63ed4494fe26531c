"""Setting an agent to work: the one way from a job to an agent and back.

Around the agent stand its budget, which must have something left, and its breaker, which must let
the call through. What the agent used is written down however it ended.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from vibe_tasks.agents.agent import Answer, Assignment
from vibe_tasks.agents.build import build_agent
from vibe_tasks.agents.endpoint import where
from vibe_tasks.agents.known import PRESETS
from vibe_tasks.breaker import CircuitBreakerConfig
from vibe_tasks.errors import (
    AttemptError,
    BudgetReachedError,
    CircuitBreakerOpenError,
    StoppedError,
    TransientError,
    UsageLimitError,
)
from vibe_tasks.events import EventType
from vibe_tasks.flow.attendance import Attendance
from vibe_tasks.flow.workplace import Bench
from vibe_tasks.masking import without
from vibe_tasks.pipeline import JobKind
from vibe_tasks.plan import AgentSpec, ChatSpec, CommandSpec
from vibe_tasks.store import breakers, events, jobs, usage
from vibe_tasks.store.engine import Transaction, server_time
from vibe_tasks.workspace.environment import handed_on
from vibe_tasks.workspace.worktree import Worktree

_SPEC: TypeAdapter[Any] = TypeAdapter(AgentSpec)

MARGIN = 60.0
"""Seconds beyond an agent's timeout for which it may hold a place to try a half-open breaker."""

SPREAD = 60.0
"""Seconds over which those that wait for a breaker are spread at most."""


def prepare(bench: Bench, *, agent: str, spec: Mapping[str, Any]) -> None:
    """Make sure that the agent may be asked now, before anything is checked out for it.

    Raises:
        CircuitBreakerOpenError: It failed too often lately.
        BudgetReachedError: There is nothing left to pay it with.
    """
    described = _SPEC.validate_python(spec)
    seconds = _affordable(bench, agent, described.timeout)
    _admit(bench, breaker_name(agent, described), lease=seconds + MARGIN)


def engage(
    bench: Bench,
    tree: Worktree,
    *,
    agent: str,
    spec: Mapping[str, Any],
    prompt: str,
    report: Mapping[str, Any] | None = None,
    stay: Callable[[], None] | None = None,
) -> Answer:
    """Let an agent do the job of this bench in this worktree.

    Args:
        bench: The attempt.
        tree: Where the agent works.
        agent: What the plan calls it.
        spec: Its description, as JSON values.
        prompt: What it is asked.
        report: The QA report or merge conflict that a fix answers.
        stay: Called now and then while the agent works: says that it still does.

    Raises:
        AttemptError: The agent failed.
        UsageLimitError: Its provider takes no work until a moment.
        CircuitBreakerOpenError: It failed too often lately.
        BudgetReachedError: There is nothing left to pay it with.
        LeaseLostError: The attempt is no longer the job's current one.
    """
    described = _SPEC.validate_python(spec)
    plan_dir = bench.plan_dir(agent, needed=described.needs_plan_dir)
    seconds = _affordable(bench, agent, described.timeout)
    name = breaker_name(agent, described)
    secrets = _secrets(bench, described)
    # A plain command's words are all in its output.
    told = not isinstance(described, CommandSpec) or described.preset is not None
    attendance = Attendance(
        bench, agent=agent, price=described.price, stay=stay, secrets=secrets, aloud=told
    )
    assignment = _assignment(
        bench, tree, prompt=prompt, report=report, attendance=attendance,
        timeout=seconds, idle_timeout=described.idle_timeout,
    )  # fmt: skip
    _admit(bench, name, lease=seconds + MARGIN)
    answer: Answer | None = None
    ok: bool | None = None
    try:
        what = "vote" if bench.claim.kind == JobKind.REVIEW else "agent"
        with bench.place.span(what, {"vibe.agent": agent}):
            answer = _worked(bench, described, plan_dir, assignment, secrets)
        ok = True
    except StoppedError as stopped:
        raise attendance.stopped_by or stopped from stopped
    except UsageLimitError as limit:
        _trip(bench, name, agent, limit)
        raise
    except TransientError as error:
        ok = False
        attendance.close()  # the last seconds count
        if seconds < described.timeout:  # it was cut short by its budget, not by its own fault
            over = _reached(bench, agent)
            if over is not None:
                ok = None
                raise BudgetReachedError(over) from error
        raise
    finally:
        try:
            attendance.close(answer)
        finally:
            _settle(bench, name, ok=ok)
    return answer


def _secrets(bench: Bench, spec: Any) -> tuple[str, ...]:
    """What the agent is given by name, and may repeat."""
    names = {*bench.machine.allowed, *spec.env}
    if isinstance(spec, ChatSpec) and spec.api_key_env is not None:
        names.add(spec.api_key_env)
    if isinstance(spec, CommandSpec) and spec.preset is not None:
        names.update(PRESETS[spec.preset].keys)
    return handed_on(os.environ, names)


def _worked(
    bench: Bench, spec: Any, plan_dir: Path, assignment: Assignment, secrets: tuple[str, ...]
) -> Answer:
    """What the agent answers, or fails with, without these secrets."""
    agent = build_agent(
        spec, plan_dir=plan_dir,
        now=lambda: server_time(bench.place.ledger), uniform=bench.place.uniform,
    )  # fmt: skip
    try:
        answer = agent.work(assignment)
    except (AttemptError, UsageLimitError) as error:
        error.args = tuple(
            without(each, secrets) if isinstance(each, str) else each for each in error.args
        )
        raise
    findings = tuple(without(each, secrets) for each in answer.findings)
    return replace(answer, summary=without(answer.summary, secrets), findings=findings)


def breaker_name(agent: str, spec: Any) -> str:
    """The breaker of an agent: whoever uses the same program or endpoint shares it."""
    if isinstance(spec, ChatSpec):
        return where(spec)
    if isinstance(spec, CommandSpec) and spec.preset is not None:
        return f"{spec.preset} {spec.model}" if spec.model else spec.preset
    said = json.dumps(spec.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
    return f"{agent} {hashlib.sha256(said.encode()).hexdigest()[:6]}"


def _assignment(
    bench: Bench,
    tree: Worktree,
    *,
    prompt: str,
    report: Mapping[str, Any] | None,
    attendance: Attendance,
    timeout: float,
    idle_timeout: float | None,
) -> Assignment:
    return Assignment(
        job_id=bench.claim.id,
        plan=bench.plan["name"],
        task_id=str(bench.claim.task_id),
        kind=bench.claim.kind,
        attempt=bench.claim.attempt,
        fix_round=bench.claim.round,
        prompt=prompt,
        task=bench.spec["task"],
        report=report,
        worktree=tree.path,
        plan_dir=Path(bench.plan["plan_dir"]),
        scratch=bench.scratch,
        timeout=timeout,
        idle_timeout=idle_timeout,
        attendant=attendance,
        machine=bench.machine,
    )


def _affordable(bench: Bench, agent: str, timeout: float) -> float:
    """Seconds that the agent may take: its timeout, or what is left of a budget of seconds.

    Raises:
        BudgetReachedError: Nothing is left of some budget.
    """
    over = _reached(bench, agent)
    if over is not None:
        raise BudgetReachedError(over)
    plan_id, task_id = str(bench.claim.plan_id), str(bench.claim.task_id)

    def look(_unsure: bool) -> float | None:
        with bench.place.ledger.read() as connection:
            return usage.left_seconds(connection, plan_id, task_id, agent)

    left = bench.place.insist(look)
    return timeout if left is None else min(timeout, max(left, 1.0))


def _reached(bench: Bench, agent: str) -> str | None:
    plan_id, task_id = str(bench.claim.plan_id), str(bench.claim.task_id)

    def look(_unsure: bool) -> str | None:
        with bench.place.ledger.read() as connection:
            return usage.reached(connection, plan_id, task_id, agent)

    return bench.place.insist(look)


def _admit(bench: Bench, name: str, *, lease: float) -> None:
    config = bench.place.breaker

    def ask(_unsure: bool) -> float:
        with bench.place.ledger.begin() as connection:
            return breakers.admit(connection, name, config, bench.claim.id, lease)

    wait = bench.place.insist(ask)
    if wait > 0:
        # Those that wait must not all come back at once.
        more = bench.place.uniform(0.0, min(SPREAD, wait / 4))
        raise CircuitBreakerOpenError(name, wait + more)


def _settle(bench: Bench, name: str, *, ok: bool | None) -> None:
    config: CircuitBreakerConfig = bench.place.breaker

    def write(_unsure: bool) -> None:
        with bench.place.ledger.begin() as connection:
            moved = breakers.settle(connection, name, config, bench.claim.id, ok)
            _tell(connection, bench, name, moved)
            if moved == "closed":
                jobs.wake(connection, CircuitBreakerOpenError.text(name))

    bench.place.insist(write)


def _trip(bench: Bench, name: str, agent: str, limit: UsageLimitError) -> None:
    def write(_unsure: bool) -> None:
        with bench.place.ledger.begin() as connection:
            _tell(connection, bench, name,
                  breakers.trip(connection, name, limit.seconds, str(limit)))  # fmt: skip
            events.record(
                connection, EventType.AGENT_LIMITED, session=str(bench.claim.plan_id),
                payload={"agent": agent, "breaker": name, "seconds": limit.seconds,
                         "why": str(limit)},
                summary=f"{agent}: no more work for {limit.seconds:.0f} s: {limit}",
            )  # fmt: skip

    bench.place.insist(write)


def _tell(connection: Transaction, bench: Bench, name: str, moved: str | None) -> None:
    """Record that a breaker has opened or closed."""
    if moved is None:
        return
    kind = EventType.BREAKER_OPENED if moved == "opened" else EventType.BREAKER_CLOSED
    events.record(
        connection, kind, session=str(bench.claim.plan_id), payload={"breaker": name},
        summary=f"breaker {name} {moved}",
    )  # fmt: skip
