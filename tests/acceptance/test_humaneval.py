"""164 real programming problems, through agents that fail in known ways, to a known report."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.humaneval import (
    DATASET,
    RUN_ALL,
    Problem,
    dead_letters,
    expected,
    humaneval_plan,
    prediction,
    read_problems,
    reported,
    task_id,
)
from tests.acceptance.plan_folder import branches, merges
from tests.acceptance.vibe_command import Vibe
from tests.processes import until
from tests.repositories import raw

FULL = bool(os.environ.get("VIBE_FULL"))
FIRST = 164 if FULL else 42
"""Problems taken; 42 is the fewest that has one of each way to fail."""

SECONDS = 600 if FULL else 180

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATASET.exists(), reason=f"needs {DATASET}"),
    pytest.mark.timeout(2 * SECONDS),
]


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    """The problems of this run."""
    return read_problems(FIRST)


def test_report_is_exactly_the_predicted_one(vibe: Vibe, problems: list[Problem]):
    """Outcomes, fix rounds, attempts, dead letters, jobs and tokens follow from the agent's faults.

    Every solution on the branch passes its check, and what is dead is not there.
    """
    plan = humaneval_plan(vibe.folder, problems)
    finished = vibe.run("run", plan, "--json", seconds=SECONDS)
    assert reported(finished.report) == prediction(problems)
    assert finished.code == 1, "problem 41 is dead"
    the_branch_is_sound(vibe, finished.report, problems)


@pytest.mark.parametrize("share", [0.3, 0.7] if FULL else [0.5])
def test_killed_run_ends_as_if_nothing_had_happened(
    vibe: Vibe, problems: list[Problem], share: float
):
    """Every process is killed in mid-run; started again, nothing is lost and nothing done twice."""
    plan = humaneval_plan(vibe.folder, problems)
    total = prediction(problems)["jobs"]["completed"]
    with vibe.started("run", plan, "--json") as command:
        until(lambda: completed(vibe) >= share * total or gone(command), seconds=SECONDS)
        assert not gone(command), command.communicate()
        assert vibe.kill_everything(command) >= 5  # vibe, valkey, worker, its pool
    assert completed(vibe) < total

    finished = vibe.run("run", plan, "--json", seconds=SECONDS)
    report, wanted = finished.report, prediction(problems)
    interrupted = allow_interrupted_attempts(report, wanted)
    assert interrupted <= 2, "no more than the pool had in its hands"
    assert reported(report) == wanted
    assert finished.code == 1
    the_branch_is_sound(vibe, report, problems)


def completed(vibe: Vibe) -> int:
    """Jobs that are done."""
    rows = vibe.rows("SELECT count(*) FROM jobs WHERE status = 'completed'")
    return int(rows[0][0]) if rows else 0


def gone(command: subprocess.Popen[str]) -> bool:
    """Whether the command has ended by itself."""
    return command.poll() is not None


def allow_interrupted_attempts(report: dict[str, Any], wanted: dict[str, Any]) -> int:
    """Take over into the prediction the attempts that were lost; how many there were.

    A lost attempt costs a number, nothing else. An agent whose first attempt was to fail and
    was killed instead works in its second: the number is then the predicted one.
    """
    lost: list[int] = []
    pairs = zip(report["tasks"], wanted["tasks"], strict=True)
    for number, (task, predicted) in enumerate(pairs, start=1):
        for kind, count in task["attempts"].items():
            assert count >= predicted["attempts"][kind], f"{task['id']}: {kind}"
            lost += [number] * (count - predicted["attempts"][kind])
        predicted["attempts"] = task["attempts"]
    for letter, predicted in zip(dead_letters(report), wanted["dead_letters"], strict=True):
        predicted["attempts"] = letter["attempts"]
    # One that was killed after its agent had told what it used counts in what was used: as many
    # tokens in as the number of its problem, one out.
    told = {name: report["tokens"][name] - number for name, number in wanted["tokens"].items()}
    assert told["input"] in {sum(each) for each in combinations(lost, told["output"])}
    wanted["tokens"] = report["tokens"]
    assert report["retries"] == wanted["retries"] + len(lost)
    wanted["retries"] = report["retries"]
    return len(lost)


def the_branch_is_sound(vibe: Vibe, report: dict[str, Any], problems: list[Problem]) -> None:
    """What is deployed is merged exactly once, passes its check, and is all that there is."""
    deployed = [task for task in report["tasks"] if task["outcome"] == "deployed"]
    merged = merges(vibe.folder, "humaneval")
    assert sorted(merged) == sorted(task["commit"] for task in deployed)
    assert branches(vibe.folder) == ["main", "vibe/humaneval"]

    folder = vibe.folder / "result"
    raw("git", "clone", "-q", "-b", "vibe/humaneval", str(vibe.folder / "repo"), str(folder),
        cwd=vibe.folder)  # fmt: skip
    names = sorted(task_id(each) for k, each in enumerate(problems, 1) if expected(k).deployed)
    assert sorted(path.stem for path in (folder / "solutions").iterdir()) == names
    checks = [str(Path("checks") / f"{name}.py") for name in names]
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, *checks], cwd=folder, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-1] == str(len(names))
    assert not list((vibe.home / "worktrees").iterdir()), "worktrees are tidied up"
