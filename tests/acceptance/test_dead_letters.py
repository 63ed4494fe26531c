"""What dies, what goes on, and how a person brings it back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.acceptance.plan_folder import branch_files, make_plan, merges, outcomes
from tests.acceptance.vibe_command import Vibe
from tests.long import long

BREAKS_UNTIL_MENDED = """
if not os.path.exists({flag!r}):
    print("no key for the model")
    sys.exit(1)
write(env["VIBE_TASK_ID"] + ".txt", "done")
"""
RIGHT_WHEN_MENDED = """
write("answer.txt", "right" if os.path.exists({flag!r}) else "wrong " + env["VIBE_FIX_ROUND"])
"""
WRITES = 'write(env["VIBE_TASK_ID"] + ".txt", "done")'


def dead_letters(vibe: Vibe) -> list[dict[str, Any]]:
    """What `vibe dlq list` shows."""
    listed = vibe.run("dlq", "list", "--json")
    assert listed.code == 0, listed.err
    letters: list[dict[str, Any]] = json.loads(listed.out)
    return letters


def test_a_job_that_exhausts_its_retries_blocks_what_needs_it_and_comes_back(
    vibe: Vibe, tmp_path: Path
):
    """The others go on; the exit code is 1; a retry by hand gives the attempts back.

    `vibe run` then goes on where it stopped: what was deployed is not done again.
    """
    flag = tmp_path / "mended"
    tasks = [
        {"id": "breaks", "prompt": BREAKS_UNTIL_MENDED.format(flag=str(flag)), "max_retries": 2},
        {"id": "needs-it", "needs": ["breaks"], "prompt": WRITES},
        {"id": "needs-that", "needs": ["needs-it", "other"], "prompt": WRITES},
        {"id": "other", "prompt": WRITES},
        {"id": "after-other", "needs": ["other"], "prompt": WRITES},
    ]
    plan = make_plan(vibe.folder, tasks)
    first = vibe.run("run", plan, "--json")
    assert (first.code, first.report["outcome"]) == (1, "failed")
    assert outcomes(first.report) == {
        "breaks": "dead", "needs-it": "blocked", "needs-that": "blocked",
        "other": "deployed", "after-other": "deployed",
    }  # fmt: skip
    [letter] = first.report["dead_letters"]
    assert (letter["task"], letter["kind"], letter["attempts"]) == ("breaks", "dev", 2)
    assert "agent exited with 1" in letter["error"]
    assert "no key for the model" in letter["error"]
    assert first.report["jobs"]["failed"] == 1

    refused = vibe.run("run", plan, "--json")
    assert (refused.code, refused.out) == (2, "")
    assert "--fresh" in refused.err
    before = merges(vibe.folder)

    assert [each["id"] for each in dead_letters(vibe)] == [letter["job_id"]]
    flag.touch()
    assert vibe.run("dlq", "retry", letter["job_id"]).code == 0
    assert dead_letters(vibe) == []
    second = vibe.run("run", plan, "--json")
    assert (second.code, second.report["outcome"]) == (0, "completed")
    assert set(outcomes(second.report).values()) == {"deployed"}
    attempts = {task["id"]: task["attempts"]["dev"] for task in second.report["tasks"]}
    assert attempts == {"breaks": 3, "needs-it": 1, "needs-that": 1, "other": 1, "after-other": 1}
    assert merges(vibe.folder)[: len(before)] == before
    assert len(merges(vibe.folder)) == len(tasks)
    assert (second.report["dead_letters"], second.report["jobs"]["failed"]) == ([], 0)


@long
def test_a_task_that_never_passes_gets_one_more_round_for_each_retry(vibe: Vibe, tmp_path: Path):
    """Its last QA job is the dead letter; a retry of it is one fix more, not a new start."""
    flag = tmp_path / "mended"
    tasks = [
        {
            "id": "answer", "prompt": RIGHT_WHEN_MENDED.format(flag=str(flag)),
            "checks": ["grep -q right answer.txt"], "max_fix_rounds": 1,
        }
    ]  # fmt: skip
    plan = make_plan(vibe.folder, tasks)
    rounds = []
    for turn in range(2):
        finished = vibe.run("run", plan, "--json")
        assert (finished.code, outcomes(finished.report)) == (1, {"answer": "dead"})
        [letter] = finished.report["dead_letters"]
        assert (letter["kind"], letter["attempts"]) == ("qa", 1)
        assert "grep -q right answer.txt" in letter["error"]
        rounds.append(finished.report["tasks"][0]["fix_rounds"])
        if turn == 1:
            flag.touch()
        assert vibe.run("dlq", "retry", letter["job_id"]).code == 0
    assert rounds == [1, 2]

    finished = vibe.run("run", plan, "--json")
    assert (finished.code, finished.report["outcome"]) == (0, "completed")
    [task] = finished.report["tasks"]
    assert task["attempts"] == {"dev": 1, "qa": 4, "fix": 3, "deploy": 1}
    assert (task["fix_rounds"], finished.report["dead_letters"]) == (3, [])
    assert branch_files(vibe.folder)["answer.txt"] == "right"


@long
def test_a_discarded_letter_is_off_the_list_but_not_forgotten(vibe: Vibe):
    """Nothing is deleted: the job is still there to be looked at."""
    plan = make_plan(vibe.folder, [{"id": "breaks", "prompt": "sys.exit(64)"}])
    [letter] = vibe.run("run", plan, "--json").report["dead_letters"]
    assert vibe.run("dlq", "discard", letter["job_id"]).code == 0
    assert dead_letters(vibe) == []
    shown = vibe.run("jobs", "show", letter["job_id"])
    assert shown.code == 0
    assert "agent exited with 64" in shown.out
