"""Claude Code: `claude -p`, one JSON object a line, prompt on standard input.

It may end without its `result`, or stay after it (anthropics/claude-code issues 39700, 25629).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vibe_tasks.agents.agent import AgentEvent
from vibe_tasks.agents.answer import amount, count, text
from vibe_tasks.agents.preset import Call, Preset
from vibe_tasks.agents.reader import JsonReader, part, parts, tool

_USED = {  # names in an answer's usage, and in the sums by model at the end
    "input": ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"),
    "output": ("output_tokens",),
    "inputs": ("inputTokens", "cacheCreationInputTokens", "cacheReadInputTokens"),
    "outputs": ("outputTokens",),
}


class ClaudeReader(JsonReader):
    """Reads `--output-format stream-json`."""

    def __init__(self) -> None:
        super().__init__()
        self._answers: dict[str, tuple[int, int]] = {}  # tokens in and out, by the answer's id

    def event(self, said: Mapping[str, object]) -> Iterable[AgentEvent]:
        """Take one object."""
        match said.get("type"):
            case "system":
                yield from self._system(said)
            case "assistant":
                yield from self._answered(said)
            case "rate_limit_event":
                self._limit(part(said.get("rate_limit_info")))
            case "result":
                yield from self._result(said)

    def _system(self, said: Mapping[str, object]) -> Iterable[AgentEvent]:
        if said.get("subtype") == "init":
            yield from self.session(said.get("session_id"), said.get("model"))
        elif said.get("subtype") == "api_retry":
            why = text(said.get("error")) or "error"
            yield AgentEvent(kind="error", text=f"{why}; it tries again")

    def _answered(self, said: Mapping[str, object]) -> Iterable[AgentEvent]:
        answer = part(said.get("message"))
        words = [text(block.get("text")) for block in parts(answer.get("content"))]
        refused = text(said.get("error"))
        if refused or said.get("is_api_error_message") is True:
            yield from self.failed(" ".join(filter(None, (*words, refused))))
            return
        if said.get("parent_tool_use_id") is None:
            self.told.error = ""
            yield from self.message("\n".join(filter(None, words)))
        for block in parts(answer.get("content")):
            if block.get("type") == "tool_use":
                yield tool(block.get("name"), block.get("input"))
        usage = part(answer.get("usage"))
        if usage:
            # An answer comes in pieces, each with the usage of the whole.
            self._answers[str(answer.get("id"))] = _tokens(usage, "input"), _tokens(usage, "output")
            self.told.input_tokens = sum(read for read, _ in self._answers.values())
            self.told.output_tokens = sum(written for _, written in self._answers.values())
            yield from self.usage()

    def _limit(self, info: Mapping[str, object]) -> None:
        if info.get("status") not in ("rejected", "denied") or info.get("isUsingOverage") is True:
            self.told.reset_at = None
            return
        moment = amount(info.get("resetsAt"))
        self.told.reset_at = moment / 1000 if moment > 1e11 else moment or None  # 1e11 s: year 5138

    def _result(self, said: Mapping[str, object]) -> Iterable[AgentEvent]:
        yield from self.session(said.get("session_id"))
        models = [part(used) for used in part(said.get("modelUsage")).values()]
        usage = part(said.get("usage"))
        read = sum(_tokens(used, "inputs") for used in models) or _tokens(usage, "input")
        written = sum(_tokens(used, "outputs") for used in models) or _tokens(usage, "output")
        self.told.input_tokens = max(self.told.input_tokens, read)
        self.told.output_tokens = max(self.told.output_tokens, written)
        if "total_cost_usd" in said:
            self.told.cost_usd = amount(said["total_cost_usd"])
        yield from self.usage()
        self.told.final = True
        words = text(said.get("result"))
        refused = words.startswith("Claude AI usage limit reached|")  # as older versions say it
        if refused or said.get("is_error") is True or said.get("subtype") != "success":
            errors = said.get("errors")
            listed = [text(error) for error in errors] if isinstance(errors, list) else []
            yield from self.failed(words or "; ".join(filter(None, listed)) or said.get("subtype"))
            return
        if words:
            self.told.message = str(said["result"]).strip()
        self.told.reset_at = None
        yield from self.succeeded()


def _tokens(usage: Mapping[str, object], kind: str) -> int:
    return sum(count(usage.get(name)) for name in _USED[kind])


def _arguments(call: Call) -> tuple[str, ...]:
    rights = (
        ("--permission-mode", "default", "--disallowedTools=Edit,Write,NotebookEdit")
        if call.review
        else ("--permission-mode", "acceptEdits")
    )
    form = ("--output-format", "stream-json", "--verbose")  # without --verbose it is refused
    return ("-p", *form, *rights, *call.option("--model"))


CLAUDE = Preset(
    name="claude",
    arguments=_arguments,
    reader=ClaudeReader,
    keys=(
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_BASE_URL",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_CONFIG_DIR",
    ),
    variables={"DISABLE_AUTOUPDATER": "1"},
)
