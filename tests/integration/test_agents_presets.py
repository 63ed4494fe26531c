"""Presets with programs that stand in for the known ones, in their good and bad ways.

The bad ways are those that users of the programs report; beside each test stands where.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from tests.agent_standins import DOES_ITS_WORK, OPENINGS, put
from tests.assignments import assignment
from tests.processes import until
from vibe_tasks.agents.agent import AgentEvent, Assignment
from vibe_tasks.agents.known import PRESETS
from vibe_tasks.agents.preset_agent import PresetAgent
from vibe_tasks.errors import PermanentError, StoppedError, TransientError, UsageLimitError
from vibe_tasks.plan_specs import Limits, Surroundings

NOW = datetime(2026, 3, 9, 12, 0, tzinfo=UTC).timestamp()
FLOOD = 30_000_000  # bytes; far more than is kept
IGNORES_SIGTERM = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


@dataclass
class Notebook:
    """An attendant that keeps what it hears, and may have a reason to end the agent."""

    events: list[AgentEvent] = field(default_factory=list)
    reason: Callable[[], str | None] = lambda: None

    def heard(self, event: AgentEvent) -> None:
        """Keep it."""
        self.events.append(event)

    def stop_reason(self) -> str | None:
        """The reason, if any by now."""
        return self.reason()

    def kinds(self) -> list[str]:
        """What kinds of things it heard."""
        return [event.kind for event in self.events]


class Ground:
    """A PATH with stand-ins, and jobs for them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.notebook = Notebook()

    def agent(self, name: str, script: str, **values: object) -> PresetAgent:
        """The preset's agent, its program following this script."""
        put(self.bin, name, script)
        fields = {"preset": PRESETS[name], "now": lambda: NOW, "uniform": lambda low, _: low}
        return PresetAgent(**(fields | values))  # type: ignore[arg-type]

    def job(self, **values: object) -> Assignment:
        """A job whose attendant is the notebook."""
        return assignment(self.root, **({"attendant": self.notebook} | values))

    def noted(self, name: str) -> int:
        """The number that a stand-in noted."""
        return int((self.bin / name).read_text())


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    """A place where stand-ins are found."""
    ground = Ground(tmp_path)
    monkeypatch.setenv("PATH", f"{ground.bin}:/usr/bin:/bin")
    return ground


@pytest.mark.parametrize("name", OPENINGS)
def test_each_program_is_started_and_read_as_it_wants(ground: Ground, name: str):
    """Its arguments and its prompt are as it insists; what it tells arrives, figures included."""
    agent = ground.agent(name, DOES_ITS_WORK, model="some/model", args=("--in={plan_dir}",))
    job = ground.job(prompt="Größe ✓ 🎉\n$(x) {y}", task={"id": "a", "files": ["a.py"]})
    answer = agent.work(job)
    assert (job.worktree / "a.py").read_text(encoding="utf-8") == job.prompt
    assert [path.name for path in job.worktree.iterdir()] == ["a.py"], "and nothing lies about"
    assert answer.input_tokens > 0
    assert answer.output_tokens > 0
    assert "Done." in answer.summary or "I write it." in answer.summary
    kinds = ground.notebook.kinds()
    assert {"tool", "message", "result"} <= set(kinds)
    last = [event for event in ground.notebook.events if event.input_tokens is not None][-1]
    assert last.input_tokens == answer.input_tokens
    if name in ("codex", "gemini"):
        assert last.cost_usd is None, "it tells no cost: the plan's price decides"
    if name != "aider":
        assert answer.session_id == ground.notebook.events[0].session_id is not None


def test_a_prompt_is_no_command(ground: Ground):
    """A task that begins like a command of the program's own is put as the task that it is."""
    script = (
        "assert prompt.startswith('The task:') and prompt.endswith('/a.py'), prompt\nsay(*WORK)"
    )
    assert ground.agent("aider", script).work(ground.job(prompt="/a.py")).input_tokens


def test_keys_reach_the_program_that_needs_them_and_no_other(ground: Ground, monkeypatch):
    """A preset's own variables are handed on; other secrets stay here."""
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "MY_SECRET"):
        monkeypatch.setenv(name, "secret")
    script = """
assert os.environ["ANTHROPIC_API_KEY"] == "secret"
assert "OPENAI_API_KEY" not in os.environ and "MY_SECRET" not in os.environ
say(*WORK)
"""
    assert ground.agent("claude", script).work(ground.job()).summary == "Done."


@pytest.mark.parametrize(
    ("name", "says"),
    [("claude", "result({!r})"), ("codex", 'item("agent_message", text={!r}), END'),
     ("gemini", "piece({!r}), END"),
     ("opencode", 'event("text", part=dict(text={!r})), step("stop")'),
     ("aider", '*{!r}.splitlines(), "Tokens: 1k sent, 5 received."')],
)  # fmt: skip
def test_a_review_brings_its_verdict(ground: Ground, name: str, says: str):
    """The JSON object that ends the last message is the vote, and the program may not write."""
    words = 'Looked.\n```json\n{"verdict": "fail", "findings": ["a.py: no test"]}\n```'
    readonly = {
        "claude": "need('--disallowedTools=Edit,Write,NotebookEdit')",
        "codex": "assert option('--sandbox') == 'read-only'",
        "gemini": "assert option('--approval-mode') == 'default'",
        "opencode": "assert option('--agent') == 'plan'",
        "aider": "assert option('--chat-mode') == 'ask'",
    }[name]
    agent = ground.agent(name, f"{readonly}\nsay({says.format(words)})\n")
    answer = agent.work(ground.job(kind="review", report={"checks": []}))
    assert (answer.verdict, answer.findings) == ("fail", ("a.py: no test",))


@pytest.mark.parametrize("stubborn", ["", IGNORES_SIGTERM])
def test_it_may_hang_after_its_result(ground: Ground, stubborn: str):
    """Its result is the end: after the grace it is killed, and the work counts.

    Source: anthropics/claude-code issues 25629, 53584.
    """
    script = f"{stubborn}note('pid', os.getpid())\n{DOES_ITS_WORK}\nhang()"
    agent = ground.agent("claude", script, preset=replace(PRESETS["claude"], grace=0.2))
    answer = agent.work(ground.job(timeout=60.0))
    assert answer.cost_usd == 0.25
    assert not psutil.pid_exists(ground.noted("pid"))


def test_it_may_never_come_to_a_result(ground: Ground):
    """Silence longer than the plan allows ends it; that is a failure to be tried again.

    Source: anthropics/claude-code issues 39700, 75613, 85939.
    """
    script = f"{IGNORES_SIGTERM}note('pid', os.getpid())\nsay(INIT, answer('Hm.'))\nhang()"
    with pytest.raises(TransientError, match=r"said nothing for 0\.5 s"):
        ground.agent("claude", script).work(ground.job(timeout=60.0, idle_timeout=0.5))
    assert not psutil.pid_exists(ground.noted("pid"))
    assert ground.notebook.events[-1].input_tokens == 100, "what it used until then is known"


def test_it_may_talk_for_ever(ground: Ground):
    """Past its timeout it is ended, however much it has to say."""
    script = "while True:\n    say(answer('Hm.'))\n    threading.Event().wait(0.05)"
    with pytest.raises(TransientError, match=r"^claude did not end within 1 s$"):
        ground.agent("claude", script).work(ground.job(timeout=1.0))


def test_it_may_wait_on_standard_input(ground: Ground):
    """Its input ends: who reads on after the prompt goes on (openai/codex issues 20919, 27019)."""
    script = "assert sys.stdin.read() == ''\nassert not sys.stdin.isatty()" + DOES_ITS_WORK
    assert ground.agent("codex", script).work(ground.job()).summary == "Done."


@pytest.mark.parametrize(
    ("name", "script", "error"),
    [
        ("aider", 'say(*["litellm.APIConnectionError: no route", "Retrying in 8.0 s..."] * 2)',
         "no route"),
        ("claude", 'say(INIT, result("API Error: 500", is_error=True))', "API Error: 500"),
        ("claude", "say(INIT)", "without a result"),
        ("codex", 'say(*BEGIN, failed("stream lost"))', "stream lost"),
        ("gemini", 'print("it broke", file=sys.stderr)', "it broke"),
        ("opencode", 'say(event("error", error={"name": "X", "data": {"message": "gone"}}))',
         "gone"),
    ],
)  # fmt: skip
def test_exit_code_0_alone_is_no_success(ground: Ground, name: str, script: str, error: str):
    """Who does not tell of success has failed, whatever the code (Aider-AI/aider issue 5552)."""
    with pytest.raises(TransientError, match=error):
        ground.agent(name, script).work(ground.job())


@pytest.mark.parametrize(
    ("name", "script", "error", "limits"),
    [
        ("aider", "say(*WORK)\nsys.exit(1)", "exited with 1", Limits()),
        ("aider", "say(*WORK)\nos.kill(os.getpid(), 11)", "SIGSEGV", Limits()),
        ("aider", "say(*WORK)\nhang()", "said nothing", Limits()),
        ("opencode", "say(*WORK)\nsys.exit(3)", "exited with 3", Limits()),
        ("opencode", "say(*WORK)\nhang()", "said nothing", Limits()),
        ("claude", "say(*WORK)\nwhile True: print('x' * 100_000)", "more than 1 MB",
         Limits(output=1)),
    ],
)  # fmt: skip
def test_a_word_of_success_in_between_is_not_the_end(
    ground: Ground, name: str, script: str, error: str, limits: Limits
):
    """Who tells of success after each answer must end in order too; limits hold for all."""
    agent = ground.agent(name, script, surroundings=Surroundings(limits=limits))
    with pytest.raises(TransientError, match=error):
        agent.work(ground.job(timeout=60.0, idle_timeout=1.0))


def test_a_last_word_is_the_end_whatever_the_exit_code(ground: Ground):
    """After its result a program may crash; the work is done."""
    assert ground.agent("codex", "say(*WORK)\nsys.exit(1)").work(ground.job()).summary == "Done."


@pytest.mark.parametrize(
    ("name", "script"),
    [
        ("claude", 'say(INIT, result("Not logged in · Please run /login", is_error=True))'),
        ("gemini", "sys.exit(41)"),
        ("aider", 'say("litellm.AuthenticationError: AuthenticationError: wrong key")'),
        ("codex", 'say({"type": "error", "message": "unexpected status 401 Unauthorized"})'),
        ("codex", 'say(failed("404: The model `x` does not exist or you do not have access"))'),
        ("gemini", 'say(failed("[404] models/x is not found for API version v1"))'),
        ("opencode", 'print("Error: no API key", file=sys.stderr)'),
    ],
)
def test_a_missing_login_is_for_a_person(ground: Ground, name: str, script: str):
    """Another attempt would fail the same way."""
    with pytest.raises(PermanentError):
        ground.agent(name, script).work(ground.job())


@pytest.mark.parametrize(
    ("name", "script", "seconds"),
    [
        # Exit 1 and a line for people: anthropics/claude-code 26775, 36320
        ("claude", 'say("You\'ve hit your limit · resets 3pm (UTC)"); sys.exit(1)', 3 * 3600),
        ("claude", 'say(INIT, result("You\'ve hit your limit · resets 3pm (UTC)", is_error=True))',
         3 * 3600),
        ("claude", f"say(INIT, refusal({int(NOW) + 60}), result('Limit', is_error=True))", 60),
        ("codex", 'say(*BEGIN, failed("You\'ve hit your usage limit. Try again in 2 hours."))',
         2 * 3600),
        ("gemini", 'say(failed("Your quota will reset after 1h.")); sys.exit(1)', 3600),
        ("aider", 'say("litellm.RateLimitError: You exceeded your current quota")', 900),
    ],
)  # fmt: skip
def test_a_usage_limit_is_waited_for(ground: Ground, name: str, script: str, seconds: float):
    """No attempt is lost: the job waits until the moment that the program told, and a bit more."""
    agent = ground.agent(name, script, uniform=lambda _low, high: high)
    with pytest.raises(UsageLimitError) as caught:
        agent.work(ground.job())
    assert seconds < caught.value.seconds <= seconds * 1.1
    assert name in str(caught.value)


def test_a_limit_that_only_the_log_tells_is_seen(ground: Ground):
    """Out of quota opencode hangs and says so nowhere else (anomalyco/opencode issue 40747)."""
    script = 'print("ERROR stream error: usage limit reached", file=sys.stderr, flush=True)\nhang()'
    with pytest.raises(UsageLimitError):
        ground.agent("opencode", script).work(ground.job(idle_timeout=0.5))


def test_words_about_limits_are_no_limit(ground: Ground):
    """An agent that works on such messages, or prints them, has not hit one."""
    said = "You've hit your usage limit. Not logged in. Try again in 3 hours."
    script = f"say(INIT, answer({said!r})); print({said!r}, file=sys.stderr)\nsay(*WORK)"
    assert ground.agent("claude", script).work(ground.job()).summary == "Done."
    script = f"say({said!r}, 'Tokens: 1k sent, 5 received.', 'litellm.Timeout: slow')"
    with pytest.raises(TransientError, match="slow"):
        ground.agent("aider", script).work(ground.job())


def test_a_busy_provider_is_tried_again_when_it_asks(ground: Ground):
    """A refusal that passes soon counts as a failure, and its wait is kept."""
    script = 'say(failed("429: retry in 34s"))'
    with pytest.raises(TransientError) as caught:
        ground.agent("codex", script).work(ground.job())
    assert caught.value.retry_after == 34


def test_no_process_survives(ground: Ground):
    """Children that it left, in its session or in one of their own, go with it."""
    script = """
note("child", child("import signal; signal.pause()").pid)
note("escaped", child(
    "import os, signal; os.setsid(); signal.signal(15, signal.SIG_IGN); signal.pause()").pid)
say(*WORK)
"""
    ground.agent("claude", script).work(ground.job())
    for name in ("child", "escaped"):
        number = ground.noted(name)
        until(lambda number=number: not psutil.pid_exists(number))


def test_it_may_take_its_folder_away(ground: Ground):
    """Without its worktree the job has failed; nothing is done anywhere else."""
    script = "import shutil\nshutil.rmtree(os.getcwd())\nsay(*WORK)"
    with pytest.raises(TransientError, match="took away the folder"):
        ground.agent("claude", script).work(ground.job())


def test_a_flood_and_bytes_that_are_no_text(ground: Ground):
    """However much it prints, and whatever: memory and log stay bounded, the result is found."""
    script = f"""
sys.stdout.buffer.write(b"\\xff\\xfe\\x00 no text\\n")
sys.stdout.buffer.write((b"x" * 9_999 + b"\\n") * {FLOOD // 10_000})
sys.stdout.buffer.write(b"y" * 3_000_000 + b"\\n")
sys.stdout.buffer.flush()
say(*WORK)
"""
    job = ground.job()
    assert ground.agent("claude", script).work(job).summary == "Done."
    assert (job.scratch / "agent.log").stat().st_size < 1_100_000


def test_a_reason_of_ours_ends_it(ground: Ground):
    """When its budget is used up or its job is somebody else's, it is ended and says why."""
    ground.notebook.reason = lambda: "no money left" if ground.notebook.events else None
    with pytest.raises(StoppedError, match="no money left"):
        ground.agent("claude", "say(INIT)\nhang()").work(ground.job(timeout=60.0))


def test_a_missing_program_fails_for_good(ground: Ground):
    """It is named."""
    agent = PresetAgent(preset=PRESETS["codex"])
    with pytest.raises(PermanentError, match="'codex' was not found"):
        agent.work(ground.job())
