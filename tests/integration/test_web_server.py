"""The web server: health, files, errors, where commands find it, and how it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx2 as httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.exc import DataError, OperationalError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.processes import until
from tests.web import Web, running_web, served
from vibe_tasks import errors
from vibe_tasks.settings import Settings
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.version import SCHEMA_VERSION
from vibe_tasks.web import static_files
from vibe_tasks.web.answers import SAFE_HEADERS
from vibe_tasks.web.health import Remembered, broker_state, ledger_state
from vibe_tasks.web.place import FILE, Place, _is_at, find_server
from vibe_tasks.web.problems import PROBLEM, add_handlers
from vibe_tasks.web.run import OTHER_FILES, allow_connections
from vibe_tasks.web.server import MOST_CONNECTIONS, listen, open_door, server_of, url_of


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server without tokens."""
    with running_web(tmp_path_factory.mktemp("home")) as running:
        yield running


def test_every_answer_is_safe_to_show(web: Web) -> None:
    """A page of ours runs our files alone and is in nobody's frame; nothing is guessed, nothing is
    kept that holds data, and no server's name is told.
    """
    for method, path, status in (
        ("GET", "/", 200), ("GET", "/healthz", 200), ("GET", "/nothing", 404),
        ("DELETE", "/healthz", 405), ("GET", "/events/recent", 200), ("POST", "/events", 400),
    ):  # fmt: skip
        answer = web.client.request(method, path)
        assert answer.status_code == status, path
        assert {name: answer.headers[name] for name, _ in SAFE_HEADERS} == dict(SAFE_HEADERS)
        assert "server" not in answer.headers
        cached = "no-cache" if path == "/" else "no-store"
        assert answer.headers["cache-control"].endswith(cached), path
    assert "'unsafe" not in dict(SAFE_HEADERS)["Content-Security-Policy"]


def test_the_dashboards_files_are_fetched_once(web: Web) -> None:
    """Each has a tag of its own by which a browser asks whether it is still the same; all are of a
    type that it will run.
    """
    files = static_files.static_files()
    assert {"/", "/static/js/main.js"} <= set(files)
    assert len({file.etag for file in files.values()}) == len(files)
    for path, file in files.items():
        answer = web.client.get(path)
        assert (answer.content, answer.headers["etag"]) == (file.content, file.etag)
        assert answer.headers["content-type"].partition(";")[0] == file.kind
        assert file.kind in {"text/html", "text/css", "text/javascript", "image/svg+xml"}
        for known in (file.etag, f'"x", W/{file.etag}', "*"):
            again = web.client.get(path, headers={"If-None-Match": known})
            assert (again.status_code, again.content) == (304, b"")
        assert web.client.get(path, headers={"If-None-Match": '"x"'}).status_code == 200


def test_hidden_and_unknown_files(tmp_path: Path) -> None:
    """A folder's hidden files are not served; what has no known type is downloaded."""
    (tmp_path / ".secret").write_text("x")
    (tmp_path / "a.unknown").write_text("x")
    (found,) = static_files.static_files(tmp_path).items()
    assert (found[0], found[1].kind) == ("/static/a.unknown", "application/octet-stream")


def test_ready_is_who_reaches_the_right_ledger(web: Web) -> None:
    """A missing broker is told and is no obstacle; a ledger of another version is one."""
    assert web.client.get("/healthz").json() == {"status": "ok"}
    ready = {"status": "ok", "ledger": "ok", "broker": "unavailable"}
    assert web.client.get("/readyz").json() == ready
    change = text("UPDATE alembic_version SET version_num = :version")
    with web.ledger.begin() as connection:
        connection.execute(change, {"version": "9999"})
    try:
        until(lambda: web.client.get("/readyz").status_code == 503, seconds=60)
        assert web.client.get("/readyz").json()["ledger"] == "wrong schema"
        assert web.client.get("/healthz").status_code == 200
    finally:
        with web.ledger.begin() as connection:
            connection.execute(change, {"version": f"{SCHEMA_VERSION:04d}"})
    until(lambda: web.client.get("/readyz").status_code == 200, seconds=60)


def test_the_state_of_a_ledger(database: Database, tmp_path: Path) -> None:
    """The right one, an empty one, and one that is away; strangers are told no more than that."""
    assert ledger_state(database) == "ok"
    with database.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    assert ledger_state(database) == "wrong schema"
    away = open_database(f"sqlite:///{tmp_path / 'nowhere' / 'ledger.db'}")
    assert ledger_state(away) == "unavailable"


def test_the_state_of_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not there."""
    from vibe_tasks.tasks import resources  # noqa: PLC0415

    monkeypatch.setattr(resources, "broker_url", lambda: "redis://127.0.0.1:1/0")
    assert broker_state() == "unavailable"


def test_an_answer_is_remembered_for_a_while() -> None:
    """However often strangers ask, the ledger is asked once."""
    clock, asked = [0.0], []
    question = Remembered(
        lambda: asked.append(1) or str(len(asked)), fresh=1.0, monotonic=lambda: clock[0]
    )
    assert [question(), question()] == ["1", "1"]
    clock[0] = 1.0
    assert question() == "2"


class Body(BaseModel):
    """What the broken application takes."""

    number: int


RAISED = {
    "unknown": (errors.UnknownJobError("no job x"), 404, "no job x"),
    "move": (errors.IllegalMoveError("completed is final"), 409, "completed is final"),
    "lease": (errors.LeaseLostError("lost"), 409, "lost"),
    "double": (errors.DuplicateJobError("twice"), 409, "twice"),
    "plan": (errors.PlanError("wrong", file="a.yaml", line=3), 422, "a.yaml:3: wrong"),
    "input": (errors.RepositoryError("no repository"), 400, "no repository"),
    "schema": (errors.SchemaError("older"), 503, "older"),
    "ours": (errors.GitError("hidden"), 500, "an error of ours, see the log"),
    "away": (OperationalError("hidden", {}, Exception("hidden")), 503, "the ledger did not do it"),
    "value": (DataError("hidden", {}, Exception("hidden")), 422, "a value cannot be kept"),
    "large": (OverflowError("hidden"), 422, "a value cannot be kept"),
    "http": (HTTPException(418, "tea"), 418, "tea"),
    "bug": (KeyError("hidden"), 500, "an error of ours, see the log"),
}  # fmt: skip


def ask(method: str, path: str, content: bytes = b"") -> httpx.Response:
    """The answer of an application all of whose routes fail."""
    app = FastAPI()
    add_handlers(app)

    def fail(name: str) -> None:
        raise RAISED[name][0]

    def take(body: Body) -> Body:
        return body

    def same() -> None:
        raise HTTPException(304, headers={"ETag": '"a"'})

    app.add_api_route("/api/{name}", fail)
    app.add_api_route("/events/{name}", fail)
    app.add_api_route("/same", same)
    app.add_api_route("/body", take, methods=["POST"])

    async def answer() -> httpx.Response:
        inside = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=inside, base_url="http://test") as client:
            kind = {"Content-Type": "application/json"}
            return await client.request(method, path, content=content, headers=kind)

    return asyncio.run(answer())


@pytest.mark.parametrize("name", RAISED)
def test_an_error_is_a_problem_document(name: str) -> None:
    """Of the right status, with a line that helps and nothing from inside; clients of /events get
    theirs as ever.
    """
    _, status, detail = RAISED[name]
    answer = ask("GET", f"/api/{name}")
    found = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert found["detail"].startswith(detail)
    assert (found["type"], found["status"]) == ("about:blank", status)
    assert ("retry-after" in answer.headers) is (status == 503)
    old = ask("GET", f"/events/{name}")
    assert (old.status_code, old.json()) == (status, {"error": found["detail"]})
    assert "hidden" not in answer.text + old.text


def test_other_answers_that_are_raised() -> None:
    """What is still the same has no body, and what is not valid says where."""
    answer = ask("GET", "/same")
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", '"a"')
    answer = ask("POST", "/body", b'{"number": "x"}')
    assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, "body.number")
    assert answer.json()["detail"].startswith("body.number: ")
    assert ask("POST", "/body", b"{").status_code == 422
    assert ask("POST", "/same").status_code == 405


def test_commands_find_the_server_of_their_home(tmp_path: Path) -> None:
    """As long as it lives: a file that a killed one left leads nowhere."""
    assert find_server(tmp_path) is None
    first, second = Place(tmp_path), Place(tmp_path)
    assert first.take("http://127.0.0.1:1")
    content = json.loads((tmp_path / FILE).read_text())
    assert content == {"url": "http://127.0.0.1:1", "pid": os.getpid()}
    assert find_server(tmp_path) == "http://127.0.0.1:1"
    assert not second.take("http://127.0.0.1:2")
    second.leave()
    assert find_server(tmp_path) == "http://127.0.0.1:1"
    first.leave()
    first.leave()
    assert not (tmp_path / FILE).exists()

    (tmp_path / FILE).write_text('{"url": "http://127.0.0.1:9", "pid": 1, "old": "and longer"}')
    assert find_server(tmp_path) is None
    assert second.take("http://127.0.0.1:2")
    assert find_server(tmp_path) == "http://127.0.0.1:2"
    (tmp_path / FILE).unlink()
    assert find_server(tmp_path) is None
    assert first.take("http://127.0.0.1:3")
    (tmp_path / FILE).write_text("[")
    assert find_server(tmp_path) is None
    (tmp_path / FILE).unlink()
    first.leave()
    second.leave()


def test_a_file_that_vanishes_while_it_is_taken(tmp_path: Path) -> None:
    """Between opening and locking it the last server may have removed it."""
    path = tmp_path / FILE
    path.write_text("{}")
    with path.open() as gone:
        path.unlink()
        assert not _is_at(path, gone.fileno())
        path.write_text("{}")
        assert not _is_at(path, gone.fileno())


def test_an_address_that_cannot_be_had_is_one_line() -> None:
    """In use, unknown, or reachable by others without a token."""
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(errors.InputError, match=rf"127\.0\.0\.1:{port}: .*--port"):
            listen("127.0.0.1", port)
    with pytest.raises(errors.InputError, match=r"cannot listen on no-such-host\.invalid"):
        listen("no-such-host.invalid", 0)
    with pytest.raises(errors.SettingsError, match="VIBE_API_TOKEN"):
        open_door(Settings(web_host="0.0.0.0", web_port=0))  # noqa: S104
    for host in ("0.0.0.0", "::1"):  # noqa: S104
        with open_door(Settings(web_host=host, web_port=0, api_token="a")) as opened:  # noqa: S106
            port = opened.getsockname()[1]
            name = "127.0.0.1" if "." in host else "[::1]"
            assert url_of(opened) == f"http://{name}:{port}"
            # Without it asyncio leaves Nagle's algorithm on, and each answer waits for 40 ms.
            assert opened.proto == socket.IPPROTO_TCP


def test_it_ends_though_somebody_is_connected(tmp_path: Path) -> None:
    """Listeners are told, idle connections closed; nobody holds the server up."""
    with ExitStack() as stack:
        with running_web(tmp_path) as web:
            idle = stack.enter_context(web.socket())
            url = f"ws://127.0.0.1:{web.port}/stream"
            listener = stack.enter_context(connect(url, open_timeout=60))
            assert json.loads(listener.recv(timeout=60))["type"] == "initial"
        with pytest.raises(ConnectionClosed):
            listener.recv(timeout=60)
        assert listener.close_code == 1012  # service restart: come again
        assert idle.recv(1) == b""


def test_a_server_ends_whatever_another_one_waits_for() -> None:
    """Two of one process: the time after which one ends the process is over once it has ended, and
    goes on while a handler of its own holds it up.
    """
    asked, may_go = threading.Event(), threading.Event()

    def wait(_request: Request) -> Response:
        asked.set()
        may_go.wait(120)
        return Response("done")

    app = Starlette(routes=[Route("/", wait)])
    stuck, other = server_of(app), server_of(app)
    with ThreadPoolExecutor(1) as pool, served(stuck) as url:
        try:
            answer = pool.submit(httpx.get, url, timeout=120)
            assert asked.wait(60)
            with served(other):
                other.end()
            assert other._last is not None
            assert other._last.finished.is_set()
            assert stuck._is_stuck()
        finally:
            may_go.set()
        assert answer.result(120).text == "done"


def test_it_may_have_as_many_connections_as_it_serves() -> None:
    """The usual limit of a process is a quarter of them; a hard limit stays one."""
    kind = resource.RLIMIT_NOFILE
    before = resource.getrlimit(kind)
    try:
        resource.setrlimit(kind, (1024, before[1]))
        allow_connections()
        wanted = MOST_CONNECTIONS + OTHER_FILES
        assert resource.getrlimit(kind) == (min(wanted, before[1]), before[1])
        resource.setrlimit(kind, before)
        allow_connections()
        assert resource.getrlimit(kind)[0] >= min(wanted, before[0])
    finally:
        resource.setrlimit(kind, before)


def test_the_log_tells_of_changes_and_refusals_alone(
    web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    """At the usual level; who only looks, and thousands of events a second, are no news."""
    caplog.set_level(logging.INFO, logger="vibe_tasks.web.access")
    web.client.get("/events/recent")
    web.client.post("/events", json={})
    web.client.get("/events/recent", headers={"Host": "evil.example"})
    web.client.put("/api/v1/nothing")

    def lines() -> list[str]:
        found = [each for each in caplog.records if each.name == "vibe_tasks.web.access"]
        return [each.getMessage() for each in found]

    until(lambda: len(lines()) == 2, seconds=60)  # each is written when its answer has gone
    assert [line.split(" in ")[0] for line in lines()] == [
        "GET /events/recent 403", "PUT /api/v1/nothing 404",
    ]  # fmt: skip
    assert "local at 127.0.0.1" in lines()[1]
