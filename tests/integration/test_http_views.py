"""What the HTTP API shows is what the command line shows, of the same ledger."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from tests.filled_ledger import WORKER, Filled, fill
from tests.web import Web, running_web
from vibe_tasks.cli.main import cli

MOVING = {"age", "elapsed", "wait", "wait_seconds", "oldest_seconds", "oldest_pending_seconds",
          "oldest_unsent_seconds", "seconds"}  # fmt: skip
"""Fields that differ from one look to the next."""

SPAN = re.compile(r"\d+(\.\d+)? (s|days)\b|\d+:\d\d (min|h)\b")
"""How long something has lasted, in words."""


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server on SQLite, without a broker; nothing here changes its ledger."""
    folder = tmp_path_factory.mktemp("views")
    with running_web(folder / "home", publish_timeout=0.05) as running:
        yield running


@pytest.fixture(scope="module")
def filled(web: Web, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """What is in its ledger."""
    return fill(web.ledger, tmp_path_factory.mktemp("filled"))


def told(*arguments: str) -> Any:
    """What the command prints with `--json`."""
    result = CliRunner().invoke(cli, [*arguments, "--json"], prog_name="vibe")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def still(value: Any) -> Any:
    """The value without what differs from look to look, and without what is empty: HTTP says so of
    fields that the command leaves out.
    """
    if isinstance(value, dict):
        shown = {name: still(each) for name, each in value.items() if name not in MOVING}
        return {name: each for name, each in shown.items() if each not in (None, [])}
    if isinstance(value, str):
        return SPAN.sub("…", value)
    return [still(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (("status",), "status"),
        (("jobs", "list"), "jobs"),
        (("jobs", "list", "--status", "failed", "--lane", "code"), "jobs?status=failed&lane=code"),
        (("jobs", "list", "--plan", "todo", "--task", "a", "--kind", "dev"),
         "jobs?plan=todo&task=a&kind=dev"),
        (("jobs", "show", "{dev}"), "jobs/{dev}"),
        (("jobs", "show", "{failed}"), "jobs/{failed}"),
        (("jobs", "explain", "{pending}"), "jobs/{pending}/explanation"),
        (("jobs", "explain", "{deploy}"), "jobs/{deploy}/explanation"),
        (("dlq", "list"), "dlq"),
        (("plans", "list"), "plans"),
        (("plans", "show", "todo"), "plans/todo"),
        (("plans", "budget", "todo"), "plans/todo/budget"),
        (("plans", "approve", "todo", "--diff"), "plans/todo/approvals?diff=true"),
        (("lanes", "list"), "lanes"),
        (("workers", "list"), "workers"),
        (("scale", "history"), "scale/history?limit=20"),
        (("cache", "stats"), "cache"),
        (("events", "handlers"), "events/handlers"),
        (("events", "rules"), "events/rules"),
        (("db", "check"), "db"),
        (("config",), "config"),
        (("doctor",), "doctor"),
        (("health", "worker", "--name", WORKER, "--max-age", "600"),
         f"health/worker?name={WORKER}&max_age=600"),
        (("health", "ledger"), "health/ledger"),
        (("health", "dispatcher", "--max-age", "600"), "health/dispatcher?max_age=600"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)  # fmt: skip
def test_http_shows_what_the_command_shows(
    web: Web, filled: Filled, command: tuple[str, ...], path: str
) -> None:
    """Field for field."""
    ids = {**{str(name): job for name, job in filled.jobs.items()}, "dev": filled.dev,
           "deploy": filled.deploy}  # fmt: skip
    answer = web.client.get("/api/v1/" + path.format_map(ids))
    assert answer.status_code == 200, answer.text
    mine = still(answer.json())
    theirs = still(told(*(word.format_map(ids) for word in command)))
    assert theirs, "nothing to compare"
    if isinstance(theirs, list):
        mine = mine["items"]
    assert mine == theirs
