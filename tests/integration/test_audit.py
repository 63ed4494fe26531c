"""What people do is written down: who, what, when and from where."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select, text, update

from tests.filled_ledger import HANDLER, WORKER, Filled, fill
from tests.homes import own_home
from tests.ledgers import new_job, put_into, row, submit
from tests.repositories import new_repository
from tests.web import Web, running_web
from vibe_tasks.cli.audit import since_of
from vibe_tasks.cli.main import cli
from vibe_tasks.errors import InputError
from vibe_tasks.flow import control
from vibe_tasks.jobs import JobStatus
from vibe_tasks.masking import MASK
from vibe_tasks.redaction import Redaction
from vibe_tasks.store import audit
from vibe_tasks.store.audit import By
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.operation_tables import audit as table
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.event_trimming import TrimmingTurns
from vibe_tasks.web.api.parts import key_of
from vibe_tasks.web.api.routers import PARTS, PREFIX

ANN = By(actor="ann", role="admin", source="http", origin="10.0.0.5")
WORK = {
    ("POST", "/jobs/claim"), ("POST", "/jobs/{job_id}/heartbeat"),
    ("POST", "/jobs/{job_id}/complete"), ("POST", "/jobs/{job_id}/fail"), ("POST", "/events"),
}  # fmt: skip
"""What workers and agents do: jobs have a history of their own, and events are one."""


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server on SQLite that knows who is who."""
    tokens = ["admin:ann:ann-secret", "operate:bob:bob-secret"]
    home = tmp_path_factory.mktemp("audit") / "home"
    with running_web(home, api_tokens=tokens, publish_timeout=0.05, web_rate=0) as running:
        yield running


@pytest.fixture(scope="module")
def filled(web: Web, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """What is in its ledger."""
    return fill(web.ledger, tmp_path_factory.mktemp("filled"))


def entries(ledger: Database, **wanted: Any) -> list[dict[str, Any]]:
    """Entries, newest first."""
    with ledger.read() as connection:
        return list(audit.entries(connection, **wanted))


def plan_text(folder: Path) -> str:
    """A plan that can be handed in over HTTP."""
    new_repository(folder / "sent")
    return json.dumps(
        {"version": 1, "name": "sent", "agent": "sh", "repo": str(folder / "sent"),
         "agents": {"sh": {"type": "command", "argv": ["true"]}},
         "tasks": [{"id": "a", "prompt": "a"}]}
    )  # fmt: skip


def calls(web: Web, filled: Filled, folder: Path) -> dict[tuple[str, str], Any]:
    """For each route that changes something: the path, the body, and what is written of it."""

    def job(status: JobStatus) -> str:
        return put_into(web.ledger, status)

    def some(verb: str, action: str, path: str = "dlq/{}") -> Any:
        dead = job(JobStatus.FAILED)
        return path.format(dead) + verb, {}, action, dead

    dead = [job(JobStatus.FAILED) for _ in range(2)]
    living, plan = job(JobStatus.PENDING), filled.plan
    return {
        ("POST", "/jobs/{job_id}/retry"): some("/retry", "job.retry", "jobs/{}"),
        ("POST", "/jobs/{job_id}/cancel"): (
            f"jobs/{living}/cancel", {"reason": "wrong"}, "job.cancel", living),
        ("POST", "/dlq/{job_id}/retry"): some("/retry", "job.retry"),
        ("POST", "/dlq/{job_id}/discard"): some("/discard", "job.discard"),
        ("POST", "/dlq/retry"): ("dlq/retry", {"ids": dead[:1]}, "job.retry", dead[0]),
        ("POST", "/dlq/discard"): ("dlq/discard", {"ids": dead[1:]}, "job.discard", dead[1]),
        ("POST", "/plans"): ("plans", plan_text(folder), "plan.submit", "sent-"),
        ("PATCH", "/plans/{plan}/budget"): (
            f"plans/{plan}/budget", {"usd": 9.0, "tokens": None}, "plan.budget", plan),
        ("POST", "/plans/{plan}/approve"): (
            f"plans/{plan}/approve", {"all": True}, "plan.approve", plan),
        ("POST", "/plans/{plan}/cancel"): (f"plans/{plan}/cancel", {}, "plan.cancel", plan),
        ("POST", "/lanes/{lane}/pause"): ("lanes/code/pause", {}, "lane.pause", "code"),
        ("POST", "/lanes/{lane}/resume"): ("lanes/code/resume", {}, "lane.resume", "code"),
        ("PATCH", "/lanes/{lane}"): (
            "lanes/code", {"concurrency": 3, "scaling": {"max_size": 2}}, "lane.limit", "code"),
        ("POST", "/workers/drain"): (
            "workers/drain", {"names": [WORKER]}, "worker.drain", WORKER),
        ("POST", "/workers/{name}/drain"): (
            f"workers/{WORKER}/drain", {}, "worker.drain", WORKER),
        ("POST", "/scale/check"): ("scale/check", {"apply": True}, "scale.apply", None),
        ("POST", "/cache/clear"): ("cache/clear", {"cache": "changes"}, "cache.clear", "changes"),
        ("PUT", "/events/rules"): (
            "events/rules", {"regular_keep": 5000}, "events.rule", "regular_keep"),
        ("DELETE", "/events/handlers/{handler}"): (
            f"events/handlers/{HANDLER}", None, "events.forget", HANDLER),
        ("POST", "/db/archive"): ("db/archive", {"days": 30}, "db.archive", None),
        ("POST", "/db/vacuum"): ("db/vacuum", {}, "db.vacuum", None),
    }  # fmt: skip


def test_every_route_that_changes_something_is_written_down(
    web: Web, filled: Filled, tmp_path: Path
) -> None:
    """With the token's name and role and the address that it came from. What workers do is told by
    the history of their jobs.
    """
    known = {
        (method, route.path)
        for part in PARTS for route in part.routes
        for method in getattr(route, "methods", ()) if method != "GET"
    }  # fmt: skip
    wanted = calls(web, filled, tmp_path)
    assert {*wanted} | WORK == known, f"{PREFIX}: who did it? (docs/security.md)"
    with web.with_token("ann-secret") as client:
        for (method, template), (path, body, action, target) in wanted.items():
            given = {"content": body} if isinstance(body, str) else {"json": body} if body else {}
            if method != "DELETE" and not given:
                given = {"json": {}}
            answer = client.request(method, f"{PREFIX}/{path}", **given)
            assert answer.status_code in {200, 201}, (template, answer.text)
            found = entries(web.ledger, limit=1)[0]
            assert found["action"] == action, template
            assert (found["target"] or "").startswith(target or ""), template
            who = (found["actor"], found["role"], found["source"], found["origin"])
            assert who == ("ann", "admin", "http", "127.0.0.1"), template
        listed = client.get(f"{PREFIX}/audit", params={"limit": 2, "action": "job"}).json()
        assert [each["action"].partition(".")[0] for each in listed["items"]] == ["job", "job"]
        assert key_of(listed["next"], int)
        more = client.get(
            f"{PREFIX}/audit", params={"limit": 2, "action": "job", "cursor": listed["next"]}
        ).json()
        assert more["items"][0]["id"] < listed["items"][1]["id"]
        since = {"since": listed["items"][0]["at"] + 3600}
        assert client.get(f"{PREFIX}/audit", params=since).json()["items"] == []
    with web.with_token("bob-secret") as client:
        assert client.get(f"{PREFIX}/audit").status_code == 403


def test_what_is_refused_leaves_no_entry(web: Web) -> None:
    """The entry is part of the transaction: it is undone with what it tells of."""
    done = put_into(web.ledger, JobStatus.COMPLETED)
    with web.with_token("ann-secret") as client:
        assert client.post(f"{PREFIX}/jobs/{done}/cancel", json={}).status_code == 409
    assert entries(web.ledger, target=done) == []


def test_entries_are_found_cut_and_cleaned(database: Database) -> None:
    """By target, its beginning too, actor, action and time; on both databases. Long details are
    cut, secrets are taken out of them, and what programs do by themselves is none.
    """
    url = database.engine.url.render_as_string(hide_password=False)
    ledger = open_database(url, redaction=Redaction(["hunter2!"]))
    try:
        submit(ledger, new_job(id="job-100%"), new_job(id="job-100x"), new_job(id="quiet"))
        control.cancel_job(ledger, "job-100%", "password hunter2! " + "x" * 5000, by=ANN)
        control.cancel_job(ledger, "job-100x", "no need", by=ANN)
        control.cancel_job(ledger, "quiet", "by a program")
        bob = By(actor="bob@build", source="cli", origin="build")
        odd = {"many": range(200), "list": list(range(200)), "odd": float("inf"), "none": None}
        odd["cut"] = "x" * (audit.LONGEST // 2 - 24) + "hunter2!" + "x" * 5000
        audit.note_apart(ledger, bob, "db.vacuum", None, odd)
        audit.note_apart(ledger, None, "db.vacuum")
    finally:
        ledger.close()
    newest, second, first = entries(database)
    assert (newest["details"]["odd"], newest["details"]["none"]) == ("inf", None)
    assert newest["details"]["list"][-1] == "… of 200"
    assert "hunt" not in newest["details"]["cut"]
    assert second["details"] == {"was": "pending", "reason": "no need"}
    assert MASK in first["details"]["reason"]
    assert "hunter2" not in str(first)
    assert len(first["details"]["reason"]) <= audit.LONGEST
    assert "hunter2" not in row(database, "job-100%")["error"]
    assert entries(database, target="job-100%") == [first]
    assert entries(database, target="job-1") == [second, first]
    assert entries(database, actor="bob@build") == [newest]
    assert entries(database, action="job.cancel", limit=1, before=second["id"]) == [first]
    assert entries(database, action="job", since=first["at"] - 1) == [second, first]
    assert entries(database, since=newest["at"] + 1000) == []


def test_old_entries_go_and_that_is_written_down(database: Database) -> None:
    """By age, in batches; the trail itself says how many went and up to when. 0 days: none go."""
    by = By(actor="w@h", source="upkeep", origin="h")
    for number in range(3):
        audit.note_apart(database, ANN, "lane.pause", f"lane-{number}")
    with database.begin() as connection:
        connection.execute(
            update(table).where(table.c.target != "lane-2").values(at=table.c.at - 90_000)
        )
    assert audit.trim(database, 0, by) == 0
    assert audit.trim(database, 1, by, most=0) == 0
    assert audit.trim(database, 1, by) == 2
    assert audit.trim(database, 1, by, most=5) == 0
    told, left = entries(database)
    assert (left["target"], told["action"], told["actor"]) == ("lane-2", audit.TRIMMED, "w@h")
    assert told["details"] == {"entries": 2, "until": told["details"]["until"], "days": 1}
    with database.begin() as connection:
        connection.execute(text("DROP TABLE audit"))
    audit.note_apart(database, ANN, "db.downgrade")  # an older schema has no such table


def vibe(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, arguments, prog_name="vibe")


def test_commands_are_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the system's user and the host, and from where they came there; `vibe audit list` tells
    it. The embedded stack deletes what is too old.
    """
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 55 192.0.2.1 22")
    monkeypatch.setenv("SUDO_USER", "carl")
    with own_home(tmp_path, monkeypatch):
        ledger = resources.ledger()
        filled = fill(ledger, tmp_path)
        dead, other, living = (
            put_into(ledger, each)
            for each in (JobStatus.FAILED, JobStatus.FAILED, JobStatus.PENDING)
        )
        for command in (
            f"jobs cancel {living} --reason wrong", f"jobs retry {living}", f"dlq retry {dead}",
            f"dlq discard {other}", "lanes pause qa", "lanes resume qa",
            "lanes limit qa --rate 5/s", f"plans budget {filled.plan} --usd 8",
            f"plans approve {filled.plan} --yes", f"plans cancel {filled.plan}",
            f"events forget {HANDLER}", "events rules regular_keep 70", "cache clear",
            "scale check --apply", "db archive --days 3",
        ):  # fmt: skip
            result = vibe(*command.split())
            assert result.exit_code == 0, (command, result.output)
        person, found = resources.person(), entries(ledger, limit=1)[0]
        assert (found["actor"], found["source"]) == (person.actor, "cli")
        assert found["origin"].endswith(", ssh from 192.0.2.7, sudo by carl")
        assert [each["action"] for each in entries(ledger)] == [
            "db.archive", "scale.apply", "cache.clear", "events.rule", "events.forget",
            "plan.cancel", "plan.approve", "plan.budget", "lane.limit", "lane.resume",
            "lane.pause", "job.discard", "job.retry", "job.retry", "job.cancel",
        ]  # fmt: skip
        listed = vibe("audit", "list", "--target", living, "--since", "1h", "--json")
        assert [each["action"] for each in json.loads(listed.stdout)] == ["job.retry", "job.cancel"]
        assert "lane.limit" in vibe("audit", "list", "--action", "lane").stdout
        assert vibe("audit", "list", "--actor", "nobody").stdout.startswith("nothing in ")
        with ledger.begin() as connection:
            connection.execute(update(table).values(at=table.c.at - 400 * 86_400))
        ticks = iter([0.0, 61.0, 61.0, 61.0])
        turns = TrimmingTurns(
            ledger, resources.settings(), monotonic=lambda: next(ticks), pause=lambda _: None
        )
        turns.take()
        assert [each["action"] for each in entries(ledger)] == [audit.TRIMMED]
        with ledger.read() as connection:
            assert connection.execute(select(table.c.source)).scalars().all() == ["upkeep"]


def test_moments_that_people_write() -> None:
    """A span back from now, a date, a time with its zone; anything else is refused in one line."""
    assert since_of("90m", now=10_000.0) == 4_600.0
    assert since_of(" 1d", now=86_400.0) == 0.0
    assert since_of("1970-01-02T00:00:00+00:00", now=0) == 86_400.0
    for text_ in ("soon", "5w", "", "2026-13-01", "-1h"):
        with pytest.raises(InputError, match="--since must be as"):
            since_of(text_, now=0)


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run as a number."""
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_123)
    assert resources.person("python").actor.startswith("uid 4000000123@")
