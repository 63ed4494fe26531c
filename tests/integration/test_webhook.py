"""Posting to a webhook, over real HTTP."""

from __future__ import annotations

import hmac
import socket
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from tests.webhook_server import Answers, Reply, webhook_server
from vibe_tasks.errors import PermanentError, TransientError
from vibe_tasks.escalation import body_of, headers_of, notice
from vibe_tasks.events import Event
from vibe_tasks.tasks.webhook import post

EVENT = Event(
    event_type="TASK_DEAD", task_id="store", payload={"why": "né\x00"}, id=7, session="p-1",
    timestamp=datetime(2026, 1, 2, tzinfo=UTC), summary="store: task dead",
)  # fmt: skip
KEY = "shared with the receiver"
SLOW = b"HTTP/1.1 200 OK\r\n" + b"X-Nothing: yet\r\n" * 100


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine's proxy is no way to the machine itself."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def send(url: str, *, secret: str = "", timeout: float = 10) -> int:
    message = notice(EVENT)
    body = body_of(message)
    headers = headers_of(message, body, delivery="job-1", timestamp=1_700_000_000, secret=secret)
    return post(url, body, headers, timeout=timeout)


def always(reply: Reply) -> Answers:
    return lambda _request, _number: reply


def test_a_receiver_can_check_what_it_got():
    """The documented check holds: HMAC-SHA256 over the timestamp, a full stop and the body."""
    with webhook_server(always(Reply(status=204))) as server:
        assert send(server.url, secret=KEY) == 204
    (got,) = server.received
    assert (got.path, got.headers["content-type"]) == ("/hook/secret-path", "application/json")
    assert got.headers["x-vibe-event"] == "TASK_DEAD"
    assert got.headers["x-vibe-delivery"] == "job-1"
    signed = got.headers["x-vibe-timestamp"].encode() + b"." + got.body
    expected = "sha256=" + hmac.new(KEY.encode(), signed, sha256).hexdigest()
    assert got.headers["x-vibe-signature"] == expected
    assert got.message["task"] == {"id": "store", "title": None}
    assert got.message["why"] == "né\N{REPLACEMENT CHARACTER}"


def test_without_a_secret_nothing_is_signed():
    """Nobody can take a signature with an empty key for a real one."""
    with webhook_server(always(Reply())) as server:
        send(server.url)
    assert "x-vibe-signature" not in server.received[0].headers


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (Reply(status=500, body=b"we  are\nsorry"), TransientError, "500 .*: we are sorry"),
        (Reply(status=503), TransientError, "503"),
        (Reply(status=429), TransientError, "429"),
        (Reply(status=404), PermanentError, "404"),
        (Reply(status=401, body=b"\xff" * 100_000), PermanentError, "401"),
        (Reply(status=307, headers={"Location": "/other"}), PermanentError, "not followed"),
        (Reply(raw=b"I am no web server\r\n\r\n"), TransientError, "BadStatusLine"),
        (Reply(raw=b""), TransientError, "no answer: RemoteDisconnected"),
    ],
)
def test_answers_are_told_apart(reply: Reply, error: type[Exception], words: str):
    """A server in trouble is worth another try, a refusal is not, a redirect is not followed."""
    with webhook_server(always(reply)) as server, pytest.raises(error, match=words) as caught:
        send(server.url)
    assert len(server.received) == 1
    assert "secret-path" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "wait"), [("7", 7.0), ("99999999", 600.0), ("soon", None), ("nan", None)]
)
def test_a_wait_that_is_asked_for_is_kept(asked: str, wait: float | None):
    """Retry-After in seconds; more than ten minutes, or nonsense, is not obeyed."""
    busy = Reply(status=503, headers={"Retry-After": asked})
    with webhook_server(always(busy)) as server, pytest.raises(TransientError) as caught:
        send(server.url)
    assert caught.value.retry_after == wait


@pytest.mark.parametrize("reply", [Reply(hold=True), Reply(raw=SLOW, pace=0.01)])
def test_a_slow_receiver_does_not_hold_us(reply: Reply):
    """One that says nothing, and one that sends a byte now and then for ever."""
    late = pytest.raises(TransientError, match=r"no answer within 0\.3 s|timed out")
    with webhook_server(always(reply)) as server, late:
        send(server.url, timeout=0.3)


def test_nobody_there_is_worth_another_try():
    """Connection refused."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(TransientError, match="ConnectionRefusedError"):
        send(f"http://127.0.0.1:{port}/x")


def test_https_needs_a_server_that_can_be_trusted():
    """A plain server at an https address is no answer, and nothing is told to it."""
    with webhook_server(always(Reply())) as server:
        with pytest.raises(TransientError, match="SSL"):
            send(server.url.replace("http:", "https:"), timeout=60)
        assert not server.received
