"""Ctrl-C."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.acceptance.plan_folder import make_plan, merges, outcomes
from tests.acceptance.vibe_command import Vibe
from tests.long import long
from tests.processes import until

FULL = bool(os.environ.get("VIBE_FULL"))

WAITS_ONCE = """
import time
begun = {place!r} + "/" + env["VIBE_TASK_ID"]
if not os.path.exists(begun):
    open(begun, "w").close()
    time.sleep(600)
write(env["VIBE_TASK_ID"] + ".txt", "done")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM] if FULL else [signal.SIGINT])
def test_an_interrupted_run_goes_on_when_it_is_started_again(
    vibe: Vibe, tmp_path: Path, number: signal.Signals
):
    """Exit code 130 and a hint how to go on; no process stays; the second run completes.

    The attempts that were cut short are no failures: even with a single try allowed nothing dies.
    """
    place = tmp_path / "begun"
    place.mkdir()
    prompt = WAITS_ONCE.format(place=str(place))
    tasks = [{"id": f"task-{n}", "prompt": prompt, "max_retries": 1} for n in range(2)]
    tasks.append({"id": "last", "prompt": WAITS_ONCE, "needs": ["task-0", "task-1"]})
    tasks[2]["prompt"] = 'write("last.txt", "done")'
    plan = make_plan(vibe.folder, tasks, agent=None)
    with vibe.started("run", plan, "--workers", "2") as command:
        until(lambda: len(list(place.iterdir())) == 2)
        command.send_signal(number)
        out, err = command.communicate(timeout=60)
    assert command.returncode == 130, err
    assert "Traceback" not in out + err
    assert err.rstrip().splitlines()[-1].endswith(f"vibe run {plan}")
    until(lambda: not vibe.strays())
    assert merges(vibe.folder) == []

    finished = vibe.run("run", plan, "--json")
    assert (finished.code, finished.report["outcome"]) == (0, "completed")
    assert set(outcomes(finished.report).values()) == {"deployed"}
    assert [task["attempts"]["dev"] for task in finished.report["tasks"]] == [2, 2, 1]
    assert finished.report["retries"] == 2
    assert len(merges(vibe.folder)) == len(tasks)


@long
def test_a_second_interruption_says_how_to_go_on_too(vibe: Vibe, tmp_path: Path):
    """Whoever has no patience gets the same hint, and nothing keeps running."""
    place = tmp_path / "begun"
    place.mkdir()
    plan = make_plan(vibe.folder, [{"id": "slow", "prompt": WAITS_ONCE.format(place=str(place))}])
    with vibe.started("run", plan) as command:
        until(lambda: list(place.iterdir()))
        command.send_signal(signal.SIGINT)
        assert command.stderr is not None
        next(line for line in command.stderr if "stopping" in line)
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=60)
    assert command.returncode == 130, err
    assert err.rstrip().splitlines()[-1].endswith(f"go on with: vibe run {plan}")
    assert "Traceback" not in out + err
    until(lambda: not vibe.strays())
