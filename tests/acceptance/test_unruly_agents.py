"""Agents that hang, flood, refuse and leave things behind, all at once."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from tests.acceptance.plan_folder import SCRIPTED, agent_of, make_plan, outcomes
from tests.acceptance.vibe_command import Finished, Vibe
from vibe_tasks.workspace.sandbox import unavailable

SPAWN = """
import signal, subprocess, time
wait = [{python!r}, "-c", "import signal; signal.pause()"]
children = [subprocess.Popen(wait, start_new_session=apart) for apart in (False, True)]
write({place!r} + "/" + env["VIBE_TASK_ID"], " ".join(str(child.pid) for child in children))
"""
HANG = SPAWN + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)\n"
LEAVE = SPAWN + 'write("left.txt", "done")\n'
FLOOD = """
line = "x" * 999 + "\\n"
for _ in range(50_000):
    sys.stdout.write(line)
print('{"summary": "that was a lot", "input_tokens": 7}')
write("flood.txt", "done")
"""
GROW = "import time; hoard = b'x' * 300_000_000; time.sleep(600)"
LIE = 'print("all done, everything passes")'
TIMEOUT = 2.0
SURROUNDINGS = {"sandbox": "strict"} if unavailable() is None else {}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where agents write the ids of the processes that they left."""
    folder = tmp_path / "pids"
    folder.mkdir()
    return folder


@pytest.fixture
def finished(vibe: Vibe, place: Path) -> Finished:
    """A run with all of them."""
    fill = {"{python!r}": repr(sys.executable), "{place!r}": repr(str(place))}

    def filled(text: str) -> str:
        for hole, value in fill.items():
            text = text.replace(hole, value)
        return text

    once = {"max_retries": 1}
    tasks = [
        {"id": "hangs", "prompt": filled(HANG), "agent": "short", **once},
        {"id": "leaves", "prompt": filled(LEAVE), "checks": ["test -f left.txt"]},
        {"id": "floods", "prompt": FLOOD, "checks": ["test -f flood.txt"]},
        {"id": "refuses", "prompt": "sys.exit(64)"},
        {"id": "grows", "prompt": GROW, "agent": "small", **once},
        {"id": "lies", "prompt": LIE, "checks": ["test -f lie.txt"], "max_fix_rounds": 0},
        {"id": "is-not-there", "agent": "missing"},
        {"id": "sound", "prompt": 'write("sound.txt", "done")', "agent": "apart"},
    ]
    agents = {
        "mine": agent_of(), "short": agent_of(SCRIPTED, timeout=TIMEOUT),
        "small": {**agent_of(), "limits": {"memory": 100}},
        "apart": {**agent_of(), **SURROUNDINGS},
        "missing": {"type": "command", "argv": ["./no-such-program-anywhere"]},
    }  # fmt: skip
    plan = make_plan(vibe.folder, tasks, agents=agents, qa=SURROUNDINGS)
    return vibe.run("run", plan, "--json")


def test_unruly_agents_harm_nobody_but_themselves(finished: Finished, vibe: Vibe, place: Path):
    """Each is stopped, bounded or buried as its kind deserves; the others are deployed.

    Of the processes that they left none runs on, and no log grows without bound.
    """
    report = finished.report
    assert finished.code == 1
    assert outcomes(report) == {
        "hangs": "dead", "leaves": "deployed", "floods": "deployed", "refuses": "dead",
        "grows": "dead", "lies": "dead", "is-not-there": "dead", "sound": "deployed",
    }  # fmt: skip
    letters = {letter["task"]: letter for letter in report["dead_letters"]}
    assert {name: (each["kind"], each["attempts"]) for name, each in letters.items()} == {
        "hangs": ("dev", 1), "refuses": ("dev", 1), "grows": ("dev", 1), "lies": ("qa", 1),
        "is-not-there": ("dev", 1),
    }  # fmt: skip
    assert f"did not end within {TIMEOUT:g} s" in letters["hangs"]["error"]
    assert "used more than 100 MB of memory" in letters["grows"]["error"]
    assert "agent exited with 64" in letters["refuses"]["error"]
    assert "test -f lie.txt" in letters["lies"]["error"]
    assert "./no-such-program-anywhere" in letters["is-not-there"]["error"]
    assert report["tokens"]["input"] == 7

    left = [int(number) for file in place.iterdir() for number in file.read_text().split()]
    assert len(left) == 4
    stays = left[1::2] if sys.platform != "linux" else []  # a session of its own
    assert not any(psutil.pid_exists(number) for number in left if number not in stays)
    logs = [file for file in vibe.home.rglob("*.log") if file.is_file()]
    assert max(file.stat().st_size for file in logs) < 5_000_000
