"""Codex: `codex exec --json`, one JSON object a line, prompt on standard input.

The prompt goes in by `-`: given as an argument, it waits for standard input all the same
(openai/codex issues 20919, 27019). It tells tokens but no cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vibe_tasks.agents.agent import AgentEvent
from vibe_tasks.agents.answer import count, text
from vibe_tasks.agents.preset import Call, Preset
from vibe_tasks.agents.reader import JsonReader, part, parts, tool


class CodexReader(JsonReader):
    """Reads the thread's events."""

    def event(self, said: Mapping[str, object]) -> Iterable[AgentEvent]:
        """Take one object."""
        match said.get("type"):
            case "thread.started":
                yield from self.session(said.get("thread_id"))
            case "item.started":
                item = part(said.get("item"))
                if item.get("type") == "command_execution":
                    yield tool("command", item.get("command"))
            case "item.completed":
                yield from self._item(part(said.get("item")))
            case "turn.completed":
                usage = part(said.get("usage"))
                # The sums of the whole thread; cached tokens are among those read.
                self.told.input_tokens = count(usage.get("input_tokens"))
                self.told.output_tokens = count(usage.get("output_tokens"))
                self.told.final = True
                yield from self.succeeded()
            case "turn.failed":
                self.told.final = True
                yield from self.failed(part(said.get("error")).get("message"))
            case "error":
                yield from self.failed(said.get("message"))

    def _item(self, item: Mapping[str, object]) -> Iterable[AgentEvent]:
        match item.get("type"):
            case "agent_message":
                yield from self.message(item.get("text"))
            case "file_change":
                changes = parts(item.get("changes"))
                yield tool("files", ", ".join(f"{c.get('kind')} {c.get('path')}" for c in changes))
            case "mcp_tool_call":
                yield tool(item.get("tool"), item.get("arguments"))
            case "web_search":
                yield tool("web search", item.get("query"))
            case "error":
                yield AgentEvent(kind="error", text=text(item.get("message")))


def _arguments(call: Call) -> tuple[str, ...]:
    sandbox = "read-only" if call.review else "workspace-write"
    rest = ("--skip-git-repo-check", *call.option("--model"))
    return ("exec", "--json", "--sandbox", sandbox, *rest)


CODEX = Preset(
    name="codex",
    arguments=_arguments,
    closing=("-",),
    reader=CodexReader,
    keys=("CODEX_API_KEY", "CODEX_HOME", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
)
