"""Reading what a coding agent prints while it works: lines in, events out, no side effects."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from vibe_tasks.agents.agent import AgentEvent, Answer
from vibe_tasks.agents.answer import json_object, read_review, text

LONGEST_MESSAGE = 20_000
"""Characters kept of an agent's last message, from its end: a verdict stands there."""

LONGEST_MATCHED = 500
"""Characters from the beginning of a plain line in which its meaning is looked for."""

_LONGEST_INPUT = 300  # characters shown of what a tool was called with
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


@dataclass(slots=True, kw_only=True)
class Told:
    """What an agent has told so far.

    Attributes:
        message: The last thing it said.
        error: Why it could not do its work; empty where it did not complain, or went on after it.
        done: It said that its work is done.
        final: Nothing of worth comes after this: the program has only to end.
        session_id: Its own name for the conversation.
        model: The model that works.
        input_tokens: Tokens read so far, cached ones included.
        output_tokens: Tokens written so far.
        cost_usd: What it says that it has cost; None where it does not say.
        reset_at: Epoch seconds at which its provider takes work again, where it was refused.
    """

    message: str = ""
    error: str = ""
    done: bool = False
    final: bool = False
    session_id: str | None = None
    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    reset_at: float | None = None

    def answer(self, *, review: bool) -> Answer:
        """What it says about its work; verdict and findings where it was a review."""
        verdict, findings = read_review(self.message) if review else (None, ())
        return Answer(
            summary=text(self.message),
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cost_usd=self.cost_usd or 0.0,
            verdict=verdict,
            findings=findings,
            session_id=self.session_id,
            model=self.model,
        )


class Reader(ABC):
    """Reads the standard output of one run of a program.

    Attributes:
        told: What it has told so far.
        chatty: Whether it prints its work as plain lines too, not only its complaints.
    """

    chatty: ClassVar[bool] = False

    def __init__(self) -> None:
        self.told = Told()

    @abstractmethod
    def line(self, line: str) -> Iterable[AgentEvent]:
        """Take a line without its newline; what it tells."""

    def finish(self, written: str) -> Iterable[AgentEvent]:  # noqa: ARG002 - few programs write
        """Take what the program wrote to the file it was given for that; what it tells."""
        return ()

    def session(self, session_id: object, model: object = None) -> Iterable[AgentEvent]:
        """The conversation has a name, told once."""
        if isinstance(model, str) and model:
            self.told.model = text(model)[:200]
        if isinstance(session_id, str) and session_id and session_id != self.told.session_id:
            self.told.session_id = text(session_id)[:200]
            yield AgentEvent(
                kind="session", text=self.told.model or "", session_id=self.told.session_id
            )

    def message(self, said: object) -> Iterable[AgentEvent]:
        """It said something."""
        if isinstance(said, str) and said.strip():
            self.told.message = said.strip()[-LONGEST_MESSAGE:]
            yield AgentEvent(kind="message", text=text(said))

    def usage(self) -> Iterable[AgentEvent]:
        """What it has used so far, as it stands in `told`."""
        yield AgentEvent(
            kind="usage",
            input_tokens=self.told.input_tokens,
            output_tokens=self.told.output_tokens,
            cost_usd=self.told.cost_usd,
        )

    def failed(self, why: object) -> Iterable[AgentEvent]:
        """It could not do its work."""
        said = text(why) or "unknown error"
        self.told.error, self.told.done = said, False
        yield AgentEvent(kind="error", text=said)

    def succeeded(self) -> Iterable[AgentEvent]:
        """It did its work; what it complained about before was not the end."""
        self.told.error, self.told.done = "", True
        yield AgentEvent(
            kind="result",
            text=text(self.told.message),
            session_id=self.told.session_id,
            input_tokens=self.told.input_tokens,
            output_tokens=self.told.output_tokens,
            cost_usd=self.told.cost_usd,
        )


class JsonReader(Reader):
    """Reads a program that prints one JSON object a line."""

    def line(self, line: str) -> Iterable[AgentEvent]:
        """Take a line; one that is no JSON object tells nothing."""
        said = json_object(without_escapes(line))
        return tuple(self.event(said)) if said else ()

    @abstractmethod
    def event(self, said: Mapping[str, object]) -> Iterable[AgentEvent]:
        """Take an object; unknown types and wrong values tell nothing."""


def without_escapes(line: str) -> str:
    """The line without colours and other commands to a terminal."""
    return _ESCAPES.sub("", line)


def part(value: object) -> Mapping[str, object]:
    """A value that should be an object."""
    return value if isinstance(value, dict) else {}


def parts(value: object) -> tuple[Mapping[str, object], ...]:
    """A value that should be a list of objects."""
    return (
        tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()
    )


def tool(name: object, given: object = None) -> AgentEvent:
    """It used a tool with this input."""
    shown = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    shown = "" if given in (None, "", {}) else shown[:_LONGEST_INPUT]
    return AgentEvent(kind="tool", text=text(f"{name}: {shown}" if shown else str(name)))
