"""What holds for every route of the API: roles, cursors, ETags, and the documents."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from docs import generate
from tests.documents import text_of
from tests.ledgers import claim, middle, new_job, submit
from tests.web import Web, running_web
from vibe_tasks.errors import InputError
from vibe_tasks.store import jobs, plans, scale_decisions
from vibe_tasks.store.engine import Database
from vibe_tasks.store.events import record
from vibe_tasks.store.plan_list import list_plans
from vibe_tasks.store.scale_decisions import Entry
from vibe_tasks.store.series import percentile
from vibe_tasks.web.api.parts import cursor_of, key_of
from vibe_tasks.web.api.routers import PARTS, PREFIX, document

API = "/api/v1/"
TOKENS = {"read": "reader-secret", "operate": "operator-secret", "admin": "admin-secret"}
RANKS = ["read", "operate", "admin"]


@pytest.fixture
def web(tmp_path: Path, database: Database) -> Iterator[Web]:
    """A server on SQLite, and on PostgreSQL."""
    url = database.engine.url.render_as_string(hide_password=False)
    with running_web(tmp_path / "home", database_url=url, web_rate=0) as running:
        yield running


def test_every_route_asks_for_its_role(tmp_path: Path) -> None:
    """Nobody comes in without a token. Whoever may only read changes nothing, and sees neither
    settings nor what the doctor says; the role is the one in the OpenAPI document.
    """
    tokens = [f"{role}:{role}:{secret}" for role, secret in TOKENS.items()]
    with running_web(tmp_path / "home", api_tokens=tokens, web_rate=0) as web:
        operations = list(_operations())
        assert len(operations) > 50
        described = document()["paths"]
        for method, template in operations:
            role = described[template][method.lower()]["x-role"]
            admin = any(word in template for word in ("audit", "config", "doctor", "/db"))
            if method == "GET":
                assert role == ("admin" if admin else "read"), template
            else:
                assert role != "read", template
            path = re.sub(r"\{\w+\}", "nothing", template)
            assert web.client.request(method, path).status_code == 401, path
            for lower in RANKS[: RANKS.index(role)]:
                with web.with_token(TOKENS[lower]) as client:
                    assert client.request(method, path, json={}).status_code == 403, path
        with web.with_token(TOKENS["read"]) as client:
            assert client.get(API + "jobs").status_code == 200
            assert client.post("/events", json={}).status_code == 403
        with web.with_token(TOKENS["operate"]) as client:
            assert client.post(API + "lanes/code/pause").status_code == 200
            claimed = client.post(API + "jobs/claim", json={"lanes": ["code"]})
            assert claimed.status_code == 204


def _operations() -> Iterator[tuple[str, str]]:
    """Method and path of every route of the API."""
    for router in PARTS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for method in route.methods:
                yield method, PREFIX + route.path


def test_every_command_has_its_place_in_the_document() -> None:
    """A command has its endpoint, or the reason why it has none; every endpoint is one of the
    OpenAPI document, and has a description and a name of its own.
    """
    table = text_of("docs/http.md").partition("## What each command is")[2]
    said = dict(re.findall(r"^\| (`vibe .*?) \| (.*) \|$", table, re.MULTILINE))
    commands = {name for names in said for name in re.findall(r"`(vibe [a-z ]+)`", names)}
    groups = {context.parent.command_path for context in generate.commands() if context.parent}
    leaves = {context.command_path for context in generate.commands()} - groups
    assert leaves - commands == set(), "say in docs/http.md what they are over HTTP"
    paths = document()["paths"]
    known = {
        f"{verb.upper()} {path.removeprefix('/api/v1')}" for path in paths for verb in paths[path]
    }
    named = {each for text in said.values() for each in re.findall(r"`([A-Z]+ /[^`]*)`", text)}
    assert {each for each in named if not each.startswith("WS ")} <= known
    operations = [each for methods in paths.values() for each in methods.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    assert all(each["description"] and each["tags"] for each in operations)


def ids_of(web: Web, path: str, between: Callable[[], None], **query: Any) -> list[Any]:
    """The ids of a listing, read in pages of two; `between` is called after each."""
    found: list[Any] = []
    cursor: str | None = None
    while True:
        asked = {**query, "limit": 2} | ({"cursor": cursor} if cursor else {})
        answer = web.client.get(API + path, params=asked)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= 2
        found += [each["id"] for each in page["items"]]
        cursor = page["next"]
        if cursor is None:
            return found
        between()


def test_pages_have_no_gap_and_no_double(web: Web) -> None:
    """What was there when somebody began to read comes once, though more is added meanwhile."""
    ledger = web.ledger

    def add_job() -> None:
        job = new_job(max_retries=1)
        submit(ledger, job)
        claim(ledger, job.id)
        with ledger.begin() as connection:
            jobs.fail_job(connection, job.id, 1, "boom", uniform=middle)

    def add_plan() -> None:
        with ledger.begin() as connection:
            number = len(list_plans(connection))
            values = dict.fromkeys(
                ("name", "digest", "source", "plan_dir", "repo", "base_commit", "branch"), "x"
            )
            task = {"id": "a", "position": 0, "title": "", "status": "running", "spec": {},
                    "waiting_on": 0, "fix_round": 0, "max_fix_rounds": 1}  # fmt: skip
            plans.insert_plan(connection, {**values, "id": f"p{number}", "spec": {}}, [task], [])

    def add_decision() -> None:
        entry = Entry(
            lane="code", provisioner="virtual", before=1, target=2, reason="", figures={}, state={}
        )
        with ledger.begin() as connection:
            scale_decisions.write(connection, entry)

    for path, add in (
        ("jobs", add_job), ("dlq", add_job), ("plans", add_plan), ("scale/history", add_decision),
    ):  # fmt: skip
        for _ in range(5):
            add()
        before = ids_of(web, path, lambda: None)
        assert len(set(before)) == len(before) >= 5
        assert ids_of(web, path, add) == before, path


def test_pages_of_events_go_on(web: Web) -> None:
    """In the order of their ids, with what has come since. On PostgreSQL an event that is committed
    after one with a greater id is not passed by.
    """
    ledger = web.ledger
    first, second = threading.Event(), threading.Event()

    def write(kind: str, *, held: bool = False) -> None:
        with ledger.begin() as connection:
            record(connection, kind, session="s", payload={}, summary="")
            if held:
                first.set()
                assert second.wait(60)

    for number in range(5):
        write(f"E{number}")
    added = iter(range(3))

    def add() -> None:
        if next(added, None) is not None:
            write("Later")

    assert ids_of(web, "events", add, session_id="s") == list(range(1, 9))
    if ledger.is_sqlite:  # one writer at a time
        return
    late = threading.Thread(target=write, args=("Slow",), kwargs={"held": True})
    late.start()
    try:
        assert first.wait(60)
        write("Quick")
        assert ids_of(web, "events", lambda: None, after=8) == []
    finally:
        second.set()
        late.join(60)
    assert ids_of(web, "events", lambda: None, after=8) == [9, 10]


def test_an_unchanged_body_is_not_sent_again(tmp_path: Path) -> None:
    """Each GET has a weak ETag; whoever shows it, alone or among others, gets 304 without a body
    until something changes.
    """
    with running_web(tmp_path / "home") as web:
        first = web.client.get(API + "jobs")
        tag = first.headers["etag"]
        assert re.fullmatch(r'W/"[0-9a-f]{32}"', tag)
        for seen in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
            again = web.client.get(API + "jobs", headers={"If-None-Match": seen})
            assert (again.status_code, again.content) == (304, b""), seen
            assert again.headers["etag"] == tag
        submit(web.ledger, new_job())
        changed = web.client.get(API + "jobs", headers={"If-None-Match": tag})
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag
        assert "etag" not in web.client.get(API + "jobs/nothing").headers
        assert "etag" not in web.client.post(API + "lanes/code/pause").headers


def test_mistakes_are_told_in_words_that_help(tmp_path: Path) -> None:
    """A misspelt filter is refused rather than ignored; so is a body that does not say what it is,
    and one that is no JSON says where.
    """
    with running_web(tmp_path / "home", web_rate=0) as web:
        misspelt = web.client.get(API + "jobs?statuss=failed&limit=1")
        assert misspelt.status_code == 422
        assert misspelt.json()["detail"] == (
            "query.statuss: no such parameter, did you mean 'status'?"
        )
        assert "session_id, min_priority" in web.client.get(API + "events?x=1").json()["detail"]
        assert "has none" in web.client.get(API + "config?x=1").json()["detail"]
        assert web.client.get(API + "lanes?limit=5").status_code == 200  # as any listing
        for kind in ({}, {"Content-Type": "text/plain"}):
            answer = web.client.post(API + "jobs/claim", content=b'{"lanes": ["a"]}', headers=kind)
            assert answer.status_code == 415
            assert answer.json()["detail"] == "send Content-Type: application/json"
        for kind in ("application/json; charset=utf-8", "application/vnd.api+json"):
            answer = web.client.post(
                API + "jobs/claim", content=b"{bad", headers={"Content-Type": kind}
            )
            assert answer.status_code == 422
            assert answer.json()["detail"].endswith("line 1 column 2 (char 1)")
        assert "openapi.json" in web.client.get(API + "nothing").json()["detail"]
        assert web.client.get(API + "jobs/nothing").json()["detail"].startswith("no job nothing")
        answer = web.client.delete(API + "plans")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
        assert answer.json()["detail"] == "DELETE is not for this path: GET, POST"


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "é", "e30", cursor_of(), cursor_of(1, 2), cursor_of("1"), cursor_of(1.5),
     cursor_of(-1), cursor_of(2**63), cursor_of(float("nan")), "W3RydWVd", "8J-YgA"],
)  # fmt: skip
def test_a_wrong_cursor_is_refused(cursor: str) -> None:
    """Also one of another listing, and numbers that a database cannot compare with."""
    with pytest.raises(InputError, match="cursor"):
        key_of(cursor, int)


def test_cursors_are_opaque_and_whole() -> None:
    """What went in comes out again, whatever its type."""
    assert key_of(None, int) is None
    assert key_of(cursor_of(12), int) == (12,)
    assert key_of(cursor_of(1.25, "todo-ü"), float, str) == (1.25, "todo-ü")
    with pytest.raises(InputError):
        key_of(cursor_of(1.0, "a\0"), float, str)


def test_percentiles() -> None:
    """The nearest value above; of one value all are that value, of none there is none."""
    assert percentile([], 0.5) is None
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([float(each) for each in range(100)], 0.95) == 95.0
    assert percentile([1.0, 2.0], 1.0) == 2.0
