"""Reviewers through `vibe run`: real problems, crashing ones, lenient ones, and too few of them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.humaneval import (
    AGENT,
    DATASET,
    MAX_FIX_ROUNDS,
    check_file,
    expected,
    read_problems,
    task_id,
)
from tests.acceptance.plan_folder import agent_of, make_plan, merges, outcomes
from tests.acceptance.vibe_command import Vibe
from tests.long import long

FULL = bool(os.environ.get("VIBE_FULL"))
NUMBERS = range(1, 165) if FULL else (1, 5, 7, 41)
"""Problems taken, counted from 1: one right at once, one after a transient failure, one after a
fix, one never."""

HONEST = """
if grep -q NotImplementedError solutions/$VIBE_TASK_ID.py
then echo '{"verdict": "fail", "findings": ["the function has no body"]}'
else echo '{"verdict": "pass"}'
fi
"""


def voter(script: str) -> dict[str, Any]:
    """A reviewer that is a script of the shell, so that it costs little."""
    return {"type": "command", "argv": ["sh", "-c", script], "timeout": 60}


def reviewed_plan(
    folder: Path, numbers: Sequence[int], voters: Mapping[str, Mapping[str, Any]], **qa: Any
) -> Path:
    """HumanEval's problems of these numbers, judged by their checks and these reviewers."""
    problems = {number: read_problems(number)[-1] for number in numbers}
    files = {f"checks/{task_id(each)}.py": check_file(each) for each in problems.values()}
    tasks = [
        {"id": task_id(each), "files": [f"solutions/{task_id(each)}.py"],
         "checks": [f"PYTHONPATH=. python -B checks/{task_id(each)}.py"]}
        for each in problems.values()
    ]  # fmt: skip
    return make_plan(
        folder, tasks, name="reviewed", files=files, script=AGENT,
        agents={"mine": agent_of(AGENT, str(DATASET)), **voters},
        qa={"timeout": 60, "reviewers": [*voters], **qa},
        defaults={"retry_base": 0.02, "max_fix_rounds": MAX_FIX_ROUNDS},
    )  # fmt: skip


def decisions(vibe: Vibe) -> list[dict[str, Any]]:
    """Every decision that is kept, oldest first."""
    rows = vibe.rows("SELECT synthesis_json FROM consensus_runs ORDER BY id")
    return [json.loads(row[0]) for row in rows]


@pytest.mark.data
@pytest.mark.skipif(not DATASET.exists(), reason=f"needs {DATASET}")
@pytest.mark.timeout(1200 if FULL else 240)
def test_two_of_three_decide_when_one_always_crashes(vibe: Vibe):
    """Every run is degraded and says so, every verdict is right, none is undecided."""
    voters = {"first": voter(HONEST), "second": voter(HONEST), "crasher": voter("kill -SEGV $$")}
    plan = reviewed_plan(vibe.folder, NUMBERS, voters)
    finished = vibe.run("run", plan, "--json", seconds=1000 if FULL else 180)
    report = finished.report
    predicted = {number: expected(number) for number in NUMBERS}
    assert list(outcomes(report).values()) == [
        "deployed" if each.deployed else "dead" for each in predicted.values()
    ]
    for told, each in zip(report["tasks"], predicted.values(), strict=True):
        runs = 1 + each.fix_rounds
        assert told["consensus"] == {"runs": runs, "degraded": runs, "undecided": 0}, told["id"]
        assert told["attempts"]["review"] >= 2 * runs
        assert told["fix_rounds"] == each.fix_rounds
    kept = decisions(vibe)
    assert len(kept) == sum(1 + each.fix_rounds for each in predicted.values())
    for each in kept:
        wrong = not all(check["passed"] for check in each["checks"])
        assert (each["votes"], each["seats"]) == (2, 3)
        assert each["passing"] == (0 if wrong else 2)
        assert each["verdict"] == ("fail" if wrong else "pass")
        assert each["absent"].startswith("reviewer 3 (crasher): ")
    assert {letter["kind"] for letter in report["dead_letters"]} <= {"qa"}
    assert len(merges(vibe.folder, "reviewed")) == sum(each.deployed for each in predicted.values())


@pytest.mark.data
@pytest.mark.skipif(not DATASET.exists(), reason=f"needs {DATASET}")
def test_reviewers_that_always_pass_let_no_wrong_program_through(vibe: Vibe):
    """Checks are facts: what fails them is refused in every round, by unanimous votes for it."""
    kind = voter("""echo '{"verdict": "pass", "findings": ["great work"]}'""")
    plan = reviewed_plan(vibe.folder, (2, 41), {"a": kind, "b": kind, "c": kind})
    report = vibe.run("run", plan, "--json").report
    assert outcomes(report) == {"HumanEval_1": "deployed", "HumanEval_40": "dead"}
    assert report["tasks"][1]["fix_rounds"] == MAX_FIX_ROUNDS
    assert report["dead_letters"][0]["error"].startswith("after 2 fix rounds: check failed: ")
    kept = decisions(vibe)
    assert [each["passing"] for each in kept] == [3] * (2 + MAX_FIX_ROUNDS)
    assert sorted(each["verdict"] for each in kept) == ["fail"] * (1 + MAX_FIX_ROUNDS) + ["pass"]


@long
def test_too_few_reviewers_leave_it_to_a_person(vibe: Vibe):
    """Two of three have no key: undecided, told, a dead letter; with the key the retry asks the two
    alone, and the work is deployed.
    """
    keyed = f"""
test -e {vibe.folder}/key || {{ echo 'no key' >&2; exit 77; }}
echo $VIBE_JOB_ID >> {vibe.folder}/asked
echo '{{"verdict": "pass"}}'
"""
    free = voter(f'echo once >> {vibe.folder}/free; echo \'{{"verdict": "pass"}}\'')
    plan = make_plan(
        vibe.folder, [{"id": "a", "prompt": "write('a.txt', 'a')"}],
        agents={"mine": agent_of(), "free": free, "keyed": voter(keyed)},
        qa={"reviewers": ["free", "keyed", "keyed"]},
    )  # fmt: skip
    finished = vibe.run("run", plan)
    assert finished.code == 1
    assert (
        "a: qa undecided: undecided: 1 of 3 reviewers voted; reviewer 2 (keyed): " in finished.err
    )
    assert "1 run, 1 undecided" in finished.out
    letters = json.loads(vibe.run("dlq", "list", "--json").out)
    assert [letter["kind"] for letter in letters] == ["qa"]

    (vibe.folder / "key").touch()
    assert vibe.run("dlq", "retry", letters[0]["id"]).code == 0
    report = vibe.run("run", plan, "--json").report
    assert outcomes(report) == {"a": "deployed"}
    assert report["tasks"][0]["consensus"] == {"runs": 2, "degraded": 0, "undecided": 1}
    assert (vibe.folder / "free").read_text() == "once\n"
    assert len(set((vibe.folder / "asked").read_text().split())) == 2
    assert [each["verdict"] for each in decisions(vibe)] == ["undecided", "pass"]
