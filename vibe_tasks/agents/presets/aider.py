"""aider: prompt from a file, plain lines out, figures in its analytics log, which stays here.

Its exit code is 0 even when no model answered (Aider-AI/aider issue 5552): what counts is whether
a report of tokens came, which it prints after each answer, and no failure after it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

from vibe_tasks.agents.agent import AgentEvent
from vibe_tasks.agents.answer import DEAREST, amount, count, json_object
from vibe_tasks.agents.preset import KEYS, Call, Preset
from vibe_tasks.agents.reader import (
    LONGEST_MATCHED,
    LONGEST_MESSAGE,
    Reader,
    part,
    tool,
    without_escapes,
)

_MOST_LINES = 400  # kept of one message
_MOST_REASONS = 10  # lines kept of one failure
_MODEL = re.compile(r"(?:Main )?[Mm]odel: (\S+)")
_BANNER = re.compile(r"Aider v|(?:Weak|Editor) model: |Git repo: |Repo-map: |Added .+ to the chat")
_TOKENS = re.compile(
    r"Tokens: ([\d.,]{1,15}[kM]?) sent,(?: [^,]{1,40},){0,2} ([\d.,]{1,15}[kM]?) received"
)
_COST = re.compile(r"\$(\d{1,12}(?:\.\d{1,12})?) message")
_FAILED = re.compile(r"litellm\.\w+|Model \S+ has hit a token limit")
_APPLIED = re.compile(r"Applied edit to (.+)")
_MOST_TOKENS = 1_000_000_000  # of one answer; a line that tells of more is not believed
_TIMES = {"k": 1_000, "M": 1_000_000}


class AiderReader(Reader):
    """Reads what it prints with `--no-pretty --no-stream`."""

    chatty = True

    def __init__(self) -> None:
        super().__init__()
        self._said: deque[str] = deque(maxlen=_MOST_LINES)
        self._why: list[str] = []  # lines of a failure that is being told

    def line(self, line: str) -> Iterable[AgentEvent]:
        """Take a line."""
        clean = without_escapes(line).rstrip()
        return tuple(self._line(clean))

    def _line(self, line: str) -> Iterable[AgentEvent]:
        head = line[:LONGEST_MATCHED]
        if match := _TOKENS.match(head):
            yield from self._reported(match, head)
        elif match := _APPLIED.match(head):
            yield tool("edit", match[1])
        elif _FAILED.match(head):
            self._why = [head]
            yield from self.failed(head)
        elif line.startswith("Retrying in"):
            self._why = []
        elif self._why and len(self._why) < _MOST_REASONS:
            self._why.append(head)
            self.told.error = " ".join(self._why).strip()
        elif self.told.model is None and (match := _MODEL.match(head)):
            self.told.model = match[1][:200]
        elif _BANNER.match(head):
            self._said.clear()  # what came before was about its own set-up
        else:
            self._said.append(line[-LONGEST_MESSAGE:])

    def _reported(self, match: re.Match[str], line: str) -> Iterable[AgentEvent]:
        yield from self.message("\n".join(self._said))
        self._said.clear()
        self._why = []
        self.told.input_tokens += _number(match[1])
        self.told.output_tokens += _number(match[2])
        if (cost := _COST.search(line)) and float(cost[1]) <= DEAREST:
            self.told.cost_usd = (self.told.cost_usd or 0.0) + float(cost[1])
        yield from self.succeeded()

    def finish(self, written: str) -> Iterable[AgentEvent]:
        """Take the analytics log: what it counts is exact."""
        sent = [
            part(said.get("properties"))
            for said in map(json_object, written.splitlines())
            if said.get("event") == "message_send"
        ]
        if sent:
            self.told.input_tokens = sum(count(one.get("prompt_tokens")) for one in sent)
            self.told.output_tokens = sum(count(one.get("completion_tokens")) for one in sent)
            self.told.cost_usd = sum(amount(one.get("cost")) for one in sent)
            yield from self.usage()


def _number(written: str) -> int:
    times = _TIMES.get(written[-1], 1)
    try:
        number = round(float(written.rstrip("kM").replace(",", "")) * times)
    except ValueError:
        return 0
    return number if number <= _MOST_TOKENS else 0


def _arguments(call: Call) -> tuple[str, ...]:
    own = ("chat-history", "input-history", "llm-history")
    return (
        "--message-file",
        str(call.prompt),
        "--yes-always",
        "--no-stream",
        "--no-pretty",
        "--no-check-update",
        "--no-show-release-notes",
        "--no-show-model-warnings",
        "--no-suggest-shell-commands",
        "--no-detect-urls",
        "--no-gitignore",
        "--no-auto-commits",
        "--no-analytics",
        f"--analytics-log={call.written}",
        *(f"--{name}-file={call.scratch / f'aider.{name}'}" for name in own),
        *(("--chat-mode", "ask") if call.review else ()),
        *call.option("--model"),
        *(f"--file={path}" for path in call.files),
    )


AIDER = Preset(
    name="aider",
    arguments=_arguments,
    reader=AiderReader,
    prompt="file",
    written_name="aider.jsonl",
    keys=KEYS,
    variables={"COLUMNS": "100000"},  # it breaks lines, also within a review's JSON object
    litter=(".aider*",),
)
