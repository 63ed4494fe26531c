"""The HTTP API does what the command line does, on the same ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.filled_ledger import HANDLER, WORKER, Filled, fill
from tests.ledgers import claim, middle, new_job, put_into, row, submit
from tests.plan_jobs import prepared
from tests.repositories import new_repository
from tests.web import Web, running_web
from vibe_tasks.flow import control
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store import jobs
from vibe_tasks.store.event_tables import job_logs

API = "/api/v1/"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server on SQLite, without a broker."""
    folder = tmp_path_factory.mktemp("api")
    with running_web(folder / "home", publish_timeout=0.05) as running:
        yield running


@pytest.fixture(scope="module")
def filled(web: Web, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """What is in its ledger."""
    return fill(web.ledger, tmp_path_factory.mktemp("filled"))


def get(web: Web, path: str, **query: Any) -> Any:
    """The JSON of a GET."""
    answer = web.client.get(API + path, params=query or None)
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(web: Web, path: str, body: Any = None, *, status: int = 200) -> Any:
    """The JSON that a POST is answered with."""
    answer = web.client.post(API + path, json={} if body is None else body)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def test_jobs_are_cancelled_and_retried(web: Web) -> None:
    """One by one; what is not as it must be is refused with 409, what is not there with 404."""
    job = put_into(web.ledger, JobStatus.PENDING)
    assert post(web, f"jobs/{job}/cancel", {"reason": "wrong branch"}) == {"cancelled": [job]}
    assert row(web.ledger, job)["error"] == "wrong branch"
    refused = post(web, f"jobs/{job}/cancel", status=409)
    assert refused["detail"] == f"job {job} is cancelled and cannot become cancelled"
    assert post(web, f"jobs/{job}/retry")["retried"] == [job]
    assert row(web.ledger, job)["status"] == "pending"
    assert post(web, f"jobs/{job}/retry", status=409)["title"] == "Conflict"
    assert post(web, "jobs/nothing/retry", status=404)["detail"] == "no job nothing"
    assert web.client.post(API + f"jobs/{job}/cancel").status_code == 200  # a body is not needed


def test_dead_letters_are_retried_and_discarded(web: Web) -> None:
    """One or many: all that are named must be dead letters, or nothing is done."""
    first, second, third, fourth = (put_into(web.ledger, JobStatus.FAILED) for _ in range(4))
    living = put_into(web.ledger, JobStatus.PENDING)
    assert post(web, f"dlq/{first}/retry")["retried"] == [first]
    assert post(web, f"dlq/{second}/discard")["discarded"] == [second]
    assert post(web, f"dlq/{living}/discard", status=409)["detail"].endswith("no dead letter")
    post(web, "dlq/retry", {"ids": [third, living]}, status=409)
    assert row(web.ledger, third)["status"] == "failed"
    done = post(web, "dlq/retry", {"ids": [third, fourth, third]})
    assert done == {"retried": [third, fourth], "refused": []}
    kept = put_into(web.ledger, JobStatus.FAILED)
    assert kept in post(web, "dlq/discard", {"all": True})["discarded"]
    assert get(web, "dlq")["items"] == []
    assert "ids, or all" in post(web, "dlq/discard", {}, status=400)["detail"]


def test_what_cannot_be_retried_is_told(web: Web, tmp_path: Path) -> None:
    """Of many dead letters one whose plan was replaced stays; the others go on all the same."""
    fine = put_into(web.ledger, JobStatus.FAILED)
    plan = submit_plan(web.ledger, prepared(tmp_path, name="replaced", defaults={"max_retries": 1}))
    with web.ledger.read() as connection:
        (found,) = jobs.list_jobs(
            connection, where={"plan_id": plan.plan_id, "task_id": "a", "kind": "dev"}
        )
    claim(web.ledger, found["id"])
    with web.ledger.begin() as connection:
        jobs.fail_job(connection, found["id"], 1, "boom", uniform=middle)
        control.replace_plan(connection, plan.plan_id)
    done = post(web, "dlq/retry", {"ids": [found["id"], fine]})
    assert done["retried"] == [fine]
    assert [(each["id"], "replaced" in each["why"]) for each in done["refused"]] == [
        (found["id"], True)
    ]
    again = put_into(web.ledger, JobStatus.PROCESSING)
    fail = {"attempt": 1, "error": "later", "retry_after": 600}
    submit(web.ledger, new_job(id="later", lane="later"))
    claim(web.ledger, "later")
    assert post(web, "jobs/later/fail", fail) == {"job_id": "later", "will_retry": True}
    until = r"until \d{4}-\d\d-\d\dT[\d:]{8}Z, 1 failure of 3 so far: later"
    assert re.fullmatch(until, get(web, "jobs/later")["waits"])
    assert get(web, f"jobs/{again}")["waits"] is None


def test_a_job_is_done_over_http(web: Web) -> None:
    """Claimed, kept and completed, or failed; an attempt that is over is refused with 409."""
    submit(web.ledger, new_job(id="far-1", lane="far", kwargs={"n": 1}), new_job(lane="far"))
    taken = post(web, "jobs/claim", {"lanes": ["near", "far"], "lease": 60})
    assert (taken["id"], taken["attempt"], taken["kwargs"]) == ("far-1", 1, {"n": 1})
    assert taken["worker"] == "local@http"
    until = post(web, "jobs/far-1/heartbeat", {"attempt": 1, "lease": 600})["lease_until"]
    assert until > taken["lease_until"]
    assert post(web, "jobs/far-1/complete", {"attempt": 2}, status=409)
    done = post(web, "jobs/far-1/complete", {"attempt": 1, "result": {"pages": 12}})
    assert done == {"completed": ["far-1"]}
    assert get(web, "jobs/far-1")["result"] == {"pages": 12}
    other = post(web, "jobs/claim", {"lanes": ["far"], "worker": "me", "wait": 0.3})
    fail = {"attempt": 1, "error": "no paper", "permanent": True}
    assert post(web, f"jobs/{other['id']}/fail", fail)["will_retry"] is False
    assert post(web, "jobs/claim", {"lanes": ["far"], "wait": 0.3}, status=204) is None


def test_lanes_are_governed(web: Web) -> None:
    """Null takes a limit away, one that is left out stays as it is."""
    paused = post(web, "lanes/slow/pause")
    assert paused["paused"] is True
    assert paused["warning"] == "no worker that is online serves lane slow"
    limits = {"concurrency": 2, "rate": "10/m", "scaling": {"max_size": 4, "up_age": 1.5}}
    answer = web.client.patch(API + "lanes/slow", json=limits).json()
    assert (answer["concurrency"], answer["rate"]) == (2, "10/m")
    assert answer["scaling"]["max_size"] == 4
    answer = web.client.patch(API + "lanes/slow", json={"rate": None}).json()
    assert (answer["concurrency"], answer["rate"], answer["paused"]) == (2, None, True)
    assert post(web, "lanes/slow/resume")["paused"] is False
    for wrong, status in (
        ({}, 400), ({"rate": "often"}, 400), ({"rate": "9999999999/s"}, 400),
        ({"scaling": {"min_size": 3, "max_size": 1}}, 400), ({"concurrency": 0}, 422),
        ({"speed": 1}, 422),
    ):  # fmt: skip
        assert web.client.patch(API + "lanes/slow", json=wrong).status_code == status, wrong
    assert post(web, "lanes/worker.x/pause", status=400)["detail"].startswith("no lane begins")


def test_workers_are_drained(web: Web, filled: Filled) -> None:
    """Though no broker answers: they hear of it with their next heartbeat."""
    assert filled.plan
    assert post(web, f"workers/{WORKER}/drain")["status"] in {"draining", "lost"}
    assert [each["worker_id"] for each in post(web, "workers/drain", {"names": [WORKER]})["items"]]
    missing = post(web, "workers/drain", {"names": [f"{WORKER}3"]}, status=404)
    assert "did you mean" in missing["detail"]
    assert post(web, "workers/nobody/drain", status=404)["detail"].startswith("no worker nobody")


def test_events_come_in_and_are_ruled(web: Web, filled: Filled) -> None:
    """A list is taken whole or not at all; rules and handlers are changed while all runs."""
    assert filled.plan
    event = {"source_app": "shop", "session_id": "s1", "payload": {"at": "ü"}, "colour": "red"}
    many = [event | {"hook_event_type": kind} for kind in ("Stop", "MyHook")]
    stored = post(web, "events", many)["items"]
    assert [(each["priority"], each["colour"]) for each in stored] == [(1, "red"), (0, "red")]
    assert get(web, "events", session_id="s1")["items"] == stored
    assert get(web, "events", session_id="s1", min_priority=1)["items"] == stored[:1]
    assert get(web, "events", after=stored[0]["id"], session_id="s1")["items"] == stored[1:]
    assert get(web, "events/recent", hook_event_type="MyHook")["items"] == stored[1:]
    assert "s1" in get(web, "events/filter-options")["session_ids"]
    for wrong in ([], {}, [event], "no"):
        assert post(web, "events", wrong, status=400)["detail"]
    assert post(web, "events", [*many, {}], status=400)["detail"].startswith("body[2]: missing")
    assert len(get(web, "events", session_id="s1")["items"]) == 2
    changed = {"regular_days": 3, "priorities": {"MyHook": 2}}
    rules = web.client.put(API + "events/rules", json=changed).json()["items"]
    assert {each["name"] for each in rules if each["changed"]} == set(changed)
    web.client.put(API + "events/rules", json=dict.fromkeys(changed)).raise_for_status()
    assert not any(each["changed"] for each in get(web, "events/rules")["items"])
    gone = web.client.delete(API + f"events/handlers/{HANDLER}")
    assert gone.json() == {"forgotten": HANDLER}
    assert web.client.delete(API + f"events/handlers/{HANDLER}").status_code == 400


def test_upkeep_is_done(web: Web) -> None:
    """History goes to the archive, results are forgotten, the fleet is looked at."""
    assert post(web, "cache/clear", {"cache": None}) == {"cleared": 0}
    assert "no cache resuls" in post(web, "cache/clear", {"cache": "resuls"}, status=400)["detail"]
    assert post(web, "scale/check", {"apply": True}) == {"items": [], "next": None}
    done = post(web, "db/archive", {"days": 0})
    assert done["moved"] == done["archive"]
    assert done["history"] == 0
    assert (done["jobs"]["moved"], done["deleted"], done["more"]) == (0, {}, False)
    taken = post(web, "db/vacuum", {})
    assert taken["after"]["size"] <= taken["before"]["size"] + taken["before"]["log"]
    assert taken["more"] is False
    assert get(web, "health/beat")["healthy"] is False
    assert get(web, "health/broker")["healthy"] is False
    assert web.client.get(API + "health/worker").status_code == 400


def test_the_log_of_a_job_grows(web: Web) -> None:
    """Whole pieces, in order; whoever has read some asks for what comes after."""
    submit(web.ledger, new_job(id="chatty"))
    claim(web.ledger, "chatty")
    assert get(web, "jobs/chatty/log") == {"items": [], "next": None}
    with web.ledger.begin() as connection:
        for attempt, seq in ((1, 1), (2, 1), (2, 2), (2, 3)):
            lines = [{"level": "INFO", "text": f"{attempt}.{seq}.{line}"} for line in (1, 2)]
            connection.execute(
                job_logs.insert().values(
                    job_id="chatty", attempt=attempt, seq=seq, at=1.0, lines=lines
                )
            )

    def texts(found: Any) -> list[str]:
        return [each["text"] for each in found["items"]]

    assert texts(get(web, "jobs/chatty/log", attempt=1)) == ["1.1.1", "1.1.2"]
    first = get(web, "jobs/chatty/log", limit=3)
    assert texts(first) == ["2.1.1", "2.1.2", "2.2.1", "2.2.2"]
    rest = get(web, "jobs/chatty/log", cursor=first["next"])
    assert (texts(rest), rest["next"]) == (["2.3.1", "2.3.2"], None)
    assert texts(get(web, "jobs/chatty/log", after=2)) == texts(rest)


def test_figures_over_time(web: Web) -> None:
    """Jobs that ended are counted in the step of their end, waits in that of their start."""
    before = get(web, "series", minutes=10)
    put_into(web.ledger, JobStatus.COMPLETED)
    put_into(web.ledger, JobStatus.FAILED)
    after = get(web, "series", minutes=10)
    assert after["step"] == 10.0
    assert len(after["points"]) == 60
    for name in ("completed", "failed"):
        counts = [sum(point[name] for point in found["points"]) for found in (before, after)]
        assert counts[1] == counts[0] + 1
    assert any(point["wait_p95"] is not None for point in after["points"])


def test_a_change_is_shown(web: Web, filled: Filled) -> None:
    """Of a job that has a commit, against where the work began."""
    for job in (filled.dev, filled.deploy):
        found = get(web, f"jobs/{job}/diff")
        assert "+I am a" in found["diff"]
        assert found["base"] != found["commit"]
    assert web.client.get(API + "jobs/report-1/diff").status_code == 404


def test_a_plan_is_submitted(web: Web, tmp_path: Path) -> None:
    """In YAML or JSON. What rests on the folder of a file is refused, with its place."""
    new_repository(tmp_path / "repo")
    plan = f"""
        version: 1
        name: over-http
        repo: {tmp_path / "repo"}
        agent: sh
        agents: {{sh: {{type: command, argv: ["true"]}}}}
        tasks: [{{id: a, prompt: a}}]
    """

    def sent(text: str | bytes, **query: Any) -> Any:
        return web.client.post(
            API + "plans", content=text, params=query, headers={"Content-Type": "application/yaml"}
        )

    first = sent(plan)
    assert first.status_code == 201
    again = sent(plan)
    assert (again.status_code, again.json()["resumed"]) == (200, True)
    assert again.json()["id"] == first.json()["id"]
    shown = get(web, "plans/over-http")
    assert [task["job"]["kind"] for task in shown["tasks"]] == ["dev"]
    changed = sent(plan.replace("prompt: a", "prompt: b"))
    assert (changed.status_code, "file has changed" in changed.json()["detail"]) == (400, True)
    fresh = sent(plan, fresh=True)
    assert fresh.json()["set_aside"] == "vibe/over-http.1"
    for wrong, said in (
        (plan.replace(f"repo: {tmp_path}/", "repo: "), "plan:4: repo: must be an address"),
        (plan.replace('"true"', '"{plan_dir}/a.sh"'), "needs the plan file's folder"),
        (plan + "\n        colour: red", "colour"),
        ("- nonsense", "plan"),
    ):
        refused = sent(wrong)
        assert (refused.status_code, said in refused.json()["detail"]) == (422, True), refused.text
        assert "\n" not in refused.json()["detail"]
    many = sent(plan.replace("prompt: a", "promt: a") + "\n        colour: red").json()
    assert len(many["errors"]) > 1
    assert many["detail"] == "{at}: {error}".format(**many["errors"][0])
    assert sent(b"\xff").status_code == 400
    away = sent(plan.replace(f"repo: {tmp_path}/repo", "repo: file:///nowhere/repo.git"))
    assert away.status_code in {400, 502}
    assert post(web, "plans/over-http/cancel") == {"plan": "over-http", "cancelled_jobs": 1}
    assert post(web, "plans/over-http/cancel", status=409)


def test_a_person_lets_work_go_on(web: Web, filled: Filled) -> None:
    """Exactly the deploys that were shown are approved; a budget is raised."""
    budget = API + f"plans/{filled.plan}/budget"
    raised = web.client.patch(budget, json={"usd": 9.5, "tokens": None}).json()
    assert raised["budgets"][0]["limit"] == {"usd": 9.5, "tokens": None, "seconds": None}
    account = next(each for each in get(web, "budgets")["items"] if each["plan"] == filled.plan)
    assert account["budgets"][0]["limit"]["usd"] == 9.5
    assert get(web, "budgets?waiting=true")["items"] == []
    assert get(web, f"plans/{filled.plan}?branch=false")["commit"] is None
    assert web.client.patch(budget, json={}).status_code == 400
    assert web.client.patch(budget, json={"task": "a", "agent": "sh", "usd": 1}).status_code == 400
    waiting = [each for each in get(web, "approvals")["items"] if each["plan_id"] == filled.plan]
    assert [(each["plan"], each["job_id"]) for each in waiting] == [("todo", filled.deploy)]
    path = f"plans/{filled.plan}/approve"
    assert post(web, path, {"jobs": [filled.dev]}, status=409)
    assert post(web, path, {"task": "b"}, status=409)
    assert "did you mean" not in post(web, path, {"task": "nothing"}, status=404)["detail"]
    assert web.client.post(API + path).status_code == 400  # nothing is approved unasked
    for wrong in ({}, {"jobs": []}, {"all": True, "task": "a"}):
        assert "or all: true" in post(web, path, wrong, status=400)["detail"]
    assert post(web, path, {"jobs": [filled.deploy]})["approved"] == [filled.deploy]
    assert get(web, f"jobs/{filled.deploy}")["status"] == "pending"
