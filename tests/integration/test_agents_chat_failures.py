"""What servers of language models do wrong, each over real HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.assignments import assignment
from tests.chat_server import (
    BreakOff,
    Call,
    ChatServer,
    Flood,
    Nonsense,
    Refuse,
    Reply,
    Say,
    chat_server,
)
from vibe_tasks.agents.agent import Answer
from vibe_tasks.agents.chat import ChatAgent
from vibe_tasks.errors import AttemptError, PermanentError, TransientError, UsageLimitError
from vibe_tasks.plan import ChatSpec

QUOTA = {"message": "You exceeded your current quota", "code": "insufficient_quota"}


def work(server: ChatServer, root: Path, **values: object) -> Answer:
    """Do a job with this server."""
    spec = ChatSpec(model="openai:tiny", base_url=server.url, **values)  # type: ignore[arg-type]
    return ChatAgent(spec).work(assignment(root))


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (Refuse(500), TransientError, "500"),
        (Refuse(503), TransientError, "503"),
        (Refuse(401), PermanentError, "401"),
        (Refuse(400), PermanentError, "400"),
        (BreakOff(), TransientError, "Connection error"),
        (BreakOff(politely=True), TransientError, "without a `finish_reason`"),
        (Nonsense(b"{broken"), TransientError, "without content"),
        (Nonsense(b"<html>", "text/html"), TransientError, "without content"),
        (Nonsense(b"data: {broken\n\n", "text/event-stream"), TransientError, "decode"),
        (Nonsense(b'data: {"choices": 5}\n\n', "text/event-stream"), TransientError, "no sense"),
        (Flood(), TransientError, "over 1000000 characters"),
    ],
    ids=str,
)
def test_a_bad_answer_fails_the_attempt_at_once(
    tmp_path: Path, reply: Reply, kind: type[AttemptError], said: str
):
    """Errors, streams that are cut or never end and nonsense end the attempt with their kind. The
    first request is made once: when to try again is the ledger's affair.
    """
    with chat_server(reply) as server, pytest.raises(AttemptError, match=said) as failed:
        work(server, tmp_path)
    assert type(failed.value) is kind
    assert len(server.requests) == 1


def test_a_busy_server_says_when_to_come_back(tmp_path: Path):
    """A short `Retry-After` goes to the ledger; a long one and a used-up quota make the job wait
    without losing an attempt.
    """
    with chat_server(Refuse(429, {"Retry-After": "7"})) as server:
        with pytest.raises(TransientError) as soon:
            work(server, tmp_path)
        assert soon.value.retry_after == 7
    with chat_server(Refuse(429, {"Retry-After": "3600"})) as server:
        with pytest.raises(UsageLimitError) as later:
            work(server, tmp_path)
        assert 3_600 <= later.value.seconds <= 3_660
    with chat_server(Refuse(429, error=QUOTA)) as server, pytest.raises(UsageLimitError):
        work(server, tmp_path)


def test_nobody_listens(tmp_path: Path):
    """A refused connection is worth another attempt; it is told who was asked where, without what
    may be a key, and the conversation's log has it too.
    """
    with chat_server(Say("")) as server:
        pass
    job = assignment(tmp_path)
    spec = ChatSpec(model="openai:tiny", base_url=f"{server.url}?key=secret")
    with pytest.raises(TransientError) as failed:
        ChatAgent(spec).work(job)
    said = f"openai:tiny at {server.url}: connection refused"
    assert str(failed.value) == said
    log = (job.scratch / "agent.log").read_text()
    assert log.startswith(f"model: openai:tiny at {server.url}\nprompt: ")
    assert log.endswith(f"end: {said}\n")


def test_an_error_between_two_answers_does_not_lose_the_conversation(tmp_path: Path):
    """Once the model has answered, a failed request is made again; what was done stays."""
    write = Call("write_file", {"path": "store.py", "content": "x = 1\n"})
    sorry = Refuse(429, {"Retry-After": "0"})
    with chat_server(write, sorry, Call("done", {"summary": "ok"})) as server:
        answer = work(server, tmp_path)
    assert answer.summary == "ok"
    assert len(server.requests) == 3
    assert (tmp_path / "worktree" / "store.py").exists()


def test_wrong_calls_are_answered_and_nothing_leaves_the_worktree(tmp_path: Path):
    """Broken JSON, wrong arguments, unknown tools and paths outside are told to the model, which
    goes on; nothing outside the worktree is touched.
    """
    secret = tmp_path / "secret"
    secret.write_text("not for you")
    calls = (
        Call("read_file", '{"path": "store.py"'),
        Call("read_file", {"wrong": 1}),
        Call("run_shell", {"command": "rm -rf /"}),
        Call("read_file", {"path": "../secret"}),
        Call("write_file", {"path": str(secret), "content": "x"}),
        Call("write_file", {"path": "../secret", "content": "x"}),
        Call("delete_file", {"path": ".git/HEAD"}),
    )
    with chat_server(*calls, Call("done", {"summary": "gave up"})) as server:
        assert work(server, tmp_path).summary == "gave up"
    told = server.told()
    assert len(told) == len(calls)
    assert "Unknown tool name: 'run_shell'" in told[2]
    assert all("inside the worktree" in each for each in told[3:6])
    assert "belongs to git" in told[6]
    assert "not for you" not in str(server.requests)
    assert secret.read_text() == "not for you"


def test_a_model_that_does_not_learn_or_does_not_end_is_left(tmp_path: Path):
    """The same mistake again and again ends the attempt, and so do too many answers."""
    with chat_server(Call("read_file", {"wrong": 1})) as server:
        with pytest.raises(TransientError, match="astray"):
            work(server, tmp_path)
        assert len(server.requests) < 10
    with chat_server(Call("list_files")) as server:
        with pytest.raises(TransientError, match="max_turns"):
            work(server, tmp_path, max_turns=3)
        assert len(server.requests) == 3
