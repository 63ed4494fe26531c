"""Gemini CLI: one JSON object a line, prompt on standard input. It tells tokens but no cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vibe_tasks.agents.agent import AgentEvent
from vibe_tasks.agents.answer import count, text
from vibe_tasks.agents.preset import Call, Preset
from vibe_tasks.agents.reader import LONGEST_MESSAGE, JsonReader, part, tool


class GeminiReader(JsonReader):
    """Reads `--output-format stream-json`."""

    def __init__(self) -> None:
        super().__init__()
        self._begun = ""  # of a message that comes in pieces

    def event(self, said: Mapping[str, object]) -> Iterable[AgentEvent]:
        """Take one object."""
        kind = said.get("type")
        if kind == "message":
            if said.get("role") == "assistant" and isinstance(said.get("content"), str):
                self._begun = (self._begun + str(said["content"]))[-LONGEST_MESSAGE:]
            return
        yield from self.message(self._begun)
        self._begun = ""
        match kind:
            case "init":
                yield from self.session(said.get("session_id"), said.get("model"))
            case "tool_use":
                yield tool(said.get("tool_name"), said.get("parameters"))
            case "error":
                yield AgentEvent(kind="error", text=text(said.get("message")))
            case "result":
                yield from self._result(said)

    def _result(self, said: Mapping[str, object]) -> Iterable[AgentEvent]:
        used = part(said.get("stats"))
        self.told.input_tokens = count(used.get("input_tokens"))
        self.told.output_tokens = count(used.get("output_tokens"))
        self.told.final = True
        if said.get("status") == "success":
            yield from self.succeeded()
            return
        yield from self.usage()
        yield from self.failed(part(said.get("error")).get("message"))


def _arguments(call: Call) -> tuple[str, ...]:
    # Without a terminal, what needs a person's word is refused: a review can change nothing.
    mode = "default" if call.review else "auto_edit"
    form = ("--output-format", "stream-json", "--approval-mode", mode)
    return (*form, *call.option("--model"))


GEMINI = Preset(
    name="gemini",
    arguments=_arguments,
    reader=GeminiReader,
    keys=(
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_CLOUD_LOCATION",
        "GOOGLE_CLOUD_PROJECT",
        "GOOGLE_GENAI_USE_GCA",
        "GOOGLE_GENAI_USE_VERTEXAI",
    ),
    variables={"GEMINI_CLI_TRUST_WORKSPACE": "true"},  # newer ones refuse a folder they do not know
    permanent={41: "not authenticated", 42: "bad input", 52: "bad configuration"},
)
