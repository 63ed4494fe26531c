"""The applications that workers of a role are started with."""

from __future__ import annotations

from importlib import import_module

import pytest

from vibe_tasks.tasks.app import app
from vibe_tasks.tasks.job import ROLE


@pytest.mark.parametrize("lane", ["code", "control", "deploy", "qa"])
def test_a_role_is_the_application_with_its_lane(lane: str) -> None:
    """`celery -A workers.LANE worker` needs no `-Q`, and takes on no lane beside it."""
    before = app.conf.task_queues, app.conf.get(ROLE)
    try:
        role = import_module("workers.role").serving([lane])
        assert [queue.name for queue in role.conf.task_queues] == [lane]
        assert role.conf[ROLE]
        assert import_module(f"workers.{lane}").app is app
    finally:
        app.conf.task_queues, app.conf[ROLE] = before
