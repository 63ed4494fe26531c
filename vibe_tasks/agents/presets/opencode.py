"""opencode: `opencode run --format json`, one JSON object a line, prompt on standard input.

With its provider's quota used up it neither ends nor prints anything (anomalyco/opencode issue
40747): `--print-logs` brings the reason to standard error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vibe_tasks.agents.agent import AgentEvent
from vibe_tasks.agents.answer import amount, count
from vibe_tasks.agents.preset import KEYS, Call, Preset
from vibe_tasks.agents.reader import JsonReader, part, tool


class OpencodeReader(JsonReader):
    """Reads `--format json`."""

    def event(self, said: Mapping[str, object]) -> Iterable[AgentEvent]:
        """Take one object."""
        yield from self.session(said.get("sessionID"))
        piece = part(said.get("part"))
        match said.get("type"):
            case "step_start":
                self.told.error, self.told.done = "", False
            case "text":
                yield from self.message(piece.get("text"))
            case "tool_use":
                yield tool(piece.get("tool"), part(piece.get("state")).get("input"))
            case "step_finish":
                yield from self._step(piece)
            case "error":
                error = part(said.get("error"))
                yield from self.failed(part(error.get("data")).get("message") or error.get("name"))

    def _step(self, piece: Mapping[str, object]) -> Iterable[AgentEvent]:
        tokens = part(piece.get("tokens"))
        cached = part(tokens.get("cache"))
        read = (tokens.get("input"), cached.get("read"), cached.get("write"))
        self.told.input_tokens += sum(count(number) for number in read)
        self.told.output_tokens += count(tokens.get("output")) + count(tokens.get("reasoning"))
        if "cost" in piece:
            self.told.cost_usd = (self.told.cost_usd or 0.0) + amount(piece["cost"])
        yield from self.usage()
        # `stop` may also end a summary in between: no sign to end the program.
        if piece.get("reason") == "stop":
            yield from self.succeeded()


def _arguments(call: Call) -> tuple[str, ...]:
    logs = ("--print-logs", "--log-level", "ERROR")
    role = ("--agent", "plan") if call.review else ()  # its own agent that changes nothing
    return ("run", "--format", "json", *logs, *role, *call.option("--model"))


OPENCODE = Preset(
    name="opencode",
    arguments=_arguments,
    reader=OpencodeReader,
    keys=(*KEYS, "OPENCODE_API_KEY", "OPENCODE_CONFIG", "OPENCODE_CONFIG_DIR"),
    variables={"OPENCODE_DISABLE_AUTOUPDATE": "true"},
)
