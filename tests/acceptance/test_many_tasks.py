"""Plans with many tasks, side by side and in a row; benchmarks/plans.py has larger ones."""

from __future__ import annotations

from tests.acceptance.plan_folder import branch_files, make_plan, merges
from tests.acceptance.vibe_command import Vibe
from tests.long import long

SIDE_BY_SIDE = 30
IN_A_ROW = 12

APPEND = """
with open("chain.txt", "a") as chain:
    chain.write(env["VIBE_TASK_ID"] + "\\n")
"""


@long
def test_tasks_side_by_side_are_all_done(vibe: Vibe):
    """An agent that changes nothing is no error: each task takes three jobs and is deployed."""
    tasks = [{"id": f"task-{number}"} for number in range(SIDE_BY_SIDE)]
    plan = make_plan(vibe.folder, tasks, agent={"type": "command", "argv": ["true"]})
    finished = vibe.run("run", plan, "--json")
    report = finished.report
    assert (finished.code, finished.err, report["outcome"]) == (0, "", "completed")
    assert [task["id"] for task in report["tasks"]] == [task["id"] for task in tasks]
    for task in report["tasks"]:
        assert task["outcome"] == "deployed"
        assert task["attempts"] == {"dev": 1, "qa": 1, "fix": 0, "deploy": 1}
    assert report["jobs"] == {"completed": 3 * SIDE_BY_SIDE, "failed": 0, "cancelled": 0}
    assert (report["retries"], report["dead_letters"]) == (0, [])
    assert merges(vibe.folder) == [], "no change, no merge"


@long
def test_a_chain_is_done_in_its_order(vibe: Vibe):
    """A task starts from the branch with all that it needs, so that every line is in its place."""
    ids = [f"link-{number}" for number in range(IN_A_ROW)]
    needs = [[], *([one] for one in ids)]
    tasks = [
        {"id": one, "prompt": APPEND, "needs": need, "checks": [f"test -n '{one}'"]}
        for one, need in zip(ids, needs, strict=False)
    ]
    plan = make_plan(vibe.folder, tasks[::-1])
    finished = vibe.run("run", plan, "--json")
    report = finished.report
    assert (finished.code, report["outcome"]) == (0, "completed")
    assert report["jobs"]["completed"] == 3 * IN_A_ROW
    assert branch_files(vibe.folder)["chain.txt"].split() == ids
    assert merges(vibe.folder) == [
        task["commit"] for task in sorted(report["tasks"], key=lambda task: ids.index(task["id"]))
    ]
