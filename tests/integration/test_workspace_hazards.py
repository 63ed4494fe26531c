"""Programs that do what a program must not do. Nothing of any of them is left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.processes import ended_by_id, runs, unmeasured, until
from vibe_tasks.errors import PermanentError
from vibe_tasks.workspace.bounds import Bounds
from vibe_tasks.workspace.process import Finished, run

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the group is all we reach")

LEAVES = """
import os, subprocess, sys, time
def stay(how):
    if os.fork() == 0:
        how()
        with open("pids", "a") as file:
            print(os.getpid(), file=file)
        time.sleep(600)
def twice():
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
stay(lambda: None)
stay(os.setsid)
stay(twice)
while len(open("pids").readlines()) < 3 if os.path.exists("pids") else True:
    time.sleep(0.01)
print("left", flush=True)
"""
"""Leaves a child, a child with a session of its own, and a daemon born twice."""

START = """
import os, sys
from pathlib import Path
from vibe_tasks.workspace.process import run
here = Path(sys.argv[1])
run([sys.executable, "-c", sys.argv[2]], cwd=here, env=dict(os.environ), timeout=600,
    log=here / "log")
"""


@pytest.fixture
def python(tmp_path: Path) -> Any:
    """Runs Python source in tmp_path/worktree and returns how it ended."""
    (tmp_path / "worktree").mkdir()

    def start(source: str, **options: Any) -> Finished:
        options = {
            "timeout": 60.0,
            "log": tmp_path / "log",
            "env": unmeasured(os.environ),
        } | options
        return run([sys.executable, "-c", source], cwd=tmp_path / "worktree", **options)

    return start


def left(folder: Path) -> list[int]:
    """Those of the processes that wrote their ids to the file which still run."""
    pids = [int(pid) for pid in (folder / "pids").read_text().split()]
    found = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
        except psutil.NoSuchProcess:
            continue
        if runs(process):
            found.append(pid)
    return found


@linux
@pytest.mark.parametrize(
    "then", ["os.kill(os.getppid(), 15)", "time.sleep(600)", "os.kill(os.getpid(), 9)"]
)
def test_children_that_leave_are_found(python: Any, tmp_path: Path, then: str) -> None:
    """Neither a session of its own nor a double fork lets a child outlive its program.

    However the program ends: by itself, because we end it, or by a signal. A SIGTERM to the
    launcher, as to any process of a tree that is to end, does not keep it from its work.
    """
    finished = python(LEAVES + then, hear=lambda _line: 0.1 if "sleep" in then else None)
    assert finished.output == "left\n"
    assert finished.exit_code == (0 if "ppid" in then else None if "sleep" in then else 137)
    assert left(tmp_path / "worktree") == []


@linux
def test_children_that_leave_die_with_a_killed_worker(tmp_path: Path) -> None:
    """A worker that is killed with SIGKILL leaves nothing of its agent on the machine."""
    with ended_by_id() as processes:
        worker = subprocess.Popen(
            [sys.executable, "-c", START, str(tmp_path), LEAVES + "while 1: time.sleep(9)"]
        )
        processes.append(psutil.Process(worker.pid))
        until(
            lambda: (tmp_path / "log").exists() and "left" in (tmp_path / "log").read_text(),
        )
        below = psutil.Process(worker.pid).children(recursive=True)
        processes.extend(below)
        assert len(below) >= 4
        worker.kill()
        worker.wait()
        until(lambda: left(tmp_path) == [] and not any(map(runs, below)))


@linux
@pytest.mark.parametrize("victim", ["keeper", "guard"])
def test_whoever_kills_its_launcher_is_killed_with_all_that_it_started(
    python: Any, tmp_path: Path, victim: str
) -> None:
    """Two processes watch: as long as one of them lives, what left the group does not survive.

    Nobody else is hit, and the program is reported as killed.
    """
    source = """
keeper = os.getppid()
guard = int(open(f"/proc/{keeper}/stat").read().rpartition(") ")[2].split()[1])
assert open(f"/proc/{guard}/cmdline").read() == open(f"/proc/{keeper}/cmdline").read()
"""
    finished = python(LEAVES + source + f"os.kill({victim}, 9)\ntime.sleep(600)")
    assert (finished.exit_code, finished.output) == (128 + 9, "left\n")
    assert left(tmp_path / "worktree") == []


def test_a_program_that_hears_nothing_is_ended(python: Any) -> None:
    """SIGTERM, SIGINT and SIGHUP may be ignored, which does not make a program immortal."""
    source = """
import signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
print("deaf", flush=True)
while True:
    time.sleep(1)
"""
    finished = python(source, hear=lambda _line: 0.0, grace=0.2)
    assert (finished.output, finished.ended_by, finished.exit_code) == ("deaf\n", "done", None)


def test_silence_is_noticed(python: Any) -> None:
    """A program that says nothing for the idle time is ended; one that goes on talking is not."""
    source = "import sys, time\nfor _ in range({}): print('.', flush=True); time.sleep(0.2)\n"
    hung = python(source.format(1) + "time.sleep(600)", idle=3.0, grace=0.1)
    assert (hung.ended_by, hung.why, hung.output) == ("idle", "said nothing for 3 s", ".\n")
    talking = python(source.format(20), idle=3.0)
    assert (talking.ended_by, talking.exit_code) == (None, 0)


def test_a_program_that_hangs_after_its_result_is_ended(python: Any) -> None:
    """Who hears that the work is over says how long the program may still take."""
    heard: list[str] = []

    def hear(line: str) -> float | None:
        heard.append(line)
        return 0.2 if line == "result" else None

    source = "import time; print('begun\\nresult\\nmo', end='', flush=True); time.sleep({})"
    hung = python(source.format(600), hear=hear, grace=0.1)
    assert (hung.ended_by, hung.exit_code) == ("done", None)
    assert heard == ["begun", "result", "mo"]
    polite = python(source.format(0), hear=lambda _line: 30.0)
    assert (polite.ended_by, polite.exit_code) == (None, 0)


def test_it_stops_when_it_is_to_stop(python: Any) -> None:
    """The text of whoever stops it is the reason, and the program may clean up."""
    source = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("cleaned up", flush=True)))
time.sleep(600)
"""
    answers = iter([None, "the budget is used up"])
    finished = python(source, stop=lambda: next(answers), grace=30.0)
    assert (finished.ended_by, finished.why) == ("stop", "the budget is used up")
    assert finished.output == "cleaned up\n"


def test_an_error_of_a_listener_ends_the_program(python: Any, tmp_path: Path) -> None:
    """What is raised while a program runs is raised to the caller, and nothing is left running."""

    def hear(line: str) -> None:
        raise KeyError(line)

    source = "import os, time; open('pids', 'w').write(str(os.getpid())); print('x', flush=True)"
    with pytest.raises(KeyError, match="x"):
        python(f"{source}; time.sleep(600)", hear=hear)
    assert left(tmp_path / "worktree") == []


def test_the_working_directory_may_go(python: Any) -> None:
    """A program that deletes where it works still ends in order; nobody works elsewhere instead."""
    finished = python("import os, shutil; shutil.rmtree(os.getcwd()); print('gone')")
    assert (finished.exit_code, finished.output) == (0, "gone\n")
    with pytest.raises(PermanentError, match="does not exist"):
        python("print('here')")


def test_a_gigabyte_of_output_and_bad_bytes_do_no_harm(python: Any, tmp_path: Path) -> None:
    """One line of a gigabyte, invalid too: memory, log and what a listener gets are bounded."""
    heard: list[int] = []
    before = psutil.Process().memory_info().rss
    source = "import os\nblock = b'\\xff' * 1_000_000\nfor _ in range(1000): os.write(1, block)"
    finished = python(source, hear=lambda line: heard.append(len(line)))
    assert (finished.exit_code, finished.truncated, heard) == (0, True, [1_000_000])
    assert finished.output.startswith("\N{REPLACEMENT CHARACTER}" * 100)
    assert (tmp_path / "log").stat().st_size < 1_000_100
    assert psutil.Process().memory_info().rss - before < 80_000_000


def test_it_reads_its_input_to_the_end(python: Any) -> None:
    """A program that asks for more input meets its end and no terminal."""
    source = "import sys; print(len(sys.stdin.read()), sys.stdin.isatty(), repr(sys.stdin.read()))"
    assert python(source, stdin="yes\n").output == "4 False ''\n"


def bomb(depth: int) -> str:
    """Source of a program whose processes double until there are 2**depth of them."""
    return f"import os, time\nfor _ in range({depth}): os.fork()\ntime.sleep(600)"


@linux
@pytest.mark.parametrize(
    ("source", "limits", "ended_by", "why"),
    [
        ("while True: pass", Bounds(cpu=1.0), "cpu", "used more than 1 s of processor time"),
        ("import subprocess, sys\nwhile True: subprocess.run([sys.executable, '-S', '-c', ''])",
         Bounds(cpu=0.5), "cpu", "used more than 0.5 s of processor time"),
        ("import time; x = b'x' * 300_000_000; time.sleep(600)", Bounds(memory=200_000_000),
         "memory", "used more than 200 MB of memory"),
        (bomb(7), Bounds(processes=30), "processes", "had more than 30 processes at a time"),
        ("while True: print('x' * 10_000)", Bounds(output=3_000_000), "output",
         "said more than 3 MB"),
    ],
    ids=["cpu", "cpu-of-children", "memory", "processes", "output"],
)  # fmt: skip
def test_what_takes_too_much_is_killed(
    python: Any, source: str, limits: Bounds, ended_by: str, why: str
) -> None:
    """A bound counts for all processes of a program together, and the reason is told in words."""
    finished = python(source, limits=limits, grace=600.0)
    assert (finished.ended_by, finished.why, finished.exit_code) == (ended_by, why, None)


@linux
def test_shared_memory_is_counted_once(python: Any) -> None:
    """Children that a program forked, and that hold what it held, are not counted as its double."""
    source = """
import os, time
x = b"x" * 100_000_000
for _ in range(3):
    if os.fork() == 0:
        break
time.sleep(1)
"""
    assert python(source, limits=Bounds(memory=200_000_000)).exit_code == 0


def test_no_file_grows_beyond_its_limit(python: Any, tmp_path: Path) -> None:
    """A write past the limit ends the program; what was written stays, and no core dump."""
    source = """
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
with open("big", "wb", 0) as file:
    while True:
        file.write(b"x" * 300_000)
"""
    finished = python(source, limits=Bounds(file_size=1_000_000))
    assert finished.ended_by == "file_size"
    assert finished.why == "wrote a file of more than 1 MB"
    assert {path.name: path.stat().st_size for path in (tmp_path / "worktree").iterdir()} == {
        "big": 1_000_000
    }


def test_within_its_limits_a_program_notices_nothing(python: Any, tmp_path: Path) -> None:
    """It has default signals, SIGPIPE among them, and its own exit code."""
    roomy = Bounds(cpu=60.0, memory=10**9, processes=100, file_size=10**9, output=10**9)
    source = "import signal; print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    finished = python(f"{source}; raise SystemExit(3)", limits=roomy)
    assert (finished.output, finished.exit_code, finished.ended_by) == ("True\n", 3, None)
    pipe = run(
        ["sh", "-c", "yes | head -n 1"], cwd=tmp_path, env=dict(os.environ), timeout=60,
        log=tmp_path / "log",
    )  # fmt: skip
    assert pipe.output == "y\n"
