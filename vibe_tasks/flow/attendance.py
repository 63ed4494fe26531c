"""Looking after an agent while it works: what it tells is kept, what it uses is counted, and it is
ended when it must not go on.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any

from vibe_tasks.agents.agent import AgentEvent, Answer
from vibe_tasks.errors import BudgetReachedError, LeaseLostError
from vibe_tasks.failures import bounded
from vibe_tasks.flow.workplace import Bench
from vibe_tasks.masking import without
from vibe_tasks.plan_specs import Price
from vibe_tasks.store import events, jobs, usage
from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.store.retries import reason
from vibe_tasks.workspace.said import Said

log = logging.getLogger(__name__)

WRITE_EVERY = 1.0
"""Seconds between two writes of what an agent told."""

LOOK_EVERY = 3.0
"""Seconds between two looks at whether it may go on."""

MOST_EVENTS = 500
"""Events of one attempt that are kept; a chatty agent must not fill the ledger."""

LONGEST_TEXT = 2_000
"""Characters kept of an event."""

MOST_TOKENS = 10**12
"""Tokens that one attempt may have read, or written; an agent that tells of more is in error."""

HIGHEST_COST = 1e9
"""US dollars of one attempt, likewise."""

NAMES = {
    "session": "AgentSession",
    "message": "AgentMessage",
    "tool": "AgentToolUse",
    "error": "AgentError",
    "result": "AgentResult",
}
"""Event types in the log, by kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What an attempt has used so far."""

    session_id: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


def bounded_use(
    *, session_id: str | None, input_tokens: int, output_tokens: int, cost_usd: float
) -> Used:
    """What an agent tells that it used, as numbers that can be kept.

    An attempt is not lost for an agent's error in counting.
    """
    return Used(
        session_id=session_id,
        input_tokens=int(_within(input_tokens, MOST_TOKENS)),
        output_tokens=int(_within(output_tokens, MOST_TOKENS)),
        cost_usd=_within(cost_usd, HIGHEST_COST),
    )


def _within(number: float, most: float) -> float:
    """The number between 0 and the most; what is no number is nothing."""
    within = min(max(number, 0), most)
    return 0 if isnan(within) else within


class Attendance:
    """One agent at one attempt. Used from the thread that runs the agent.

    Args:
        bench: The attempt.
        agent: What the plan calls the agent.
        price: Of its tokens, where it does not tell the cost itself.
        stay: Called at each look at whether it may go on.
        secrets: What it may know, and nobody is told.
        aloud: Whether what it tells is said in the job's log; the output of programs is there.
    """

    def __init__(
        self,
        bench: Bench,
        *,
        agent: str,
        price: Price | None,
        stay: Callable[[], None] | None = None,
        secrets: tuple[str, ...] = (),
        aloud: bool = False,
    ) -> None:
        self._said = Said("agent", secrets) if aloud else None
        self._secrets = secrets
        self._bench, self._agent, self._price, self._stay = bench, agent, price, stay
        self._clock = bench.place.monotonic
        self._began = self._clock()
        self._written = self._looked = self._began
        self._waiting: deque[dict[str, Any]] = deque(maxlen=MOST_EVENTS)
        self._kept = 0
        self.used = Used()
        self.stopped_by: Exception | None = None

    def heard(self, event: AgentEvent) -> None:
        """Take what the agent told; it is written at most once a second."""
        self._take(
            session_id=event.session_id, input_tokens=event.input_tokens,
            output_tokens=event.output_tokens, cost_usd=event.cost_usd,
        )  # fmt: skip
        if event.kind != "usage" and self._kept < MOST_EVENTS:
            self._kept += 1
            self._waiting.append(self._row(event))
        if self._said is not None and event.text:
            own = "" if event.kind == "message" else f"{event.kind}: "
            self._said.tell(f"{own}{event.text}")
        if self._clock() - self._written >= WRITE_EVERY:
            self._write()

    def stop_reason(self) -> str | None:
        """Why the agent must end: its budget is used up, or its job is somebody else's by now."""
        if self._clock() - self._looked < LOOK_EVERY:
            return None
        self._looked = self._clock()
        self._write()
        try:
            self._look()
            if self._stay is not None:
                self._stay()
        except (LeaseLostError, BudgetReachedError) as error:
            self.stopped_by = error
            return str(error)
        except DATABASE_ERRORS as error:
            log.warning("cannot look whether the agent may go on: %s", reason(error))
        return None

    def close(self, answer: Answer | None = None) -> None:
        """Write what is left, and what the attempt has used.

        Args:
            answer: What the agent answered; its figures are the final ones where it gives any.
        """
        if answer is not None:
            self._take(
                session_id=answer.session_id, input_tokens=answer.input_tokens or None,
                output_tokens=answer.output_tokens or None, cost_usd=answer.cost_usd or None,
            )  # fmt: skip
        self._bench.place.insist(lambda _unsure: self._save())

    def _look(self) -> None:
        claim = self._bench.claim
        with self._bench.place.ledger.read() as connection:
            jobs.check_lease(connection, claim.id, claim.attempt)
            over = usage.reached(connection, str(claim.plan_id), str(claim.task_id), self._agent)
        if over is not None:
            raise BudgetReachedError(over)

    def _take(self, **told: Any) -> None:
        known = {name: value for name, value in told.items() if value is not None}
        if not known:
            return
        used = {name: getattr(self.used, name) for name in self.used.__slots__} | known
        # Programs that know no price of their model tell of a cost of nothing.
        if self._price is not None and not known.get("cost_usd"):
            used["cost_usd"] = (
                used["input_tokens"] * self._price.input
                + used["output_tokens"] * self._price.output
            ) / 1_000_000
        self.used = bounded_use(**used)

    def _write(self) -> None:
        """Keep what is new; what the database does not take now is tried with the next."""
        self._written = self._clock()
        try:
            self._save()
        except DATABASE_ERRORS as error:
            log.warning("cannot keep what the agent told: %s", reason(error))

    def _save(self) -> None:
        claim, rows = self._bench.claim, list(self._waiting)
        with self._bench.place.ledger.begin() as connection:
            for row in rows:
                events.record(connection, **row)
            usage.record(
                connection, job_id=claim.id, attempt=claim.attempt, plan_id=claim.plan_id,
                task_id=claim.task_id, agent=self._agent, kind=claim.kind,
                session_id=self.used.session_id, input_tokens=self.used.input_tokens,
                output_tokens=self.used.output_tokens, cost_usd=self.used.cost_usd,
                seconds=max(0.0, self._clock() - self._began),
            )  # fmt: skip
        for _ in rows:
            self._waiting.popleft()

    def _row(self, event: AgentEvent) -> dict[str, Any]:
        claim = self._bench.claim
        text = bounded(without(event.text, self._secrets), longest=LONGEST_TEXT)
        payload: Mapping[str, Any] = {
            "task": claim.task_id, "job_id": claim.id, "attempt": claim.attempt,
            "agent": self._agent, "agent_session": event.session_id or self.used.session_id,
            "text": text,
        }  # fmt: skip
        first = text.strip().split("\n", 1)[0][:200]
        return {
            "kind": NAMES.get(event.kind, "AgentMessage"), "session": str(claim.plan_id),
            "payload": payload, "summary": f"{claim.task_id}: {self._agent}: {first}",
        }  # fmt: skip
