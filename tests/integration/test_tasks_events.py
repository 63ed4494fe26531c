"""Handlers of events and the telling of people, by real workers."""

from __future__ import annotations

import hmac
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, databases, ready, running_cluster
from tests.plan_jobs import prepared
from tests.processes import until
from tests.webhook_server import Received, Reply, webhook_server
from vibe_tasks.escalation import COMMAND, WEBHOOK, signature
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.store import event_handlers, events
from vibe_tasks.store.engine import Transaction

KEY = "shared with the receiver"
HURRY = "UPDATE jobs SET backoff_until = backoff_until - 60 WHERE kind = 'event'"
TELLING = "SELECT name, status, attempt, error FROM jobs WHERE kind = 'event' ORDER BY name, status"
TOLD = (
    "import pathlib, sys; file = pathlib.Path(sys.argv[1]).open('a'); "
    "file.write(sys.stdin.read() + chr(10))"
)


def answers() -> Any:
    """A receiver in trouble: never well for JOB_DEAD, at the third try for TASK_DEAD."""
    tries = {"JOB_DEAD": 0, "TASK_DEAD": 0}

    def answer(got: Received, _number: int) -> Reply:
        kind = got.headers["x-vibe-event"]
        tries[kind] += 1
        if kind == "JOB_DEAD":
            return Reply(status=503)
        return {1: Reply(status=500), 2: Reply(raw=b"")}.get(tries[kind], Reply())

    return answer


def rows(cluster: Cluster, statement: str) -> list[tuple[Any, ...]]:
    with cluster.ledger.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(statement)]


def hurried(cluster: Cluster, count: int) -> bool:
    """Let no retry wait; whether so many jobs that tell somebody have ended."""
    with cluster.ledger.begin() as connection:
        connection.exec_driver_sql(HURRY)
    ended = [row for row in rows(cluster, TELLING) if row[1] in {"completed", "failed"}]
    return len(ended) >= count


def escalated(connection: Transaction) -> list[tuple[str, str]]:
    found = [each for each in events.recent(connection) if each["hook_event_type"] == "ESCALATED"]
    return sorted((each["payload"]["type"], each["payload"]["by"]) for each in found)


@pytest.mark.parametrize("database", databases("sqlite"))
def test_a_tasks_death_reaches_people(
    request: pytest.FixtureRequest, tmp_path: Path, database: str
) -> None:
    """P4: each event once, signed, tried again until it is taken or a dead letter; webhook and
    command do not disturb each other; a handler of the user's is retried alike.
    """
    told, log = tmp_path / "told", tmp_path / "log"
    with webhook_server(answers()) as server, running_cluster(request, database) as cluster:
        settings = {
            "VIBE_ESCALATION_WEBHOOK": server.url,
            "VIBE_ESCALATION_SECRET": KEY,
            "VIBE_ESCALATION_COMMAND": shlex.join([sys.executable, "-c", TOLD, str(told)]),
            "no_proxy": "127.0.0.1",
        }
        ready(cluster.start_worker("code,control", environ=settings))
        cluster.dispatcher()
        with cluster.ledger.begin() as connection:
            events.record(
                connection, "Overheard", session="s", summary="",
                payload={"task": "t", "log": str(log), "fails": 1},
            )  # fmt: skip
        plan = prepared(
            tmp_path, agents={"sh": {"type": "command", "argv": ["false"]}},
            defaults={"max_retries": 1}, tasks=[{"id": "a", "title": "Do A"}],
        )  # fmt: skip
        submission = submit_plan(cluster.ledger, plan)
        cluster.module("publisher").publish(cluster.app, cluster.ledger, submission.following)
        until(lambda: hurried(cluster, 5))

        found = rows(cluster, TELLING)
        assert [row[:3] for row in found] == [
            ("cluster_jobs.overhear", "completed", 2),
            (WEBHOOK, "completed", 3), (WEBHOOK, "failed", 4),
            (COMMAND, "completed", 1), (COMMAND, "completed", 1),
        ]  # fmt: skip
        assert "503" in found[2][3]
        assert WEBHOOK in {row["name"] for row in cluster.dead_letters().values()}
        assert log.read_text().splitlines() == ["Overheard t 0", "Overheard t 1"]

        for kind, tries in (("TASK_DEAD", 3), ("JOB_DEAD", 4)):
            got = server.of(kind)
            assert len(got) == tries
            assert len({each.headers["x-vibe-delivery"] for each in got}) == 1
            assert len({each.body for each in got}) == 1
            for each in got:
                moment = int(each.headers["x-vibe-timestamp"])
                right = signature(each.body, timestamp=moment, secret=KEY)
                assert hmac.compare_digest(each.headers["x-vibe-signature"], right)
            assert got[0].message["plan"]["id"] == submission.plan_id
            assert got[0].message["task"] == {"id": "a", "title": "Do A"}
        messages = [json.loads(line) for line in told.read_text().splitlines()]
        assert sorted(each["type"] for each in messages) == ["JOB_DEAD", "TASK_DEAD"]
        with cluster.ledger.read() as connection:
            assert escalated(connection) == [
                ("JOB_DEAD", "command"), ("TASK_DEAD", "command"), ("TASK_DEAD", "webhook"),
            ]  # fmt: skip

        # A worker without the settings, the last that started for this lane: nobody is told.
        cluster.module("subscriptions").renew(cluster.app, ["control"])
        with cluster.ledger.read() as connection:
            known = [each.handler for each in event_handlers.subscriptions(connection)]
        assert known == ["cluster_jobs.overhear"]
