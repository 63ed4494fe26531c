"""`vibe jobs explain` on a real ledger; `test_waiting` has what is decided without one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.brokers import running_broker
from tests.homes import forget, own_home
from tests.ledgers import backdate, claim, middle, new_job, row, submit
from tests.plan_jobs import job_of, prepared, to_deploy
from vibe_tasks.cli.main import cli
from vibe_tasks.errors import CircuitBreakerOpenError
from vibe_tasks.flow import control
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.store import breakers, chords, fleet, held, jobs, lanes, workers
from vibe_tasks.store.engine import Database
from vibe_tasks.store.job_rows import SHORTEST
from vibe_tasks.tasks import resources, whereabouts
from vibe_tasks.tasks.queues import own_queue


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A ledger with a senior and two other workers of lane `code`, one of them full."""
    # What comes soon in a deployment must not come while a busy machine looks.
    monkeypatch.setenv("VIBE_LEASE_SECONDS", "600")
    monkeypatch.setenv("VIBE_REPUBLISH_SECONDS", "600")
    with own_home(tmp_path, monkeypatch):
        opened = resources.ledger()
        register(opened, "old@h", tier="senior", capacity=1, labels=["gpu"])
        register(opened, "w@h", tier="standard", capacity=4)
        register(opened, "full@h", tier="standard", capacity=2, active=2, labels=["gpu"])
        yield opened


def register(ledger: Database, name: str, *, active: int = 0, **values: Any) -> None:
    """A worker of lane `code`."""
    with ledger.begin() as connection:
        known = workers.Registered(worker=name, host="h", process=name)
        workers.register(connection, known, ["code"], **values)
        workers.beat(connection, name, active=active)


def explain(job_id: str, *options: str) -> str:
    """What the command prints."""
    result = CliRunner().invoke(cli, ["jobs", "explain", job_id, *options], prog_name="vibe")
    assert result.exit_code == 0, result.output
    return result.stdout


def explained(job_id: str) -> dict[str, Any]:
    """The same as JSON."""
    found: dict[str, Any] = json.loads(explain(job_id, "--json"))
    return found


def test_a_waiting_job_shows_each_candidate_and_term(ledger: Database) -> None:
    """And the choice as of now, with who is no candidate and why."""
    submit(ledger, new_job(id="hard", effort=4, labels={"gpu": 5, "ssd": 3}))
    found = explained("hard")
    assert found["decision"] == {
        "choice": "old@h",
        "why": "the best score of 2 workers with a free slot",
        "candidates": [
            {
                "worker": "old@h",
                "score": 65,
                "terms": {"free slots": 10, "tier": 50, "priority": 0, "label gpu": 5},
            },
            {
                "worker": "w@h",
                "score": 20,
                "terms": {"free slots": 40, "tier": -20, "priority": 0},
            },
        ],
    }
    assert found["others"] == [{"worker": "full@h", "why": "full, 2 of 2"}]
    assert found["decided"] == "now"
    assert found["why"] == "broker", "no stack runs in this home"
    text = explain("hard")
    assert text.startswith("hard waits: the broker does not answer; ")
    assert "decided   now: old@h, the best score of 2 workers with a free slot\n" in text
    assert "asks for  +5 for gpu; +3 for ssd\n" in text
    assert "CANDIDATE  SCORE  FREE SLOTS  TIER  PRIORITY  LABEL GPU\n" in text
    assert "w@h        20     40          -20   0         -\n" in text


def test_why_it_waits_is_told(ledger: Database) -> None:
    """For a label that nobody has, a worker that is full, a paused lane, a moment."""
    submit(ledger, new_job(id="a", required=("tpu",)), new_job(id="b", required=("gpu",)))
    submit(ledger, new_job(id="c"), new_job(id="d", delay=600))
    with ledger.begin() as connection:
        held.hold_for_worker(connection, ["a", "b"])
        workers.drain(connection, "old@h")
        lanes.pause(connection, "code")
        assert jobs.claim(connection, "c", worker="w@h", lease=9) is None
    assert explained("a")["waits"] == "no worker of lane code has tpu"
    assert explained("a")["decision"]["why"] == "no worker with tpu"
    assert {each["why"] for each in explained("a")["others"]} == {"it drains", "it has no tpu"}
    assert explained("b")["decision"] == {
        "choice": None, "why": "the only worker with gpu is full", "candidates": [],
    }  # fmt: skip
    assert explained("c")["waits"] == "lane code is paused"
    assert explain("c").startswith("c waits: lane code is paused; `vibe lanes resume code`\n")
    assert explained("d")["waits"].startswith("until ")
    nobody = "for no worker in particular (the only worker with gpu is full)"
    assert f"decided   now: {nobody}\n" in explain("b")


def test_a_started_job_shows_what_was_recorded(ledger: Database) -> None:
    """Whatever the workers look like now; and of a job that nobody routed, who ran it."""
    submit(ledger, new_job(id="routed"), new_job(id="claimed"))
    why = {"choice": "gone@h", "why": "the only worker with a free slot", "candidates": []}
    with ledger.begin() as connection:
        assert jobs.claim(connection, "routed", worker="w@h", lease=9, routing=why)
        assert jobs.claim(connection, "claimed", worker="w@h", lease=9)
    found = explained("routed")
    assert (found["decided"], found["decision"], found["worker"]) == (
        "when it was sent", why, "w@h",
    )  # fmt: skip
    assert "decided   when it was sent: gone@h, the only worker" in explain("routed")
    assert explained("claimed")["decision"] is None
    assert "worker    w@h\n" in explain("claimed")


def whys(*job_ids: str) -> list[str]:
    """The reasons of these jobs."""
    return [explained(job_id)["why"] for job_id in job_ids]


def test_a_blocked_job_names_what_comes_before_it(ledger: Database, tmp_path: Path) -> None:
    """Tasks that it needs, dead ones too; a person; the members of a chord."""
    plan = prepared(tmp_path, deploy={"approval": "manual"})
    plan_id = submit_plan(ledger, plan).plan_id
    needing, needed = job_of(ledger, "b", "dev"), job_of(ledger, "a", "dev")
    assert explain(needing).startswith(f"{needing} waits: for a, which it needs\n")
    deploy = to_deploy(ledger, tmp_path, "a")
    assert explained(deploy)["waits"] == "for an approval: vibe plans approve todo a"
    with ledger.begin() as connection:
        connection.exec_driver_sql("UPDATE tasks SET status = 'dead' WHERE id = 'a'")
        chords.open_chord(connection, "g", body_id="body", members=["x", "y"], takes_results=True)
    submit(ledger, new_job(id="body", blocked=True), new_job(id="other", blocked=True))
    assert whys(needing, deploy, "body", "other", needed) == [
        "need is dead", "approval", "members", "other work", "done",
    ]  # fmt: skip
    assert explained("body")["waits"] == "for 2 members of its chord to complete"
    with ledger.read() as connection:
        assert jobs.list_jobs(connection, where={"plan_id": plan_id})


def test_a_job_that_is_put_off_says_until_when_and_why(ledger: Database) -> None:
    """After a failure, by itself, for an open breaker; and one that is too late."""
    submit(ledger, *(new_job(id=name, max_retries=3) for name in ("failed", "snoozed", "shut")))
    submit(ledger, new_job(id="late", start_within=60.0))
    backdate(ledger, "late", ["start_by"], 61)
    for name in ("failed", "snoozed", "shut"):
        claim(ledger, name)
    with ledger.begin() as connection:
        jobs.fail_job(connection, "failed", 1, "boom", uniform=middle, wait=60)
        jobs.snooze_job(connection, "snoozed", 1, 60, "not before noon")
        breakers.trip(connection, "api", 60.0, "too many errors")
        jobs.snooze_job(connection, "shut", 1, 60, CircuitBreakerOpenError.text("api"))
    assert whys("failed", "snoozed", "shut", "late") == ["backoff", "snoozed", "breaker", "late"]
    assert ", 1 failure of 3 so far: boom" in explain("failed")
    assert ": not before noon\n" in explain("snoozed")
    assert "for circuit breaker api, which lets a few calls try in" in explain("shut")
    with ledger.begin() as connection:
        jobs.wake(connection, "boom")
        breakers.trip(connection, "api", 60.0, "usage limit reached")
    claim(ledger, "failed")
    with ledger.begin() as connection:
        jobs.snooze_job(connection, "failed", 2, 60, "usage limit reached")
    assert whys("failed") == ["breaker"], "who met the limit first waits with its words"


def test_a_lane_and_a_key_say_what_is_in_the_way(ledger: Database) -> None:
    """Held or about to be: the limit, the rate, the key and who has it, the turn that has come."""
    for lane in ("limited", "rated", "keyed"):
        with ledger.begin() as connection:
            known = workers.Registered(worker=f"{lane}@h", host="h", process=lane)
            workers.register(connection, known, [lane], tier="standard", capacity=9)
    with ledger.begin() as connection:
        lanes.limit(connection, "limited", concurrency=1)
        lanes.limit(connection, "rated", rate=0.001)
    for lane, key in (("limited", None), ("rated", None), ("keyed", "k")):
        for number in (1, 2):
            submit(ledger, new_job(id=f"{lane}{number}", lane=lane, concurrency_key=key))
        claim(ledger, f"{lane}1")
    assert whys("limited2", "rated2", "keyed2") == ["limit", "rate", "key"]
    for name in ("limited2", "keyed2"):
        with ledger.begin() as connection:
            assert jobs.claim(connection, name, worker="w@h", lease=9) is None
    assert whys("limited2", "keyed2") == ["limit", "key"]
    assert explained("keyed2")["waits"] == "its concurrency key 'k' is busy with job keyed1"
    for name in ("limited1", "keyed1"):
        with ledger.begin() as connection:
            jobs.complete_job(connection, name, 1, None)
    assert whys("limited2", "keyed2") == ["turn", "turn"]


def test_what_a_lane_lacks_is_named(ledger: Database) -> None:
    """A worker, one that stays, the function, the labels, or one with them that is free."""
    with ledger.begin() as connection:
        for name, lane, functions in (("n@h", "news", ["b"]), ("d@h", "old", None)):
            known = workers.Registered(worker=name, host="h", process=name)
            workers.register(
                connection, known, [lane], tier="standard", capacity=1, functions=functions
            )
        workers.drain(connection, "d@h")
        fleet.want(connection, "@none-1", "none", slots=1, status="online")  # it does not run
    lanes_of = {"nobody": "none", "drains": "old", "unknown": "news", "labels": "news"}
    submit(ledger, *(new_job(id=name, lane=lane, required=("tpu",) if name == "labels" else ())
                     for name, lane in lanes_of.items()))  # fmt: skip
    submit(ledger, new_job(id="busy", required=("gpu",)))
    with ledger.begin() as connection:
        workers.drain(connection, "old@h")
        held.hold_for_worker(connection, ["busy"])
    assert whys(*lanes_of) == ["nobody", "draining", "function", "labels"]
    assert whys("busy") == ["labels busy"]
    assert "VIBE_IMPORTS" in explained("unknown")["mend"]


def test_the_broker_says_where_the_message_is(
    ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind others, in a worker's own queue, nowhere any more; or it was never sent."""
    submit(ledger, *(new_job(id=name) for name in ("line", "own", "lost")), published=True)
    submit(ledger, new_job(id="new"), new_job(id="fresh"))
    backdate(ledger, "new", ["status_updated_at"], -3600)
    with ledger.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET published_at = vibe_now() WHERE id = 'fresh'")
    for name in ("line", "lost"):
        backdate(ledger, name, ["published_at"], 3600)

    def message(job_id: str) -> str:
        return json.dumps({"headers": {"id": job_id, "ledger_job": 1.0}})

    with running_broker() as (url, client):
        key = "code\x06\x163"  # of priority normal
        client.lpush(key, "no message", message("lines"), message("line"), message("last"))
        client.lpush(key.replace("code", own_queue("w@h")), message("own"))
        monkeypatch.setenv("VIBE_BROKER_URL", url)
        monkeypatch.setenv("VIBE_DATABASE_URL", ledger.url)
        forget()
        assert whys("line", "own", "lost", "fresh", "new") == [
            "in line", "own queue", "lost", "ready", "unsent",
        ]  # fmt: skip
        assert explained("line")["waits"] == (
            "for a free worker, behind 2 messages of its priority"
        )
        assert "worker w@h" in explained("own")["waits"]
        backdate(ledger, "new", ["status_updated_at"], 7200)
        assert whys("new") == ["dispatcher"]
        with ledger.begin() as connection:
            for name, capacity in (("old@h", 1), ("w@h", 4)):
                workers.beat(connection, name, active=capacity)
        assert whys("line") == ["full"]
        monkeypatch.setattr(whereabouts, "MOST", 1)  # a long queue is not read to its end
        monkeypatch.setattr(whereabouts, "BITE", 1)
        assert explained("line")["waits"].endswith(" are full")
    assert whys("line") == ["broker"]
    monkeypatch.setenv("VIBE_BROKER_URL", "sentinel://127.0.0.1:1")
    forget()
    assert whys("line") == ["full"], "its lists are on another server"


def test_what_became_of_a_job_is_its_answer(ledger: Database) -> None:
    """It runs, its worker is gone, it is done, dead, cancelled and by whom, archived."""
    names = ("runs", "gone", "done", "dead", "cancelled")
    submit(ledger, *(new_job(id=name, max_retries=1) for name in names))
    for name in names[:-1]:
        claim(ledger, name)
    backdate(ledger, "gone", ["lease_until"], 60)
    with ledger.begin() as connection:
        jobs.complete_job(connection, "done", 1, 2)
        jobs.fail_job(connection, "dead", 1, "boom", uniform=middle)
    control.cancel_job(ledger, "cancelled", "wrong branch", by=resources.person())
    assert whys(*names) == ["runs", "lease over", "done", "dead", "cancelled"]
    by = resources.person().actor
    assert f" by {by}: wrong branch; `vibe jobs retry cancelled`" in explain("cancelled")
    assert "dead is dead: since " in explain("dead")
    assert "; `vibe dlq retry dead` brings it back\n" in explain("dead")
    backdate(ledger, "done", ["status_updated_at", "created_at"], 40 * 86_400)
    archived = CliRunner().invoke(cli, ["db", "archive", "--jobs-days", "30"])
    assert archived.exit_code == 0, archived.output
    assert "it is in the archive" in explain("done")


def test_an_unknown_id_is_told_the_near_miss(ledger: Database) -> None:
    """One wrong letter of a beginning, and of a whole id; nothing where nothing is near."""
    submit(ledger, new_job(id="1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"), new_job(id="nightly"))
    assert row(ledger, "nightly")["status"] == "pending"

    def refused(job_id: str) -> str:
        result = CliRunner().invoke(cli, ["jobs", "explain", job_id], prog_name="vibe")
        assert (result.exit_code, result.stdout) == (2, "")
        return result.stderr

    assert "did you mean '1b9d6bcd'" in refused("1b9d7bcd")
    assert "did you mean 'nightly'" in refused("nigthly")
    assert "did you mean" not in refused("ffffffff")
    assert f"at least {SHORTEST} characters" in refused("1b9")
