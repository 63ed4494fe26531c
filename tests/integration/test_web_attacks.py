"""What strangers try: bad tokens, other pages, huge and slow bodies, tricks with paths and heads.

Each on a real server and a real socket. Script in text that the dashboard shows is tested with the
dashboard.
"""

from __future__ import annotations

import json
import logging
import re
import socket
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.processes import until
from tests.web import Web, running_web
from vibe_tasks.web.answers import SAFE_HEADERS
from vibe_tasks.web.rates import WRONG_TOKENS

ADMIN, READER, CI = "hidden-admin", "hidden-reader", "hidden-ci"

PAGE = "http://localhost:5173"
"""A page of somebody else's that may use the server."""

LIMIT = 100_000

UPGRADE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server that wants tokens."""
    with running_web(
        tmp_path_factory.mktemp("closed"), api_token=ADMIN,
        api_tokens=[f"read:grafana:{READER}", f"operate:ci:{CI}"], web_origins=PAGE,
        web_max_body=LIMIT, log_level="DEBUG",
    ) as web:  # fmt: skip
        yield web


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """One that waits for nobody; what is sent at once has arrived when it looks first."""
    home = tmp_path_factory.mktemp("hasty")
    with running_web(home, api_token=ADMIN, web_patience=0.3) as web:
        yield web


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server without tokens, where everybody on this machine may do everything."""
    with running_web(tmp_path_factory.mktemp("opened")) as web:
        yield web


def said(web: Web, request: bytes, *, rest: bytes = b"", wait: bool = True) -> bytes:
    """All that the server answers to these bytes, until it closes or the answer is there."""
    with web.socket() as connection:
        connection.sendall(request)
        with suppress(ConnectionError):
            connection.sendall(rest)
        answer = b""
        with suppress(ConnectionError):
            while part := connection.recv(65_536):
                answer += part
                if not wait and b"\r\n\r\n" in answer:
                    break
        return answer


def status(answer: bytes) -> int:
    """The status of an answer; 0 where there was none."""
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(found[1]) if found else 0


def head(line: str, **headers: str) -> bytes:
    """The head of a request that ends its connection."""
    lines = [line, "Host: localhost", "Connection: close",
             *(f"{name}: {value}" for name, value in headers.items())]  # fmt: skip
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def bearer(secret: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"Authorization": f"Bearer {secret}"}


@pytest.mark.parametrize(
    "headers",
    [{}, bearer("wrong"), {"Authorization": "Bearer"}, bearer(ADMIN[:-1]), bearer(ADMIN + "x"),
     bearer(f"admin:admin:{ADMIN}"), bearer("x" * 50_000), {"Authorization": f"Basic {ADMIN}"},
     {"Authorization": ADMIN}, {"Cookie": f"token={ADMIN}"}, {"X-API-Key": ADMIN}],
)  # fmt: skip
def test_without_a_token_there_is_nothing_to_see(closed: Web, headers: dict[str, str]) -> None:
    """The API, the events and even what there is not are closed; no answer repeats a token."""
    with httpx.Client(base_url=closed.url, timeout=60) as client:
        for path in ("/api/v1/jobs", "/events/recent", "/nothing", "/api/v1/openapi.json",
                     f"/api/v1/jobs?token={ADMIN}&access_token={ADMIN}"):  # fmt: skip
            answer = client.get(path, headers=headers)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"].startswith("Bearer ")
            assert "hidden" not in answer.text
        assert client.post("/events", headers=headers, json={}).status_code == 401
        assert list(client.post("/events", headers=headers, json={}).json()) == ["error"]


def test_each_role_may_do_its_own(closed: Web) -> None:
    """Whatever changes something is refused to a reader, all of it, and what is there to look at
    is not; administration is refused to who operates.
    """
    with closed.with_token(ADMIN) as admin:
        paths = admin.get("/api/v1/openapi.json").json()["paths"]
    operations = [
        (method.upper(), re.sub(r"\{[^}]*\}", "x", path))
        for path, methods in paths.items()
        for method in methods
        if method in {"get", "post", "put", "patch", "delete"}
    ]
    changes = [each for each in operations if each[0] != "GET"]
    assert changes
    with closed.with_token(READER) as reader, closed.with_token(CI) as ci:
        for method, path in changes:
            answer = reader.request(method, path)
            assert (answer.status_code, method, path) == (403, method, path)
        assert reader.post("/events", json={}).status_code == 403
        assert reader.get("/events/recent").status_code == 200
        assert reader.get("/api/v1/config").status_code == 403
        assert ci.get("/api/v1/config").status_code == 403
        assert ci.post("/events", json={}).status_code == 400


def test_who_guesses_tokens_is_not_heard_for_a_while(closed: Web) -> None:
    """Their right one neither; others are not held up, nor is who shows an old one for ever."""
    elsewhere = httpx.HTTPTransport(local_address="127.0.0.9")
    with httpx.Client(base_url=closed.url, transport=elsewhere, timeout=60) as guesser:
        for _ in range(WRONG_TOKENS + 5):
            assert guesser.get("/api/v1/jobs", headers=bearer("old")).status_code == 401
        for number in range(WRONG_TOKENS):
            guesser.get("/api/v1/jobs", headers=bearer(f"guess-{number}"))
        answer = guesser.get("/events/recent", headers=bearer(ADMIN))
        assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (429, True)
        assert guesser.get("/healthz").status_code == 200
    with closed.with_token(ADMIN) as client:
        assert client.get("/events/recent").status_code == 200


def test_too_many_requests_are_refused(tmp_path: Path) -> None:
    """With the time to wait; events are not counted, they have limits of their own."""
    with running_web(tmp_path, web_rate=0.000_001) as web:
        assert web.client.get("/healthz").status_code == 200
        answer = web.client.get("/healthz")
        assert (answer.status_code, int(answer.headers["retry-after"]) > 900_000) == (429, True)
        assert [web.client.post("/events", json={}).status_code for _ in range(3)] == [400] * 3


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": ""},
     {"Origin": "http://localhost.evil.example"}, {"Sec-Fetch-Site": "cross-site"}],
)  # fmt: skip
def test_a_foreign_page_changes_nothing(opened: Web, headers: dict[str, str]) -> None:
    """A form, a script's simple request, a WebSocket: its browser says where it comes from."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
        body = {"content": b"{}", "headers": {**headers, "Content-Type": kind}}
        assert opened.client.post("/events", **body).status_code == 403
        assert opened.client.delete("/api/v1/cache", headers=headers).status_code == 403
    answer = opened.client.get("/stream", headers={**headers, **UPGRADE})
    assert answer.status_code == 403
    asks = {"Access-Control-Request-Method": "POST", **headers}
    answer = opened.client.options("/events", headers=asks)
    assert (answer.status_code, "access-control-allow-origin" in answer.headers) == (403, False)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.7", ""])
def test_a_foreign_name_of_our_address_opens_nothing(opened: Web, host: str) -> None:
    """DNS rebinding: to the browser such a page is ours. Reading is refused too, and the files."""
    for path in ("/", "/healthz", "/events/recent", "/stream"):
        answer = said(opened, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), wait=False)
        assert status(answer) == 403, path
    assert status(said(opened, b"GET /events/recent HTTP/1.0\r\n\r\n")) == 403


def test_a_proxy_opens_nothing_to_others(opened: Web, closed: Web) -> None:
    """Who asks for somebody else asks for more than this machine, and needs a token."""
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        relayed = {name: "10.0.0.7"}
        assert opened.client.get("/events/recent", headers=relayed).status_code == 403
        with closed.with_token(READER) as reader:
            assert reader.get("/events/recent", headers=relayed).status_code == 200


def test_a_named_page_may_use_us(closed: Web) -> None:
    """Its browser is told so, before and with the answer; it needs a token as everybody does."""
    headers = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    answer = closed.client.options("/events", headers=headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, PAGE)
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    with closed.with_token(READER) as reader:
        answer = reader.get("/events/recent", headers={"Origin": PAGE})
        assert (answer.status_code, answer.headers["vary"]) == (200, "Origin")
        assert answer.headers["access-control-allow-origin"] == PAGE
        foreign = reader.get("/events/recent", headers={"Origin": "http://evil.example"})
        assert "access-control-allow-origin" not in foreign.headers
    answer = closed.client.get("/events/recent", headers={"Origin": PAGE})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, PAGE)


def test_a_websocket_needs_a_token_too(closed: Web) -> None:
    """In a header, or as browsers can: as a subprotocol, which is not repeated."""

    def answer(**headers: str) -> bytes:
        ends = "Sec-WebSocket-Protocol"
        given = {ends if name == "subprotocols" else name: value
                 for name, value in headers.items()}  # fmt: skip
        lines = [f"{name}: {value}" for name, value in {**UPGRADE, **given}.items()]
        head = "\r\n".join(["GET /stream HTTP/1.1", "Host: localhost", *lines]) + "\r\n\r\n"
        return said(closed, head.encode(), wait=False)

    def code(secret: str) -> str:
        return f"vibe, bearer.{urlsafe_b64encode(secret.encode()).decode().rstrip('=')}"

    assert status(answer()) == 401
    assert status(answer(subprotocols="vibe")) == 401
    assert status(answer(subprotocols=code("wrong"))) == 401
    assert status(answer(Origin="http://evil.example", **bearer(READER))) == 403
    assert status(answer(**bearer(READER))) == 101
    taken = answer(subprotocols=code(READER), Origin=PAGE)
    assert status(taken) == 101
    assert b"sec-websocket-protocol: vibe\r\n" in taken.lower()


@pytest.mark.parametrize("length", [f"Content-Length: {LIMIT + 1}", f"Content-Length: {10**15}",
                                    "Transfer-Encoding: chunked"])  # fmt: skip
def test_a_huge_body_is_refused(closed: Web, length: str) -> None:
    """Before it was sent where its size is told, else as soon as it is too large."""
    request = head("POST /events HTTP/1.1", **bearer(CI)).replace(
        b"\r\n\r\n", f"\r\n{length}\r\n\r\n".encode()
    )
    rest = b"" if "Length" in length else (b"2000\r\n" + b"x" * 0x2000 + b"\r\n") * 14
    answer = said(closed, request, rest=rest)
    assert status(answer) == 413
    assert b"VIBE_WEB_MAX_BODY" in answer


def test_a_body_of_just_the_limit_is_taken(closed: Web) -> None:
    """As one piece and in many."""
    with closed.with_token(CI) as ci:
        event = {"source_app": "a", "session_id": "s", "hook_event_type": "h", "payload": {"x": ""}}
        event["payload"] = {"x": "y" * (LIMIT - len(json.dumps(event).encode()))}
        content = json.dumps(event).encode()
        assert len(content) == LIMIT
        assert ci.post("/events", content=content).status_code == 200
        pieces = (content[at : at + 999] for at in range(0, LIMIT, 999))
        assert ci.post("/events", content=pieces).status_code == 200


@pytest.mark.parametrize("length", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_a_slow_body_is_ended(hasty: Web, length: str) -> None:
    """The connection with it."""
    request = head("POST /events HTTP/1.1", **bearer(ADMIN)).replace(
        b"\r\n\r\n", f"\r\n{length}\r\n\r\n".encode()
    )
    answer = said(hasty, request, rest=b"{" if "Length" in length else b"1\r\n{\r\n")
    assert status(answer) == 408
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    "begun", [b"", b"G", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: b", b"\r\n\r\n",
              b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n",
              b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he"],
)  # fmt: skip
def test_a_slow_head_is_ended(hasty: Web, begun: bytes) -> None:
    """A connection that never gets to its point, or never to its next one, is closed."""
    answer = said(hasty, begun)
    assert status(answer) == (200 if b"healthz" in begun else 0)


def test_an_unread_body_does_not_hold_a_connection(hasty: Web) -> None:
    """Who was refused and never sends the rest is cut off all the same."""
    request = b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{"
    assert status(said(hasty, request)) == 401


@pytest.mark.parametrize("what", ["header", "headers", "line"])
def test_a_huge_head_is_refused(closed: Web, what: str) -> None:
    """No head fills the memory."""
    lots = b"a" * 1_000_000
    request = {
        "header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: " + lots,
        "headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: b\r\n" * 200_000,
        "line": b"GET /" + lots,
    }[what]
    assert status(said(closed, request[:60_000], rest=request[60_000:])) in {0, 431}


@pytest.mark.parametrize(
    "request_head",
    [b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3",
     b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked",
     b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1",
     b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1_0",
     b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A : b", b"GET /\x00 HTTP/1.1\r\nHost: localhost",
     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET / HTTP/9.9\r\nHost: localhost"],
)  # fmt: skip
def test_what_two_servers_could_read_differently_is_refused(
    closed: Web, request_head: bytes
) -> None:
    """Smuggling rests on such requests. The refusal has the safe headers as well."""
    answer = said(closed, request_head + b"\r\n\r\n{}")
    assert status(answer) == 400
    for name, value in SAFE_HEADERS:
        assert f"{name.lower()}: {value}".encode() in answer


TRICKS = (
    "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/..\\app.py",
    "/static/....//app.py", "/static/%252e%252e/app.py", "/static//etc/passwd",
    "/static/%2fetc%2fpasswd", "//etc/passwd", "/../../../../etc/passwd",
    "/static/css/../../app.py",
    "/static/index.html%00.js", "/static/", "/static", "/static/.", "/static/js/", "/static/%00",
    "/static/index.html/", "/app.py", "/static/%c0%ae%c0%ae/app.py", "/static/\u2025/app.py",
    "/static/file:///etc/passwd", "/web.json", "/ledger.db", "/.vibe/ledger.db", "/vibe.toml",
)  # fmt: skip


@pytest.mark.parametrize("path", TRICKS)
def test_only_the_dashboards_own_files_are_served(closed: Web, path: str) -> None:
    """No way of writing a path leads to another file."""
    for secret in (ADMIN, ""):
        answer = said(closed, head(f"GET {path} HTTP/1.1", **bearer(secret)))
        assert status(answer) in {400, 401, 404}, answer
        assert b"import" not in answer
        assert b"root:" not in answer


def test_the_log_holds_no_token(closed: Web, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever somebody puts one: a header, an address, a subprotocol. It tells who did what, on
    one line whatever the path holds.
    """
    caplog.set_level(logging.DEBUG)
    with closed.with_token(CI) as ci, closed.with_token("hidden-wrong") as stranger:
        ci.post("/events", json={})
        ci.post("/api/v1/nothing?token=hidden-query")
        stranger.get("/events/recent?token=hidden-query")
    said(closed, head("GET /a%0ab%1b[2J HTTP/1.1", **bearer(READER)))
    said(closed, b"GET /stream?token=hidden-query HTTP/1.1\r\nHost: localhost\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in {**UPGRADE, **bearer(READER)}.items()
    ).encode() + b"\r\n", wait=False)  # fmt: skip

    def ours() -> list[logging.LogRecord]:
        return [each for each in caplog.records if not each.name.startswith("http")]  # the client's

    def lines() -> list[str]:
        return [each.getMessage() for each in ours() if each.name == "vibe_tasks.web.access"]

    until(lambda: len(lines()) >= 5, seconds=60)  # each is written when its answer has gone
    assert not any("hidden" in f"{each.getMessage()} {each.exc_text}" for each in ours())
    assert any(
        re.match(r"POST /events 400 in \d+ ms, ci at 127\.0\.0\.1$", each) for each in lines()
    )
    assert any(each.startswith("POST /api/v1/nothing 404 ") for each in lines())
    assert any("/events/recent 401" in each and "nobody at" in each for each in lines())
    assert all(each.isprintable() and each.isascii() for each in lines())
    assert any("/a%0ab%1b[2J" in each for each in lines())


def test_many_half_open_connections_stop_nobody(closed: Web) -> None:
    """While hundreds say nothing, others are served."""
    idle = [socket.create_connection(("127.0.0.1", closed.port), timeout=60) for _ in range(300)]
    try:
        assert closed.client.get("/healthz").status_code == 200
    finally:
        for each in idle:
            each.close()
