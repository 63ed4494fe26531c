"""Children forked from a process with its imports done are what started ones would be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from psutil import Process

from tests.forked_child import ROOT, ForkedChild
from tests.processes import runs, until
from vibe_tasks.stack.children import Program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")

TELLS = """
import os, sys
print(os.environ, os.getcwd(), sys.argv[1:], os.getsid(0) == os.getpid(), sys.path[:2])
sys.exit(3)
"""

OWNER = """
import sys
from pathlib import Path
from tests.forked_child import ForkedChild
from vibe_tasks.stack.children import Program
folder = Path(sys.argv[1])
program = Program(
    name="waits", argv=(sys.executable, "-m", "waits"), environ={"PYTHONPATH": str(folder)}
)
child = ForkedChild(program, logs=folder, folder=folder)
print(child.pid, flush=True)
sys.stdin.readline()
"""


def forked(folder: Path, code: str, *arguments: str) -> ForkedChild:
    """A child that runs this code as a module of its own folder."""
    (folder / "mine.py").write_text(code)
    program = Program(
        name="mine", argv=(sys.executable, "-m", "mine", *arguments),
        environ={"PYTHONPATH": str(ROOT), "WORD": "x"},
    )  # fmt: skip
    return ForkedChild(program, logs=folder, folder=folder)


def test_it_has_its_own_environment_folder_session_log_and_exit_code(tmp_path: Path) -> None:
    """Nothing of ours, nor of a child before it."""
    for word in ("one", "two"):
        child = forked(tmp_path, TELLS, word)
        assert child.wait(60) == 3
        found = child.log.read_text().splitlines()[-1]
        environ = {"PYTHONPATH": str(ROOT), "WORD": "x"}
        assert found == f"environ({environ}) {tmp_path} {[word]} True {[str(tmp_path), str(ROOT)]}"
        assert child.exit_code() == 3


def test_a_signal_ends_it(tmp_path: Path) -> None:
    """Asked or killed, it says by which; until we have heard it, its number is nobody else's."""
    waits = "import signal\nprint('ready', flush=True)\nsignal.pause()"
    for number, end in ((-15, ForkedChild.ask_to_end), (-9, ForkedChild.kill)):
        child = forked(tmp_path, waits)
        assert child.wait(0) is None
        end(child)
        assert child.wait(60) == number
        until(lambda pid=child.pid: not any(each.pid == pid for each in descendants()))  # type: ignore[misc]


def descendants() -> list[Process]:
    """All processes below this one."""
    return Process().children(recursive=True)


def test_it_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    """And so does the process that it was forked from."""
    (tmp_path / "waits.py").write_text("import signal\nsignal.pause()")
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as owner:  # fmt: skip
        assert owner.stdout is not None
        child = Process(int(owner.stdout.readline()))
        nursery = child.parent()
        assert nursery is not None
        owner.kill()
        until(lambda: not runs(child) and not runs(nursery))
