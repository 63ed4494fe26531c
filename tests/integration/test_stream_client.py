"""`EventStream` over real sockets: with our server, and with others that know less."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from tests.documents import blocks
from tests.streams import write
from tests.web import Web, a_server, running_web, served
from vibe_tasks import BucketLimits, EventStream, Overflow
from vibe_tasks.errors import AccessError, UnavailableError
from vibe_tasks.web.backlog import BacklogLimits
from vibe_tasks.web.nudges import Nudges
from vibe_tasks.web.server import listen
from vibe_tasks.web.stream_following import follow
from vibe_tasks.web.stream_reading import StreamEvent
from vibe_tasks.web.stream_waiting import Waiting, WaitingLimits

PATIENCE = 60.0

TOKEN = "read-only"  # noqa: S105  of this test


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server that wants a token."""
    home = tmp_path_factory.mktemp("stream client") / "home"
    with running_web(home, api_tokens=f"read:me:{TOKEN}") as running:
        yield running


async def next_of(stream: EventStream, number: int) -> list[StreamEvent]:
    """So many events."""
    async with asyncio.timeout(PATIENCE):
        return [await anext(stream) for _ in range(number)]


async def until(condition: Any) -> None:
    """Wait for what this loop does."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  what it looks at has no event
            await asyncio.sleep(0.01)


def ids(events: Sequence[StreamEvent]) -> list[int]:
    return [each.id for each in events]


@asynccontextmanager
async def server_of(web: Web, port: int) -> AsyncIterator[str]:
    """A server on this port, started and ended beside the loop."""
    serving = served(a_server(web.ledger)[1], port)
    url = await asyncio.to_thread(serving.__enter__)
    try:
        yield url
    finally:
        await asyncio.to_thread(serving.__exit__, None, None, None)


@contextmanager
def scripted(
    *connections: Sequence[Any], refusals: Sequence[int] = ()
) -> Iterator[tuple[str, list[str]]]:
    """A server that refuses some clients with these statuses, then says these messages to one
    after the other and hangs up; to the last one it listens on. Its address, and the paths that
    were asked for.
    """
    left, asked, done = list(connections), [], threading.Event()
    refused = list(refusals)

    def greet(connection: ServerConnection, _request: Request) -> Response | None:
        return connection.respond(refused.pop(0), "no") if refused else None

    def handle(connection: ServerConnection) -> None:
        asked.append(connection.request.path if connection.request else "")
        for each in left.pop(0):
            connection.send(each if isinstance(each, (str, bytes)) else json.dumps(each))
        if not left:
            done.wait(PATIENCE)

    with serve(handle, "127.0.0.1", 0, process_request=greet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.socket.getsockname()[1]}", asked
        finally:
            done.set()
            server.shutdown()
            thread.join(PATIENCE)


def old(*numbers: int) -> dict[str, Any]:
    """What a server of version 1 begins with."""
    return {"type": "initial", "data": [{"id": n, "hook_event_type": "x"} for n in numbers]}


def happened(number: int, kind: str = "x") -> dict[str, Any]:
    return {"type": "event", "data": {"id": number, "hook_event_type": kind}}


def test_a_restart_of_the_server_loses_and_doubles_nothing(web: Web) -> None:
    """What happened while it was away comes when it is back, on the same port."""
    said: list[str] = []
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]

    async def scenario() -> None:
        first = write(web.ledger, 3)
        async with EventStream(
            f"http://127.0.0.1:{port}", token=TOKEN, sessions=["one", "three"], tell=said.append,
            uniform=lambda low, _: low,
        ) as stream:  # fmt: skip
            await until(lambda: said)
            async with server_of(web, port):
                begun = await next_of(stream, 3)
                second = write(web.ledger, 2, kind="JOB_DEAD")
                heard = await next_of(stream, 2)
            await until(lambda: not stream.statistics().connected)
            third = write(web.ledger, 700, kind="PreToolUse") + write(web.ledger, 1, session="two")
            async with server_of(web, port):
                missed = await next_of(stream, 700)
                fourth = write(web.ledger, 1, session="three")
                missed += await next_of(stream, 1)
            assert ids(begun)[-3:] == first
            assert [each.live for each in begun + heard] == [False] * 3 + [True] * 2
            assert (ids(heard), {each.name for each in heard}) == (second, {"critical"})
            assert ids(missed) == [*third[:-1], *fourth]
            found = stream.statistics()
            assert (found.reconnects, found.gaps, found.doubles, found.last_id) == (
                1, 0, 0, fourth[0],
            )  # fmt: skip
            assert [each["id"] for each in stream.buckets.events() if each["priority"] == 2] == (
                second
            )

    asyncio.run(scenario())
    assert [line.split()[0] for line in said[:4]] == ["cannot", "connected", "lost", "connected"]


def test_a_slow_program_keeps_priority_events(web: Web) -> None:
    """Both where it leaves them lying, and where even the server had no room for them."""

    async def scenario(limits: BacklogLimits) -> None:
        web.services.hub._limits = limits
        kept = BucketLimits(priority=5, regular=7, overflow=Overflow.OLDEST)
        async with EventStream(web.url, token=TOKEN, sessions=["slow"], limits=kept) as stream:
            stream._waiting = Waiting(WaitingLimits(regular=10, priority=5))
            await until(lambda: stream._reading.begun)
            grave: list[int] = []
            for _ in range(5):
                body = {"text": "x" * 200_000}
                grave += await asyncio.to_thread(
                    write, web.ledger, 20, session="slow", payload=body
                )
                await asyncio.to_thread(write, web.ledger, 100, session="slow", kind="PreToolUse")
            found: list[StreamEvent] = []
            async with asyncio.timeout(PATIENCE * 2):
                while not found or found[-1].id < grave[-1]:
                    found += await stream.take(1)
                    await asyncio.sleep(0)
            heard = ids(found)
            assert heard == sorted(set(heard))
            assert [each for each in heard if each in set(grave)] == grave
            assert stream.statistics().reconnects > 0  # for what the server had no room for
            held = stream.buckets.statistics()
            assert (held.priority <= 5, held.regular <= 7) == (True, True)

    before = web.services.hub._limits
    try:
        asyncio.run(scenario(BacklogLimits(regular=5, priority=5)))
    finally:
        web.services.hub._limits = before


def test_a_server_of_version_1_is_understood() -> None:
    """One that says it cannot speak 2 as well as one that knows of no versions; after a break
    doubles are told by their ids, and what may be missing is said.
    """
    connections = [
        [{"type": "error", "supported": [1]}, old(1, 2), happened(3, "Stop")],
        [old(1, 2, 3, 4), happened(5)],
        [old(90, 91), happened(91), happened(92)],
    ]

    async def scenario() -> None:
        with scripted(*connections) as (url, asked):
            async with EventStream(url, min_priority=1) as stream:
                found = await next_of(stream, 8)
                held = stream.statistics()
        assert ids(found) == [1, 2, 3, 4, 5, 90, 91, 92]
        assert [each.id for each in found if each.after_gap] == [90]
        assert [each.id for each in found if each.level] == [3]
        assert (held.protocol, held.reconnects, held.gaps, held.doubles) == (1, 2, 1, 4)
        assert asked[0] == "/stream?min_priority=1&protocol=2"

    asyncio.run(scenario())


def test_what_makes_no_sense_does_no_harm() -> None:
    """Neither nonsense, nor messages of a later version, nor a text that is cut off."""
    nonsense = ["{", b"\x00\xff", "[1]", {"type": "later", "data": {}}, {"type": "event"}, "x" * 99]

    async def scenario() -> None:
        with scripted([*nonsense, old(1), *nonsense, happened(2)]) as (url, _):
            async with EventStream(url, protocol=1) as stream:
                assert ids(await next_of(stream, 2)) == [1, 2]
                assert stream.statistics().ignored == 12

    asyncio.run(scenario())


def test_a_stream_without_following_ends(web: Web) -> None:
    """After what the server begins with; a program without a loop gets it in one piece."""
    wanted = write(web.ledger, 2, session="once")
    taken: list[StreamEvent] = []

    def take(events: Sequence[StreamEvent]) -> bool:
        taken.extend(events)
        return True

    options: dict[str, Any] = {"token": TOKEN, "sessions": ["once"], "follow": False}
    follow(EventStream(web.url, **options), take)
    assert (ids(taken), [each.level for each in taken]) == (wanted, [1, 1])

    async def scenario() -> None:
        stream = EventStream(web.url, **options)
        assert [each.id async for each in stream] == wanted
        await stream.close()
        unused = EventStream(web.url)
        await unused.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("token", "words"), [("", "wants a token"), ("wrong", "does not accept this token")]
)
def test_a_server_that_does_not_let_us_in_ends_it(web: Web, token: str, words: str) -> None:
    """To try again would change nothing."""
    with pytest.raises(AccessError, match=words):
        follow(EventStream(web.url, token=token), lambda _: True)


def test_only_a_refusal_for_good_ends_it() -> None:
    """A server that is overloaded is tried again; where there is no stream there will be none."""
    with scripted([old(1)], refusals=[503, 429]) as (url, _):
        follow(EventStream(url, uniform=lambda *_: 0.0), lambda _: False)
    with (
        scripted([old(1)], refusals=[404]) as (url, _),
        pytest.raises(UnavailableError, match=r"no event stream .*404"),
    ):
        follow(EventStream(url), lambda _: True)


def test_the_documented_program_works(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of the page, at another address."""
    (example,) = [each.text for each in blocks("python") if "EventStream(" in each.text]
    monkeypatch.setenv("VIBE_API_TOKEN", TOKEN)
    write(web.ledger, 1, session="documented", kind="PLAN_FAILED")
    assert "http://127.0.0.1:4000" in example
    exec(example.replace("http://127.0.0.1:4000", web.url), {})  # noqa: S102  a page of ours


def test_patience_comes_to_its_end() -> None:
    """Where somebody waits for an answer."""
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    clock = iter(range(1000))
    stream = EventStream(
        f"http://127.0.0.1:{port}", patience=5.0, uniform=lambda *_: 0.0,
        monotonic=lambda: float(next(clock)),
    )  # fmt: skip
    with pytest.raises(UnavailableError, match="does not answer"):
        follow(stream, lambda _: True)


def test_events_wake_who_looks_at_the_ledger_anyway(web: Web) -> None:
    """And nobody is woken where there is no server, or one that does not let us in."""
    for stream in (None, EventStream(web.url)):
        with Nudges(stream) as nudges:
            nudges.wait(0.01)
    stream = EventStream(web.url, token=TOKEN, sessions=["nudge"])
    with Nudges(stream) as nudges:
        write(web.ledger, 1, session="nudge")
        nudges.wait(PATIENCE)
        assert stream.statistics().received == 1
