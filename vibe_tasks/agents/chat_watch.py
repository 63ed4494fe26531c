"""Looking after a conversation with a language model while it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from pydantic_ai import RunContext
from pydantic_ai.messages import (
    AgentStreamEvent,
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    PartDeltaEvent,
    PartEndEvent,
    TextPart,
    TextPartDelta,
    ThinkingPartDelta,
    ToolCallPartDelta,
)
from pydantic_ai.usage import RunUsage

from vibe_tasks.agents.agent import AgentEvent, Assignment
from vibe_tasks.errors import StoppedError, TransientError
from vibe_tasks.failures import bounded
from vibe_tasks.plan_specs import Price

LOOK_EVERY = 1.0
"""Seconds between two questions whether the conversation is to end."""

LONGEST_ANSWER = 1_000_000
"""Characters of one answer; a model that says more is caught in a loop."""

LONGEST_EVENT = 2_000
"""Characters of an event."""

LARGEST_LOG = 1_000_000
"""Characters of a conversation that its log keeps."""

Output = TypeVar("Output")


class Watch:
    """Looks after a conversation: tells what is said, and ends it when it must not go on."""

    def __init__(self, assignment: Assignment, price: Price | None) -> None:
        self._assignment, self._price = assignment, price
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._until = self._heard + assignment.timeout
        self._told = 0
        self._at_work = 0
        self.usage = RunUsage()
        self.run_id: str | None = None
        self.ended_by: str | None = None

    @property
    def left(self) -> float:
        """Seconds that the conversation may still take."""
        return self._until - self._loop.time()

    @property
    def cost(self) -> float | None:
        """US dollars so far, by the plan's price or else the library's; None where neither is
        known.
        """
        if self._price is None:
            return None if self.usage.cost is None else float(self.usage.cost)
        read, written = self.usage.input_tokens, self.usage.output_tokens
        return (read * self._price.input + written * self._price.output) / 1_000_000

    async def over(self, work: Coroutine[Any, Any, Output]) -> Output:
        """Let the work come to its end, or end it."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=self._pause()))[0]:
                self._look()
            return task.result()
        finally:
            self.ended_by = self.ended_by or "the conversation is over"
            self._use()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
                if not task.cancelled():
                    task.exception()  # asked for, so that nobody complains that it was not

    async def hear(self, ctx: RunContext[None], events: AsyncIterable[AgentStreamEvent]) -> None:
        """Take what comes in while the model answers and while tools run."""
        self._use(ctx.run_id)
        self._at_work = length = 0
        async for event in events:
            self._heard = self._loop.time()
            if isinstance(event, PartDeltaEvent):
                length += _length(event)
                if length > LONGEST_ANSWER:
                    raise TransientError(f"the model's answer has over {LONGEST_ANSWER} characters")
            elif isinstance(event, PartEndEvent) and isinstance(event.part, TextPart):
                self._tell("message", event.part.content)
            elif isinstance(event, FunctionToolCallEvent):
                self._at_work += 1
                self._tell("tool", f"{event.part.tool_name} {event.part.args_as_json_str()}")
            elif isinstance(event, FunctionToolResultEvent):
                self._at_work -= 1
                self.note("answer", event.part.model_response_str())
        self._use()

    def _pause(self) -> float:
        return max(0.0, min(LOOK_EVERY, self.left))

    def _look(self) -> None:
        """End the conversation where there is a reason."""
        reason = self._assignment.attendant.stop_reason()
        if reason is not None:
            self.ended_by = reason
            raise StoppedError(reason)
        idle, silent = self._assignment.idle_timeout, self._loop.time() - self._heard
        if self.left <= 0:
            self.ended_by = f"agent did not end within {self._assignment.timeout:g} s"
        elif idle is not None and silent > idle and not self._at_work:
            self.ended_by = f"agent said nothing for {idle:g} s"
        if self.ended_by is not None:
            raise TransientError(self.ended_by)

    def _use(self, run_id: str | None = None) -> None:
        """Tell what was used so far, once for each answer of the model."""
        if run_id is not None and self.run_id is None:
            self.run_id = run_id
            self._assignment.attendant.heard(AgentEvent(kind="session", session_id=run_id))
        if self.usage.requests > self._told:
            self._told = self.usage.requests
            self._assignment.attendant.heard(
                AgentEvent(
                    kind="usage",
                    input_tokens=self.usage.input_tokens,
                    output_tokens=self.usage.output_tokens,
                    cost_usd=self.cost,
                )
            )

    def _tell(self, kind: str, said: str) -> None:
        if said.strip():
            self.note(kind, said)
            event = AgentEvent(kind=kind, text=bounded(said, longest=LONGEST_EVENT))
            self._assignment.attendant.heard(event)

    def note(self, kind: str, said: str) -> None:
        """Add it to the log of the conversation, as long as there is room."""
        log: Path = self._assignment.scratch / "agent.log"
        with log.open("a", encoding="utf-8", errors="replace") as file:
            if file.tell() < LARGEST_LOG:
                file.write(f"{kind}: {bounded(said, longest=LARGEST_LOG // 10)}\n")


def _length(event: PartDeltaEvent) -> int:
    """Characters that it adds."""
    delta = event.delta
    if isinstance(delta, ToolCallPartDelta):
        return len(delta.args_delta) if isinstance(delta.args_delta, str) else 0
    if isinstance(delta, TextPartDelta | ThinkingPartDelta):
        return len(delta.content_delta or "")
    return 0
