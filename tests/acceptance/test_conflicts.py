"""Tasks that do not merge."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.plan_folder import branch_files, make_plan, merges, outcomes
from tests.acceptance.vibe_command import Vibe

MEET = """
import json, pathlib, time
place = pathlib.Path({place!r})
me = env["VIBE_TASK_ID"]
if env["VIBE_KIND"] == "dev":
    (place / me).touch()
    end = time.monotonic() + 20
    while not all((place / other).exists() for other in ("left", "right")):
        assert time.monotonic() < end, "the other task does not come"
        time.sleep(0.01)
    write("shared.txt", "first\\n" + me + " was here\\nlast\\n")
else:
    (place / "told.json").write_text(json.dumps(job["report"]))
    (place / "found.txt").write_text(pathlib.Path("shared.txt").read_text())
    write("shared.txt", "first\\nleft and right were here\\nlast\\n")
"""
"""Both devs start from the same commit; the fix is done by whoever comes second."""


def test_the_second_of_two_that_change_a_line_mends_the_conflict(vibe: Vibe, tmp_path: Path):
    """It gets a fix job that names the file and has both sides in it; then both are deployed."""
    prompt = MEET.format(place=str(tmp_path))
    plan = make_plan(
        vibe.folder, [{"id": "left", "prompt": prompt}, {"id": "right", "prompt": prompt}],
        files={"shared.txt": "first\nmiddle\nlast\n"},
    )  # fmt: skip
    finished = vibe.run("run", plan, "--workers", "2", "--json")
    report = finished.report
    assert (finished.code, outcomes(report)) == (0, {"left": "deployed", "right": "deployed"})
    assert report["dead_letters"] == []
    attempts = sorted((task["attempts"] for task in report["tasks"]), key=lambda each: each["fix"])
    assert attempts == [
        {"dev": 1, "qa": 1, "fix": 0, "deploy": 1}, {"dev": 1, "qa": 2, "fix": 1, "deploy": 2},
    ]  # fmt: skip
    assert sorted(task["fix_rounds"] for task in report["tasks"]) == [0, 1]

    told = json.loads((tmp_path / "told.json").read_text())
    assert told["conflict"]["paths"] == ["shared.txt"]
    assert "conflict" in told["summary"]
    found = (tmp_path / "found.txt").read_text()
    assert "left was here" in found
    assert "right was here" in found
    assert "<<<<<<<" in found
    mended = branch_files(vibe.folder)["shared.txt"]
    assert mended.splitlines() == ["first", "left and right were here", "last"]
    commits = {task["commit"] for task in report["tasks"]}
    assert set(merges(vibe.folder)) == commits


def test_an_agent_that_leaves_the_markers_is_no_end_of_the_task(vibe: Vibe, tmp_path: Path):
    """Markers that are left count as a failed attempt; the commit is never made with them."""
    careless = MEET.format(place=str(tmp_path)).replace(
        "else:", 'elif env["VIBE_ATTEMPT"] == "1":\n    pass\nelse:'
    )
    plan = make_plan(
        vibe.folder, [{"id": "left", "prompt": careless}, {"id": "right", "prompt": careless}],
        files={"shared.txt": "first\nmiddle\nlast\n"},
    )  # fmt: skip
    finished = vibe.run("run", plan, "--workers", "2", "--json")
    assert (finished.code, finished.report["outcome"]) == (0, "completed")
    assert sorted(task["attempts"]["fix"] for task in finished.report["tasks"]) == [0, 2]
    assert finished.report["retries"] == 1
    assert "<<<<" not in branch_files(vibe.folder)["shared.txt"]
