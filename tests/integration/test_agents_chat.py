"""A chat agent at work, over real HTTP, with a server that speaks chat completions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.assignments import assignment
from tests.chat_server import Call, Say, Silent, chat_server
from vibe_tasks.agents.agent import AgentEvent
from vibe_tasks.agents.chat import ChatAgent
from vibe_tasks.errors import StoppedError, TransientError
from vibe_tasks.plan import ChatSpec
from vibe_tasks.plan_specs import Price


@dataclass
class Ear:
    """Keeps what it hears; after so many questions it has a reason to stop."""

    patience: int = 1_000
    events: list[AgentEvent] = field(default_factory=list)

    def heard(self, event: AgentEvent) -> None:
        """Keep it."""
        self.events.append(event)

    def stop_reason(self) -> str | None:
        """Have enough at last."""
        self.patience -= 1
        return "the budget is used up" if self.patience < 0 else None


def spec(url: str, **values: object) -> ChatSpec:
    """A chat agent that talks with this server."""
    return ChatSpec(model="openai:tiny", base_url=url, **values)  # type: ignore[arg-type]


def test_work_is_done_by_tools_in_their_order(tmp_path: Path):
    """Files are written, replaced, deleted and checked as asked for, one call after the other; the
    task's checks alone are run, and the model reads how they ended.
    """
    job = assignment(tmp_path, task={"id": "store", "checks": ["cat store.py && false"]})
    (job.worktree / "old.py").write_text("gone soon")
    work = (
        Call("write_file", {"path": "store.py", "content": "x = 1\n"}),
        Call("replace_text", {"path": "store.py", "old": "1", "new": "2"}),
        Call("delete_file", {"path": "old.py"}),
        Call("run_checks"),
    )
    with chat_server(work, Call("done", {"summary": "Wrote store.py."})) as server:
        answer = ChatAgent(spec(server.url)).work(job)
    assert answer.summary == "Wrote store.py."
    assert (answer.input_tokens, answer.output_tokens) == (200, 20)
    assert answer.model == "scripted"
    assert {path.name for path in job.worktree.iterdir()} == {"store.py"}
    assert (job.worktree / "store.py").read_text() == "x = 2\n"
    assert "failed with exit code 1: cat store.py && false\n    x = 2" in server.told()[-1]
    assert server.requests[0]["stream"] is True
    assert server.requests[0]["messages"][-1]["content"] == "Write store.py."
    assert "write_file" in (job.scratch / "agent.log").read_text()


def test_the_attendant_hears_what_is_said_done_and_used(tmp_path: Path):
    """Session, messages, tool calls and growing usage with its cost are told while it works."""
    ear = Ear()
    job = assignment(tmp_path, attendant=ear)
    price = Price(input=1.0, output=10.0)
    with chat_server(Call("list_files"), Say("Nothing to do.")) as server:
        answer = ChatAgent(spec(server.url, price=price)).work(job)
    kinds = [event.kind for event in ear.events]
    assert kinds[0] == "session"
    assert {"message", "tool", "usage"} <= set(kinds)
    usage = [event for event in ear.events if event.kind == "usage"]
    assert [event.input_tokens for event in usage] == [100, 200]
    assert usage[-1].cost_usd == answer.cost_usd == pytest.approx((200 * 1 + 20 * 10) / 1e6)
    assert answer.session_id == ear.events[0].session_id


def test_a_model_that_only_talks_is_asked_to_work_once(tmp_path: Path):
    """Words before anything was done are no work; after being told so they end the job: qa judges
    what is there.
    """
    with chat_server(Say("I will now begin."), Say("All done!")) as server:
        answer = ChatAgent(spec(server.url)).work(assignment(tmp_path))
    assert answer.summary == "All done!"
    assert "Nothing was done yet" in str(server.requests[1]["messages"][-1])


def test_the_key_of_the_plan_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The variable that `api_key_env` names holds what the server gets as its key."""
    monkeypatch.setenv("MY_KEY", "sk-mine")
    with chat_server(Call("done", {})) as server:
        ChatAgent(spec(server.url, api_key_env="MY_KEY")).work(assignment(tmp_path))
    assert server.headers[0]["authorization"] == "Bearer sk-mine"


def test_a_review_reads_and_judges(tmp_path: Path):
    """A review has reading tools alone; its verdict comes by the call or in words that hold it."""
    job = assignment(tmp_path, kind="review", task={"id": "store", "checks": ["true"]})
    bad = {"verdict": "fail", "findings": ["store.py: leaks"], "summary": "No."}
    with chat_server(Call("write_file", {"path": "a", "content": "b"}), Call("verdict", bad)) as at:
        answer = ChatAgent(spec(at.url)).work(job)
    assert (answer.verdict, answer.summary) == ("fail", "No.")
    assert answer.findings == ("store.py: leaks",)
    offered = {tool["function"]["name"] for tool in at.requests[0]["tools"]}
    assert offered == {"list_files", "read_file", "search", "verdict"}
    assert list(job.worktree.iterdir()) == []
    words = 'Fine.\n{"verdict": "pass", "findings": []}'
    with chat_server(Say("Looks fine to me."), Say(words)) as at:
        assert ChatAgent(spec(at.url)).work(job).verdict == "pass"
    assert "no verdict" in str(at.requests[1]["messages"][-1])


def test_a_reason_to_stop_ends_answers_and_checks(tmp_path: Path):
    """The attendant's reason ends a silent answer and a running check alike; no process stays."""
    job = assignment(tmp_path, attendant=Ear(patience=1))
    with chat_server(Silent()) as server, pytest.raises(StoppedError, match="budget is used up"):
        ChatAgent(spec(server.url)).work(job)
    mark = "sleep 61.25"
    task = {"id": "store", "checks": [f"setsid {mark} & {mark}"]}
    job = assignment(tmp_path, attendant=Ear(patience=1), task=task)
    with chat_server(Call("run_checks")) as server, pytest.raises(StoppedError):
        ChatAgent(spec(server.url)).work(job)
    assert not [each for each in psutil.process_iter(["cmdline"]) if _sleeps(each)]


def _sleeps(process: psutil.Process) -> bool:
    return (process.info["cmdline"] or []) == ["sleep", "61.25"]


@pytest.mark.parametrize(
    ("limits", "said"),
    [({"timeout": 0.5}, "did not end within 0.5 s"), ({"idle_timeout": 0.5}, "nothing for 0.5 s")],
)
def test_a_silent_server_is_left(tmp_path: Path, limits: dict[str, float], said: str):
    """The job's time and the time without a word both end a conversation."""
    with chat_server(Silent()) as server, pytest.raises(TransientError, match=said):
        ChatAgent(spec(server.url)).work(assignment(tmp_path, **limits))


def test_a_check_that_takes_long_is_no_silence(tmp_path: Path):
    """While tools work the model need not say anything."""
    job = assignment(tmp_path, idle_timeout=0.3, task={"id": "a", "checks": ["sleep 1.5"]})
    with chat_server(Call("run_checks"), Call("done", {"summary": "ok"})) as server:
        assert ChatAgent(spec(server.url)).work(job).summary == "ok"
