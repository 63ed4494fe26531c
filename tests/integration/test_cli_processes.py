"""The command in processes of its own, with real stacks."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event

import httpx2 as httpx
import psutil
import pytest

from tests.acceptance.plan_folder import branch_files, branches, make_plan, outcomes
from tests.acceptance.vibe_command import ROOT, Vibe
from tests.long import long
from tests.processes import unmeasured, until
from vibe_tasks.jobs import LANES
from vibe_tasks.stack.embedded import EmbeddedStack
from vibe_tasks.web.place import FILE, find_server
from vibe_tasks.workspace.git import git

WRITES = 'write(env["VIBE_TASK_ID"] + ".txt", "done")'
WAITS_ONCE = """
import time
if not os.path.exists({place!r}):
    open({place!r}, "w").close()
    time.sleep(600)
write("slow.txt", "done")
"""


@pytest.fixture
def vibe(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Vibe]:
    """The command in an empty folder. Fails the test where a process of it outlives it.

    Coverage is measured where a test asks for it: the others would measure the same again.
    """
    place = Vibe(folder=tmp_path, measured=getattr(request, "param", "") == "measured")
    yield place
    try:
        until(lambda: not place.strays())
    finally:
        for process in place.strays():
            with suppress(psutil.NoSuchProcess):
                process.kill()


measured = pytest.mark.parametrize("vibe", ["measured"], indirect=True)


def first_line(command: subprocess.Popen[str], beginning: str) -> str:
    """Read the command's output until a line begins like this; the line."""
    assert command.stdout is not None
    for line in command.stdout:
        if line.startswith(beginning):
            return line
    raise AssertionError(f"no line begins with {beginning}: {command.communicate()}")


def test_the_demo_completes_and_starts_over(vibe: Vibe) -> None:
    """With `--json` the report alone comes out; the second demo keeps the first one's branch.

    Whatever is checked out meanwhile, the result itself included.
    """
    first = vibe.run("demo", "--json", "--into", "shop")
    assert (first.code, first.err) == (0, "")
    assert first.report["outcome"] == "completed"
    git("switch", "-q", "vibe/todo-api", cwd=vibe.folder / "shop" / "repo")
    second = vibe.run("demo", "--into", "shop")
    assert second.code == 0, second.err
    base = git("rev-parse", "main", cwd=vibe.folder / "shop" / "repo")
    assert vibe.rows("SELECT DISTINCT base_commit FROM plans") == [(base,)]
    assert f"VIBE_HOME={vibe.home} vibe plans show todo-api" in second.out
    assert "12 of 12 tasks deployed" in second.out
    assert "vibe/todo-api.1" in branches(vibe.folder / "shop")
    assert sorted(path.name for path in vibe.folder.iterdir()) == [".vibe", "shop"]


def test_the_demo_overwrites_nothing(vibe: Vibe) -> None:
    """A folder with something else in it is refused and left alone."""
    (vibe.folder / "todo-api-demo").mkdir()
    (vibe.folder / "todo-api-demo" / "mine").touch()
    done = vibe.run("demo")
    assert (done.code, done.out) == (2, "")
    assert "not empty" in done.err
    assert [path.name for path in (vibe.folder / "todo-api-demo").iterdir()] == ["mine"]


@measured
def test_a_stack_that_is_up_serves_submit_run_and_doctor(vibe: Vibe) -> None:
    """`vibe up` says when it is ready, works for other commands and ends in good order. Its web
    server is kept running: one that is killed is started again.
    """
    plan = make_plan(vibe.folder, [{"id": "a", "prompt": WRITES}], name="first")
    assert vibe.run("submit", plan).code == 2
    with vibe.started("up", "--workers", "2", "--web", VIBE_WEB_PORT="0") as stack:
        first_line(stack, "ready")
        until(lambda: find_server(vibe.home) is not None, seconds=60)
        first = json.loads((vibe.home / FILE).read_text())
        os.kill(first["pid"], signal.SIGKILL)
        assert "already running" in vibe.run("up").err
        found = vibe.run("doctor")
        assert found.code == 0, found.out

        submitted = vibe.run("submit", plan).out.strip()
        assert submitted.startswith("first-")
        deployed = "SELECT count(*) FROM tasks WHERE status = 'deployed'"
        until(lambda: vibe.rows(deployed) == [(1,)])
        assert vibe.run("plans", "show", submitted, "--json").report["outcome"] == "completed"
        plan = make_plan(vibe.folder, [{"id": "b", "prompt": WRITES}], name="second")
        watched = vibe.run("run", plan, "--workers", "3")
        assert watched.code == 0, watched.err
        assert "--workers 3 is ignored: a stack that runs already does the work" in watched.err
        assert "1 of 1 task deployed" in watched.out
        assert '"status": "online"' in vibe.run("status", "--json").out
        until(lambda: find_server(vibe.home) is not None, seconds=60)
        assert json.loads((vibe.home / FILE).read_text())["pid"] != first["pid"]
        ready = httpx.get(f"{find_server(vibe.home)}/readyz", timeout=60).json()
        assert ready == {"status": "ok", "ledger": "ok", "broker": "ok"}

        stack.send_signal(signal.SIGTERM)
        out, err = stack.communicate(timeout=60)
    assert stack.returncode == 0, out + err
    assert "stopped" in out


def test_a_run_takes_over_from_a_stack_that_goes(vibe: Vibe, tmp_path: Path) -> None:
    """A guest of another process's stack is not left alone with its plan."""
    place = tmp_path / "begun"
    plan = make_plan(vibe.folder, [{"id": "slow", "prompt": WAITS_ONCE.format(place=str(place))}])
    with vibe.started("up") as stack:
        first_line(stack, "ready")
        with vibe.started("run", plan, "--json") as guest:
            until(place.exists)
            stack.kill()
            out, err = guest.communicate(timeout=60)
    assert guest.returncode == 0, out + err
    assert branch_files(vibe.folder)["slow.txt"] == "done"


def test_a_killed_run_goes_on_and_counts_no_failure(vibe: Vibe, tmp_path: Path) -> None:
    """After SIGKILL nothing runs on, and a task with a single try allowed is completed."""
    place = tmp_path / "begun"
    prompt = WAITS_ONCE.format(place=str(place))
    plan = make_plan(vibe.folder, [{"id": "slow", "prompt": prompt, "max_retries": 1}])
    with vibe.started("run", plan) as command:
        until(place.exists)
        command.kill()
        command.wait(60)
        until(lambda: not vibe.strays())
    second = vibe.run("run", plan, "--json")
    assert (second.code, outcomes(second.report)) == (0, {"slow": "deployed"})
    assert list((vibe.home / "worktrees").iterdir()) == []


@long
def test_a_plan_that_waits_for_approval_says_how_to_give_it(vibe: Vibe) -> None:
    """Said once; `vibe plans approve` in another process lets the run complete."""
    plan = make_plan(vibe.folder, [{"id": "a", "prompt": WRITES}], deploy={"approval": "manual"})
    with vibe.started("run", plan) as command:
        assert command.stderr is not None
        hint = next(line for line in command.stderr if "approval" in line)
        assert hint.rstrip().endswith("vibe plans approve work")
        assert vibe.run("plans", "approve", "work").code == 0
        out, err = command.communicate(timeout=60)
    assert command.returncode == 0, out + err
    assert "approval" not in err
    assert vibe.run("plans", "approve", "work").code == 2


def test_a_lane_of_the_plan_is_served(vibe: Vibe) -> None:
    """The embedded worker serves lanes that only the plan names."""
    plan = make_plan(vibe.folder, [{"id": "a", "prompt": WRITES, "lane": "docs"}])
    assert vibe.run("run", plan).code == 0


def test_a_run_uses_the_deployment_that_the_settings_name(vibe: Vibe) -> None:
    """With VIBE_BROKER_URL the run brings no stack of its own."""
    plan = make_plan(vibe.folder, [{"id": "a", "prompt": WRITES}])
    environ = {**unmeasured(os.environ), "PYTHONPATH": str(ROOT)}
    with EmbeddedStack(vibe.home, workers=2, lanes=LANES, environ=environ) as stack:
        broker = f"redis+socket://{stack.socket}"
        done = vibe.run("run", plan, "--json", VIBE_BROKER_URL=broker)
        assert (done.code, outcomes(done.report)) == (0, {"a": "deployed"}), done.err
        found = vibe.run("doctor", VIBE_BROKER_URL=broker)
        assert found.code == 0, found.out
        refused = vibe.run("up", VIBE_BROKER_URL=broker)
        assert (refused.code, refused.out) == (2, "")


@measured
def test_on_a_terminal_the_progress_is_drawn(vibe: Vibe) -> None:
    """The live view goes to the terminal on standard error, the report to standard output."""
    plan = make_plan(vibe.folder, [{"id": "a", "prompt": WRITES}])
    ours, theirs = pty.openpty()
    command = subprocess.Popen(
        [sys.executable, "-m", "vibe_tasks.cli.main", "run", str(plan), "--json"],
        cwd=vibe.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "VIBE_HOME": str(vibe.home), "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    try:
        drawn = everything_from(ours)
        out, _ = command.communicate(timeout=60)
    finally:
        os.close(ours)
        command.kill()
        command.wait(60)
    assert command.returncode == 0, drawn
    assert "\x1b[" in drawn
    assert "1 of 1 deployed" in drawn
    assert out.startswith("{")
    assert out.rstrip().endswith("}")


def everything_from(terminal: int) -> str:
    """What is written to a terminal until its other side is closed."""
    parts: list[bytes] = []
    with suppress(OSError):  # how Linux tells the end
        while data := os.read(terminal, 65536):
            parts.append(data)
    return b"".join(parts).decode(errors="replace")


def test_a_reader_that_goes_away_is_no_crash(vibe: Vibe) -> None:
    """`vibe jobs list | head` prints no traceback."""
    with vibe.started("jobs", "list", "--json") as command:
        assert command.stdout is not None
        command.stdout.close()
        assert command.stderr is not None
        assert "Traceback" not in command.stderr.read()
        command.wait(60)


@measured
def test_a_watched_status_ends_with_ctrl_c(vibe: Vibe) -> None:
    """Exit code 130, as of everything that somebody stops."""
    with vibe.started("status", "--watch") as command:
        first_line(command, "no workers")
        Event().wait(0.1)
        command.send_signal(signal.SIGINT)
        _, err = command.communicate(timeout=60)
    assert (command.returncode, err.strip()) == (130, "vibe: interrupted")
