"""A plan is run and watched in the dashboard: a dead letter is brought back and deploys are
approved there, until all of it is deployed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.plan_folder import branch_files, make_plan
from tests.acceptance.vibe_command import Vibe
from tests.browser import Visit, chromium, visiting
from tests.web import Web, running_web

PICTURES = bool(os.environ.get("VIBE_SCREENSHOTS"))
"""Pictures show a larger plan."""

WRITES = """
name = env["VIBE_TASK_ID"]
print("reading the task")
write(name + "/module.py", "".join(f"def part_{n}():\\n    return {n}\\n\\n\\n" for n in range(5)))
used = '"input_tokens": 5230, "output_tokens": 811, "cost_usd": 0.0421'
print('{"summary": "wrote ' + name + '", ' + used + "}")
"""
SLOW = "import time\ntime.sleep(15)"
BREAKS_UNTIL_MENDED = """
if not os.path.exists({flag!r}):
    print("no key for the model")
    sys.exit(1)
write("mailer.txt", "done")
"""
MORE = [
    {"id": "users", "title": "Accounts and sessions", "prompt": SLOW + WRITES, "effort": 3,
     "needs": ["store"]},
    {"id": "api", "title": "HTTP interface with pagination", "prompt": WRITES, "effort": 4,
     "needs": ["users", "mailer"]},
    {"id": "cli", "title": "Command line client", "prompt": WRITES, "needs": ["api"]},
    {"id": "docs", "title": "Reference and tutorial", "prompt": WRITES, "needs": ["api"]},
    {"id": "licence", "title": "Licence and notices", "prompt": WRITES},
]  # fmt: skip


@pytest.fixture
def web(vibe: Vibe) -> Iterator[Web]:
    """A server on the ledger that the command works on."""
    with running_web(vibe.home) as served:
        yield served


@pytest.fixture
def visit(web: Web) -> Iterator[Visit]:
    """A window in which nothing may go wrong."""
    with chromium() as browser, visiting(browser, web, "/plans", device_scale_factor=1) as opened:
        yield opened


def card(visit: Visit, column: str, task: str) -> Any:
    """The task's card in this column of the board."""
    return visit.page.locator(f"[data-column={column}] .task-card[data-task={task}]")


def picture(visit: Visit, name: str) -> None:
    """For the documents, without the notices of what was done before."""
    if PICTURES:
        visit.until(lambda: visit.page.locator(".toast").count() == 0)
        visit.picture(name)


def approve(visit: Visit, task: str) -> None:
    """Approve the task's deploy as soon as it waits, its change looked at."""
    waiting = visit.page.locator(".approval").filter(has_text=f"/ {task} ·")
    waiting.locator("summary").click()
    waiting.locator(".diff-table .add").first.wait_for()
    if task == "store":
        picture(visit, "dashboard-approvals")
    waiting.get_by_role("button", name="Approve").click()
    visit.page.locator("dialog[open]").get_by_role("button", name="Approve").click()
    waiting.wait_for(state="detached")


def test_a_plan_is_watched_mended_and_approved_until_it_is_deployed(
    visit: Visit, vibe: Vibe, tmp_path: Path
) -> None:
    """The board follows by itself; a retried dead letter is done; what was approved is deployed."""
    flag = tmp_path / "mended"
    tasks = [
        {"id": "store", "title": "Store to-do items", "prompt": WRITES, "effort": 4},
        {"id": "mailer", "title": "Reminders by mail", "max_retries": 1,
         "prompt": BREAKS_UNTIL_MENDED.format(flag=str(flag))},
        *(MORE if PICTURES else [{"id": "docs", "prompt": WRITES, "needs": ["store", "mailer"]}]),
    ]  # fmt: skip
    plan = make_plan(vibe.folder, tasks, name="todo-api", deploy={"approval": "manual"})
    visit.page.get_by_text("There are no plans yet").wait_for()
    with vibe.started("run", plan, "--json") as command:
        visit.page.get_by_role("link", name="todo-api").first.click()
        card(visit, "waiting", "docs").or_(card(visit, "stopped", "docs")).wait_for()
        card(visit, "deploy", "store").get_by_text("approval").wait_for()
        card(visit, "stopped", "mailer").get_by_text("no key for the model").wait_for()
        first = ["store", "licence"] if PICTURES else []
        for task in first:
            visit.go("/approvals")
            approve(visit, task)
        if first:
            visit.go("/plans/todo-api")
            card(visit, "dev", "users").get_by_text("dev").wait_for()
        look_around(visit)

        flag.touch()
        visit.go("/dead-letters")
        visit.page.get_by_label("Select todo-api/mailer dev").check()
        picture(visit, "dashboard-dead-letters")
        visit.page.locator("main").get_by_role("button", name="Retry").click()
        visit.page.locator("dialog[open]").get_by_role("button", name="Retry").click()
        visit.page.get_by_text("No dead letters").wait_for()
        visit.go("/plans/todo-api")
        card(visit, "deploy", "mailer").get_by_text("approval").wait_for()

        visit.go("/approvals")
        for task in [each["id"] for each in tasks if each["id"] not in first]:
            approve(visit, task)
        visit.go("/plans/todo-api")
        visit.page.locator(".title-line .badge", has_text="completed").wait_for()
        card(visit, "deployed", "docs").wait_for()
        out, err = command.communicate(timeout=120)
        assert (command.returncode, err.count("Traceback")) == (0, 0), out + err
    assert branch_files(vibe.folder, "todo-api")["mailer.txt"] == "done"
    after(visit)


def look_around(visit: Visit) -> None:
    """The same plan as a graph, and its dead letter."""
    visit.page.keyboard.press("2")
    visit.page.locator(".graph .node.bad[data-task=mailer]").wait_for()
    visit.page.locator(".edge.chain").first.wait_for()
    picture(visit, "dashboard-plan-graph")
    visit.page.keyboard.press("1")
    card(visit, "stopped", "mailer").wait_for()
    picture(visit, "dashboard-plan-board")
    visit.page.keyboard.press("3")
    visit.page.locator(".plan-event", has_text="APPROVAL_NEEDED").first.wait_for()


def after(visit: Visit) -> None:
    """What a person finds of the job that died and came back."""
    visit.go("/jobs?task=mailer&kind=dev")
    visit.page.locator(".job-list tbody").get_by_role("link").first.click()
    visit.page.locator(".attempt").nth(1).wait_for()
    assert "no key for the model" in visit.page.locator(".attempt").nth(1).inner_text()
    visit.page.locator(".diff-table .add", has_text="done").wait_for()
    visit.page.locator(".time-row").nth(5).wait_for()
    picture(visit, "dashboard-job")
