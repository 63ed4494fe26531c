"""The event stream over real sockets: what clients of both versions are sent."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.processes import until
from tests.streams import Hook, Watcher, event_of, hook, watching
from tests.web import Web, running_web
from vibe_tasks.web.backlog import BacklogLimits
from vibe_tasks.web.hub import Hub


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server for all tests here; what one of them posts, the others may see."""
    with running_web(tmp_path_factory.mktemp("web") / "home") as running:
        yield running


@pytest.fixture
def agent(web: Web) -> Iterator[Hook]:
    """A hook that posts to it."""
    with hook(web.url) as posting:
        yield posting


def test_a_client_of_version_1_goes_on_unchanged(web: Web, agent: Hook) -> None:
    """`initial` with the newest events, then `event` for each: no other message or member, and
    every field of an event as it was sent.
    """
    before = agent.stored()
    sent = event_of(
        hook_event_type="Stop", timestamp=1_700_000_000_123, summary="did it", model_name="m",
        chat=[{"role": "user"}], humanInTheLoop={"question": "ok?"}, payload={"text": "grüß 😀"},
    )  # fmt: skip
    with watching(web.url) as client:
        first = client.next()
        assert set(first) == {"type", "data"}
        assert first["type"] == "initial"
        assert first["data"][-1]["id"] == before["id"]
        status, stored = agent.post(sent)
        message = client.next()
    assert status == 200
    assert set(message) == {"type", "data"}
    assert message["type"] == "event"
    assert message["data"] == {**sent, "id": stored["id"], "priority": 1}
    assert stored == {**message["data"], "priority_metadata": {"rule": "default"}}


def test_version_2_tells_priorities_and_gives_only_what_was_asked_for(
    web: Web, agent: Hook
) -> None:
    """By sessions and by level; `hello` first, then `initial` with statistics."""
    with (
        watching(web.url, "protocol=2&session_id=A&session_id=B") as of_sessions,
        watching(web.url, "protocol=2&min_priority=1&session_id=A") as of_level,
    ):
        hello, initial = of_sessions.next(), of_sessions.next()
        assert [of_level.next()["type"], of_level.next()["data"]] == ["hello", []]
        posted = [
            agent.stored(session_id=session, hook_event_type=kind)["id"]
            for session in "ACB"
            for kind in ("PreToolUse", "Notification")
        ]
        messages = [of_sessions.next() for _ in range(4)]
        high = of_level.next()
    assert (hello["protocol"], hello["supported"], hello["resumed"]) == (2, [1, 2], False)
    assert hello["buckets"] == {"priority_limit": 100, "regular_limit": 200}
    assert initial["data"] == []
    assert set(initial["priority_statistics"]) == {"total", "priority", "regular", "levels"}
    assert initial["last_id"] < posted[0]
    wanted = [posted[place] for place in (0, 1, 4, 5)]
    assert [each["data"]["id"] for each in messages] == wanted
    assert [each["type"] for each in messages] == ["event", "priority_event"] * 2
    assert messages[1]["priority_info"] == {"level": 1, "name": "high", "bucket": "priority"}
    assert high["data"]["id"] == posted[1]


@pytest.mark.parametrize("version", ["3", "0", "two", "", "2%00", "9" * 5000])
def test_a_version_that_there_is_not_falls_back_to_the_first(web: Web, version: str) -> None:
    """With an `error` that names those that there are."""
    with watching(web.url, f"protocol={version}") as client:
        error, initial = client.next(), client.next()
    assert error["type"] == "error"
    assert error["supported"] == [1, 2]
    assert set(initial) == {"type", "data"}


def test_parameters_that_make_no_sense_are_left_out(web: Web, agent: Hook) -> None:
    """A client with a mistake in its address sees events rather than nothing, and in version 2
    hears of each mistake first.
    """
    query = f"protocol=2&min_priority=high&after=-1&session_id=&after={'9' * 30}&x=%ff%00"
    with watching(web.url, query) as client:
        told = [client.next() for _ in range(2)]
        assert {each["type"] for each in told} == {"error"}
        assert told[0]["error"] == "min_priority 'high' is ignored: it must be a number from 0 to 3"
        assert told[1]["error"].startswith("after '9999")
        assert client.next()["resumed"] is False
        client.next()
        posted = agent.stored()
        assert client.event()["id"] == posted["id"]
    with watching(web.url, "protocol=2&session_id=%00a") as client:
        assert [client.next()["type"], client.next()["type"]] == ["hello", "initial"]
    with watching(web.url, "min_priority=7&after=xx") as client:
        assert client.next()["type"] == "initial"


def test_a_page_is_told_that_it_is_a_websocket(web: Web) -> None:
    """Whoever asks for the stream as for a page gets a sentence."""
    answer = web.client.get("/stream")
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
    assert "ws://" in answer.json()["detail"]
    assert web.client.post("/stream").status_code == 405


def test_nothing_is_missed_between_the_first_message_and_the_live_ones(web: Web) -> None:
    """Clients that come while events pour in: `initial` up to an id, then each later one, once."""
    stop = False

    def pour() -> None:
        with hook(web.url) as posting:
            while not stop:
                posting.stored(session_id="pouring")

    threads = [Thread(target=pour) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(8):
            with watching(web.url, "protocol=2") as client:
                client.next()
                initial = client.next()
                ids = [each["id"] for each in initial["data"]]
                assert max(ids, default=0) <= initial["last_id"]
                live = [each["id"] for each in client.events(30)]
            assert live == list(range(initial["last_id"] + 1, initial["last_id"] + 31))
    finally:
        stop = True
        for thread in threads:
            thread.join()


def test_a_large_beginning_is_cut_to_what_clients_take(web: Web, agent: Hook) -> None:
    """With payloads of 200 kB, `initial` stays below a mebibyte; regular events go first."""
    high = agent.stored(session_id="large", hook_event_type="Stop", payload="h" * 200_000)
    posted = [agent.stored(session_id="large", payload="x" * 200_000)["id"] for _ in range(8)]
    with watching(web.url, "session_id=large", max_size=2**20) as client:
        ids = [each["id"] for each in client.next()["data"]]
    assert ids == [high["id"], *posted[-3:]]


def test_a_slow_client_loses_regular_events_first_and_is_told(
    web: Web, agent: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was not sent is counted; all priority events reach it; others lose nothing. A client
    of version 1 is not told: it knows no such message.
    """
    monkeypatch.setattr(web.services.hub, "_limits", BacklogLimits(regular=20, size=4_000_000))
    slow = {"max_queue": 1, "sock": None}
    with (
        watching(web.url, "protocol=2&session_id=slow", **_small(web, slow)) as second,
        watching(web.url, "session_id=slow", **_small(web, slow)) as first,
        watching(web.url, "protocol=2&session_id=slow&min_priority=1") as quick,
    ):
        for client in (second, quick):
            client.until(lambda message: message["type"] == "initial")
        first.next()
        high, sent = [], 0
        for sent in range(1, 151):
            kind = "PreToolUse" if sent % 10 else "Notification"
            stored = agent.stored(
                session_id="slow", hook_event_type=kind, payload={"n": sent, "text": "x" * 20_000}
            )
            if kind == "Notification":
                high.append(stored["id"])
                assert quick.event()["id"] == stored["id"]
        last = agent.stored(session_id="slow", hook_event_type="Stop")["id"]
        ended = lambda message: message.get("data", {}).get("id") == last  # noqa: E731
        told, old = second.until(ended), first.until(ended)
    lost = [each for each in told if each["type"] == "dropped"]
    got = [each["data"]["id"] for each in told if each["type"] != "dropped"]
    assert got == sorted(set(got))
    assert sum(each["count"] for each in lost) == sent + 1 - len(got) > 0
    assert not any(each["priority"] for each in lost)
    assert set(high) < set(got)
    assert {each["type"] for each in old} == {"event"}
    assert set(high) < {each["data"]["id"] for each in old}


def _small(web: Web, options: dict[str, object]) -> dict[str, object]:
    """A connection whose system buffers little: what a client does not read stays with us."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.connect(("127.0.0.1", web.port))
    return {**options, "sock": small}


def test_garbage_does_no_harm(web: Web, agent: Hook) -> None:
    """Whatever a client sends is let pass or ends its own connection; others go on."""
    with watching(web.url) as other, watching(web.url) as client:
        other.next()
        client.next()
        for garbage in ("", "{", '{"type": "subscribe"}', "\0", b"\xff\xfe", b"", "x" * 60_000):
            client.connection.send(garbage)
        posted = agent.stored()
        assert client.event()["id"] == other.event()["id"] == posted["id"]
        client.connection.send("x" * 70_000)
        with pytest.raises(ConnectionClosed) as closed:
            client.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        assert other.connection.ping().wait(60)


def test_a_client_that_never_stops_talking_is_sent_away(web: Web) -> None:
    """Nobody's chatter keeps the server from its work."""

    def talk(client: Watcher) -> None:
        for _ in range(10_000):
            client.connection.send("x")

    with watching(web.url) as client, pytest.raises(ConnectionClosed) as closed:
        talk(client)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


@pytest.mark.parametrize("bad", [b"\x00" * 400, b"\xff" * 4000, b"\x81\x05hello", b"\x8f\x80abcd"])
def test_bytes_that_are_no_frames_end_their_connection_alone(web: Web, bad: bytes) -> None:
    """Unmasked frames, unknown ones, noise."""
    with web.socket() as raw, watching(web.url) as other:
        other.next()
        raw.sendall(
            b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        assert raw.recv(65_536).startswith(b"HTTP/1.1 101 ")
        raw.sendall(bad)
        while raw.recv(65_536):
            pass
        assert other.connection.ping().wait(60)


def test_the_feed_is_read_only_while_somebody_listens(web: Web) -> None:
    """Without clients the ledger is not asked ten times a second."""
    hub = web.services.hub
    until(lambda: not hub._listeners, seconds=60)
    until(lambda: hub._following is None, seconds=60)
    with watching(web.url) as client:
        client.next()
        assert hub._following is not None
    until(lambda: hub._following is None, seconds=60)


def test_a_feed_that_fails_sends_its_clients_away_and_begins_anew(
    web: Web, agent: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug must not leave clients that hear nothing for ever: they are told to come again."""
    with watching(web.url) as client:
        client.next()
        with monkeypatch.context() as patch:
            patch.setattr(Hub, "_look", staticmethod(lambda *_: 1 / 0))
            with pytest.raises(ConnectionClosed) as closed:
                client.next()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013
    with watching(web.url) as client:
        client.next()
        assert client.event()["id"] if agent.stored() else None


def test_the_subprotocol_is_answered(web: Web) -> None:
    """A browser shows its token in a second subprotocol, and wants to hear the first one back."""
    with watching(web.url, subprotocols=["vibe", "bearer.YQ"]) as client:
        assert client.connection.subprotocol == "vibe"
        assert json.dumps(client.next()).startswith('{"type": "initial"')


def test_only_who_may_read_listens(tmp_path: Path) -> None:
    """With a token that may read; without one the handshake is refused."""
    with running_web(tmp_path / "home", api_tokens="read:me:secret") as guarded:
        with pytest.raises(InvalidStatus) as refused, watching(guarded.url):
            pass
        assert refused.value.response.status_code == 401
        with watching(
            guarded.url, additional_headers={"Authorization": "Bearer secret"}
        ) as client:  # fmt: skip
            assert client.next()["type"] == "initial"
