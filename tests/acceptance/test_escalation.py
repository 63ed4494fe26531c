"""A plan that fails on one machine: whoever is to hear of it does, before the command ends."""

from __future__ import annotations

from tests.acceptance.plan_folder import make_plan
from tests.acceptance.vibe_command import Vibe
from tests.webhook_server import Reply, webhook_server


def test_a_failed_run_tells_its_owner(vibe: Vibe):
    """`vibe run` ends when the webhook has taken what happened, though it was in trouble first."""
    plan = make_plan(vibe.folder, [{"id": "breaks", "prompt": "sys.exit(64)"}])
    with webhook_server(lambda _, number: Reply(status=200 if number else 502)) as server:
        run = vibe.run("run", plan, VIBE_ESCALATION_WEBHOOK=server.url, no_proxy="127.0.0.1")
    assert run.code == 1, run.err
    assert "about its events" in run.err
    told = [each.message for each in server.received]
    assert sorted(each["type"] for each in told) in (
        ["JOB_DEAD", "JOB_DEAD", "TASK_DEAD"], ["JOB_DEAD", "TASK_DEAD", "TASK_DEAD"],
    )  # fmt: skip
    assert {each["task"]["id"] for each in told} == {"breaks"}
    assert vibe.rows("SELECT status, count(*) FROM jobs WHERE kind = 'event' GROUP BY status") == [
        ("completed", 2)
    ]
