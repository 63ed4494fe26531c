"""What is read of the output of known coding-agent programs, line by line."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vibe_tasks.agents.agent import AgentEvent
from vibe_tasks.agents.known import PRESETS
from vibe_tasks.agents.reader import Reader
from vibe_tasks.plan_specs import CommandSpec

KINDS = {"session", "message", "tool", "usage", "error", "result"}
TYPES = st.sampled_from(
    ["system", "assistant", "rate_limit_event", "result", "thread.started", "item.started",
     "item.completed", "turn.completed", "turn.failed", "error", "init", "message", "tool_use",
     "step_start", "text", "step_finish", "agent_message", "file_change"]
)  # fmt: skip
KEYS = st.sampled_from(
    ["type", "message", "content", "usage", "item", "part", "tokens", "cache", "stats", "error",
     "errors", "modelUsage", "rate_limit_info", "resetsAt", "input_tokens", "cost", "text",
     "total_cost_usd", "status", "changes", "name", "id", "session_id"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | TYPES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=6,
)


def read(name: str, *lines: object, written: str = "") -> tuple[Reader, list[AgentEvent]]:
    """A reader that took these lines, and what it told; objects become JSON."""
    reader = PRESETS[name].reader()
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    events = [event for text in texts for event in reader.line(text)]
    return reader, [*events, *reader.finish(written)]


def result(**more: object) -> dict[str, object]:
    """The last object of Claude Code."""
    return {"type": "result", "subtype": "success", "is_error": False, "result": "ok", **more}


def test_every_preset_of_a_plan_is_known():
    """What a plan may name is there, and nothing else."""
    allowed = CommandSpec.model_fields["preset"].annotation
    assert set(PRESETS) == set(allowed.__args__[0].__args__)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", PRESETS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(said=st.lists(st.dictionaries(KEYS, VALUES, max_size=5), max_size=4), text=st.text())
def test_no_output_breaks_a_reader(name: str, said: list[object], text: str):
    """Whatever a program prints or writes: sound events, sound figures, and no error of ours."""
    reader, events = read(name, text, *said, text, written=json.dumps({"messages": said}) + text)
    assert {event.kind for event in events} <= KINDS
    told = reader.told
    assert told.input_tokens >= 0
    assert told.output_tokens >= 0
    assert math.isfinite(told.cost_usd or 0.0)
    told.answer(review=True).summary.encode()


def test_claude_counts_each_answer_once():
    """An answer comes in pieces that repeat its usage; at the end the sums of all models count."""
    usage = {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 2}
    piece = {"type": "assistant", "message": {"id": "m", "content": [], "usage": usage}}
    reader, events = read("claude", piece, piece)
    assert (reader.told.input_tokens, reader.told.output_tokens) == (15, 2)
    models = {"a": {"inputTokens": 100, "outputTokens": 20}, "b": {"cacheReadInputTokens": 1}}
    reader, events = read("claude", piece, result(modelUsage=models, total_cost_usd=0.5))
    assert (reader.told.input_tokens, reader.told.output_tokens) == (101, 20)
    assert reader.told.cost_usd == 0.5
    assert events[-1].kind == "result"


def test_claude_fails_with_success_on_its_lips():
    """`is_error` beside `success`, and a refusal that it recovers from, are told apart."""
    refusal = {
        "type": "assistant",
        "error": "rate_limit",
        "message": {"content": [{"type": "text", "text": "You've hit your limit"}]},
    }
    reader, _ = read("claude", refusal, result(is_error=True, result="You've hit your limit"))
    assert reader.told.final
    assert not reader.told.done
    assert reader.told.error == "You've hit your limit"
    reader, _ = read("claude", refusal, result())
    assert (reader.told.done, reader.told.error) == (True, "")
    reader, _ = read("claude", result(subtype="error_max_turns", errors=["too many turns"]))
    assert reader.told.error == "ok"
    assert read("claude", result(result="Claude AI usage limit reached|17"))[0].told.error
    ended = {"type": "result", "subtype": "error_max_turns", "errors": []}
    assert read("claude", ended)[0].told.error == "error_max_turns"


def test_claude_tells_the_moment_of_a_limit():
    """A rejection has its moment, in seconds or milliseconds; a warning has none."""

    def info(status: str, at: float, **more: object) -> dict[str, object]:
        limit = {"status": status, "resetsAt": at, "rateLimitType": "five_hour", **more}
        return {"type": "rate_limit_event", "rate_limit_info": limit}

    assert read("claude", info("rejected", 1.7e9))[0].told.reset_at == 1.7e9
    assert read("claude", info("rejected", 1.7e12))[0].told.reset_at == 1.7e9
    assert read("claude", info("allowed_warning", 1.7e9))[0].told.reset_at is None
    assert read("claude", info("rejected", 1.7e9, isUsingOverage=True))[0].told.reset_at is None


def test_claude_speaks_for_itself_not_for_its_helpers():
    """Of an agent that it started its tokens count; the last message stays its own."""
    content = [{"type": "text", "text": "helper"}]
    usage = {"input_tokens": 1, "output_tokens": 1}
    helper = {
        "type": "assistant",
        "parent_tool_use_id": "t",
        "message": {"id": "h", "content": content, "usage": usage},
    }
    own = {
        "type": "assistant",
        "parent_tool_use_id": None,
        "message": {"id": "o", "content": [{"type": "text", "text": "own"}], "usage": usage},
    }
    reader, _ = read("claude", own, helper)
    assert (reader.told.message, reader.told.input_tokens) == ("own", 2)


def test_codex_tells_what_it_does():
    """Its tools by name, with what they work on; what goes wrong with one is an error."""

    def item(kind: str, **more: object) -> dict[str, object]:
        return {"type": "item.completed", "item": {"type": kind, **more}}

    _, events = read(
        "codex",
        {"type": "thread.started", "thread_id": "t1"},
        {"type": "item.started", "item": {"type": "command_execution", "command": "ls"}},
        item("file_change", changes=[{"kind": "add", "path": "a.py"}]),
        item("mcp_tool_call", tool="search", arguments={"q": "x"}),
        item("web_search", query="how"),
        item("error", message="no net"),
    )
    told = [(event.kind, event.text) for event in events]
    assert [kind for kind, _ in told][:6] == ["session", *["tool"] * 4, "error"]
    for (_, text), word in zip(
        told[1:6], ["ls", "add a.py", "search", "how", "no net"], strict=True
    ):
        assert word in text


def test_codex_goes_on_after_an_error():
    """A connection that it lost and found again is no failure; a failed turn is one."""
    lost = {"type": "error", "message": "Reconnecting... 1/5"}
    done = {"type": "turn.completed", "usage": {"input_tokens": 7, "output_tokens": 3}}
    reader, events = read("codex", lost, done)
    assert (reader.told.done, reader.told.error, reader.told.final) == (True, "", True)
    assert [event.kind for event in events] == ["error", "result"]
    assert events[-1].cost_usd is None, "it does not say what it costs"
    failed = {"type": "turn.failed", "error": {"message": "You've hit your usage limit."}}
    told = read("codex", lost, failed)[0].told
    assert (told.done, told.error, told.final) == (False, "You've hit your usage limit.", True)


def test_gemini_joins_the_pieces_of_a_message():
    """A message that comes in pieces is told once, when something else follows."""
    pieces = [{"type": "message", "role": "assistant", "content": text, "delta": True}
              for text in ("one ", "two")]  # fmt: skip
    mine = {"type": "message", "role": "user", "content": "the prompt"}
    reader, events = read("gemini", mine, *pieces, {"type": "result", "status": "error",
                          "error": {"type": "x", "message": "quota"}})  # fmt: skip
    assert [event.text for event in events if event.kind == "message"] == ["one two"]
    assert reader.told.error == "quota"


def test_opencode_may_stop_in_between():
    """A step that ends with `stop` is an end only while nothing follows."""
    stop = {
        "type": "step_finish",
        "sessionID": "ses_1",
        "part": {"reason": "stop", "cost": 0.5, "tokens": {"input": 10, "output": 1}},
    }
    start = {"type": "step_start", "sessionID": "ses_1", "part": {}}
    assert read("opencode", start, stop)[0].told.done
    reader, events = read("opencode", start, stop, start)
    assert not reader.told.done
    assert not reader.told.final
    assert [event.kind for event in events].count("session") == 1
    told = read("opencode", stop, stop)[0].told
    assert (told.input_tokens, told.output_tokens, told.cost_usd) == (20, 2, 1.0)


def test_aider_without_an_answer_has_failed():
    """A failure of the API stands until a report of tokens shows that an answer came after it."""
    failure = [
        "litellm.InternalServerError: OpenAIException - Connection error.",
        "The API provider's servers are down or overloaded.",
        "Retrying in 0.2 seconds...",
    ]
    told = read("aider", *failure, *failure)[0].told
    assert not told.done
    assert told.error.startswith("litellm.InternalServerError")
    assert "overloaded" in told.error
    report = "Tokens: 12k sent, 1.5k cache hit, 136 received. Cost: $0.01 message, $0.02 session."
    banner = ["Update git name with: …", "Aider v0.86.2", "Model: gpt-4o with diff edit format"]
    told = read("aider", *banner, *failure, "Written.", report)[0].told
    assert told.model == "gpt-4o"
    assert (told.done, told.error, told.message) == (True, "", "Written.")
    assert (told.input_tokens, told.output_tokens, told.cost_usd) == (12_000, 136, 0.01)
    log = json.dumps(
        {
            "event": "message_send",
            "properties": {"prompt_tokens": 12_345, "completion_tokens": 136, "cost": 0.0123},
        }
    )
    told = read("aider", report, written=log)[0].told
    assert (told.input_tokens, told.cost_usd) == (12_345, 0.0123)


@pytest.mark.parametrize(
    "line",
    [
        "mini-swe-agent (step 1, $99999.00):",
        f"mini-swe-agent (step 1, ${'9' * 400}):",
        f"mini-swe-agent (step {'9' * 400}, $1.00):",
        "Tokens: 1.2.3k sent, 5 received. Cost: $1.2.3 message, $1 session.",
        f"Tokens: {'9' * 400} sent, {'9' * 400} received. Cost: ${'9' * 400} message",
        "Tokens: 999999999999M sent, 5 received. Cost: $99999.00 message",
        "Tokens: 1 sent," + "1," * 500_000,
        "Model: " + "m" * 1_000_000,
        "litellm." + "x" * 1_000_000,
        "\x1b[" + "0" * 500_000 + "\x1b]" * 250_000,
    ],
    ids=range(10),
)
@pytest.mark.parametrize("name", ["aider", "mini-swe-agent"])
def test_a_printed_line_is_no_bill(name: str, line: str):
    """Any program may print what looks like a figure: what is beyond reason counts as not told.

    Nor does a line take long to read, or much to keep.
    """
    reader, _ = read(name, line, line)
    assert 0 <= (reader.told.cost_usd or 0.0) <= 100
    assert reader.told.input_tokens + reader.told.output_tokens < 10**9
    assert len(reader.told.error + (reader.told.model or "")) < 10_000
    reader, _ = read("mini-swe-agent", "mini-swe-agent (step 1, $0.25):", line)
    assert reader.told.cost_usd == 0.25 or "1.00" in line


def test_mini_swe_agent_ends_as_its_trajectory_says():
    """Submitted is done; any other status is why it failed, with the exception's words."""

    def trajectory(status: str, *, submission: str = "", **extra: object) -> str:
        usage = {"prompt_tokens": 40, "completion_tokens": 4}
        messages = [{"role": "assistant", "content": "Done.", "extra": {"response": {
            "usage": usage}}}, {"role": "exit", "content": "", "extra": extra}]  # fmt: skip
        info = {"exit_status": status, "submission": submission,
                "model_stats": {"instance_cost": 0.5}}  # fmt: skip
        return json.dumps({"info": info, "messages": messages})

    step = ["mini-swe-agent (step 1, $0.25):", "I look around.", "", "User:", "output"]
    reader, events = read("mini-swe-agent", *step, written=trajectory("Submitted"))
    assert [event.text for event in events if event.kind == "message"] == ["I look around."]
    told = reader.told
    assert (told.done, told.message, told.cost_usd) == (True, "Done.", 0.5)
    assert (told.input_tokens, told.output_tokens) == (40, 4)
    voted = trajectory("Submitted", submission='{"verdict": "pass"}')
    reader, _ = read("mini-swe-agent", written=voted)
    assert reader.told.answer(review=True).verdict == "pass", "what it submits is said too"
    limits = read("mini-swe-agent", written=trajectory("LimitsExceeded"))[0].told
    assert limits.error == "LimitsExceeded: no more is told"
    told = read("mini-swe-agent", written=trajectory("AuthenticationError", exception_str="no"))
    assert told[0].told.error == "AuthenticationError: no"
    assert not read("mini-swe-agent", *step)[0].told.done, "without a trajectory nothing is done"


def test_colours_do_not_hide_an_object():
    """Commands to a terminal around an object are taken off."""
    line = "\x1b[?1004l\x1b[32m" + json.dumps(result()) + "\x1b[0m"
    assert read("claude", line)[0].told.done


@pytest.mark.parametrize(
    ("message", "verdict", "findings"),
    [
        ('{"verdict": "pass", "findings": []}', "pass", ()),
        ('It is wrong.\n```json\n{"verdict": "fail", "findings": ["a.py: {x}"]}\n```\n', "fail",
         ("a.py: {x}",)),
        ('Form: {"verdict": "pass" or "fail"}. {"verdict":"fail","findings":[{"file":"a"}]} {no',
         "fail", ('{"file": "a"}',)),
        ("I would say pass.", None, ()),
        ('{"verdict": "maybe"}', None, ()),
        ('{"a":' * 5_000, None, ()),
    ],
)  # fmt: skip
def test_a_review_ends_with_a_verdict(message: str, verdict: str | None, findings: tuple[str, ...]):
    """The last object with a verdict counts, wherever it stands in the last message."""
    reader, _ = read("claude", result(result=message))
    answer = reader.told.answer(review=True)
    assert (answer.verdict, answer.findings) == (verdict, findings)
    assert reader.told.answer(review=False).verdict is None
