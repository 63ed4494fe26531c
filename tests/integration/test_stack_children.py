from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from psutil import Process

from tests.processes import descendants, ended_by_id, runs, until
from vibe_tasks.errors import InputError
from vibe_tasks.stack.children import LOG_LIMIT, Child, Guard, Program

GUARDS: list[Guard] = ["watcher", "tether"] if sys.platform == "linux" else ["watcher"]

PATIENT = "import signal\nprint('ready', flush=True)\nwhile True: signal.pause()"
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + PATIENT
POLITE = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit('bye'))\n" + PATIENT
PARENT_OF_DEAF = (
    f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {DEAF!r}])\n" + DEAF
)
OWNER = """
import json, signal, sys
from pathlib import Path
from vibe_tasks.stack.children import Child, Program
argv = (sys.executable, "-c", sys.argv[3])
child = Child(Program(name="c", argv=argv, environ={}), logs=Path(sys.argv[1]), guard=sys.argv[2])
print(json.dumps(child.pid), flush=True)
signal.pause()
"""


def program(code: str, *, name: str = "child") -> Program:
    return Program(name=name, argv=(sys.executable, "-c", code), environ=dict(os.environ))


@pytest.fixture(params=GUARDS)
def guard(request: pytest.FixtureRequest) -> Guard:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def children() -> Iterator[list[Child]]:
    started: list[Child] = []
    yield started
    for child in started:
        child.kill()


def ready(child: Child, *, count: int = 1) -> Child:
    until(lambda: child.log.read_text().count("ready") >= count)
    return child


def test_both_outputs_go_to_the_log_and_the_exit_code_is_kept(
    tmp_path: Path, guard: Guard, children: list[Child]
) -> None:
    """What a child prints is in `<name>.log`, its exit code is known to the parent."""
    code = "import sys\nprint('out', flush=True)\nprint('err', file=sys.stderr)\nsys.exit(7)"
    children.append(Child(program(code, name="worker"), logs=tmp_path, guard=guard))

    assert children[0].wait(60) == 7
    assert children[0].exit_code() == 7
    assert (tmp_path / "worker.log").read_text() == "out\nerr\n"
    assert children[0].last_words() == "out | err"


def test_the_child_dies_with_a_parent_that_was_killed(tmp_path: Path, guard: Guard) -> None:
    """SIGKILL gives the parent no chance to clean up; its child is gone all the same."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), guard, DEAF], stdout=subprocess.PIPE
    )
    with ended_by_id() as processes:
        processes.append(Process(owner.pid))
        assert owner.stdout is not None
        processes.append(Process(json.loads(owner.stdout.readline())))
        until(lambda: "ready" in (tmp_path / "c.log").read_text())
        processes.extend(descendants(processes[1]))
        owner.kill()
        owner.communicate()
        until(lambda: not any(map(runs, processes)))


def test_ctrl_c_in_the_terminal_reaches_the_parent_alone(tmp_path: Path, guard: Guard) -> None:
    """The terminal interrupts the parent, which decides how its children end; nor can a child, or
    an agent that it runs, ask for a password there.
    """
    main, terminal = pty.openpty()
    code = "import signal\nsignal.signal(signal.SIGINT, lambda *_: print('hit'))\n"
    code += "try: open('/dev/tty')\nexcept OSError: print('cannot ask')\n" + PATIENT
    # What a shell starts in the background ignores the signal, and so do these tests then.
    heard = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    owner = subprocess.Popen(
        [
            *(sys.executable, "-c", f"import os\nos.login_tty({terminal})\n{heard}{OWNER}"),
            *(str(tmp_path), guard, code),
        ],
        pass_fds=[terminal],
    )
    with ended_by_id() as processes, os.fdopen(main, "rb", buffering=0) as screen:
        processes.append(Process(owner.pid))
        os.close(terminal)
        processes.append(Process(json.loads(screen.readline())))
        until(lambda: "ready" in (tmp_path / "c.log").read_text())
        os.write(main, b"\x03")
        assert owner.wait(60) == -signal.SIGINT
    assert (tmp_path / "c.log").read_text() == "cannot ask\nready\n"


def test_a_child_may_end_in_good_order(tmp_path: Path, guard: Guard, children: list[Child]) -> None:
    """SIGTERM comes first, and a child that obeys is not killed."""
    children.append(ready(Child(program(POLITE), logs=tmp_path, guard=guard)))

    children[0].terminate(10)

    assert children[0].exit_code() == 1
    assert children[0].last_words() == "ready | bye"


def test_a_deaf_child_is_killed_with_its_group(
    tmp_path: Path, guard: Guard, children: list[Child]
) -> None:
    """After the grace the whole process group goes, processes of the child's own included."""
    children.append(ready(Child(program(PARENT_OF_DEAF), logs=tmp_path, guard=guard), count=2))
    leader = Process(children[0].pid)
    processes = [leader, *descendants(leader)]

    children[0].terminate(0.1)

    until(lambda: not any(map(runs, processes)))


def test_a_program_that_is_not_there_says_so_in_the_log(
    tmp_path: Path, guard: Guard, children: list[Child]
) -> None:
    """A wrong path is told in one line, with the exit code that shells use."""
    missing = Program(name="child", argv=("/no/such/program",), environ={})
    children.append(Child(missing, logs=tmp_path, guard=guard))

    assert children[0].wait(60) == 127
    assert children[0].last_words() == "cannot start /no/such/program: No such file or directory"


def test_the_environment_is_the_given_one(
    tmp_path: Path, guard: Guard, children: list[Child]
) -> None:
    """Nothing of ours leaks into a child, and its own Python settings reach it."""
    code = "import os\nprint(sorted(k for k in os.environ if k in ('PATH', 'PYTHONPATH')))"
    given = Program(
        name="child", argv=(sys.executable, "-c", code), environ={"PYTHONPATH": "/nowhere"}
    )
    children.append(Child(given, logs=tmp_path, guard=guard))

    children[0].wait(60)
    assert children[0].last_words() == "['PYTHONPATH']"


def test_a_long_log_is_moved_aside_at_the_start(tmp_path: Path, children: list[Child]) -> None:
    """A log beyond the limit starts anew, and one older is kept; a shorter one is continued."""
    log = tmp_path / "child.log"
    log.write_text("old\n")
    os.truncate(log, LOG_LIMIT + 1)
    for _ in range(2):
        children.append(Child(program("print('new')"), logs=tmp_path))
        children[-1].wait(60)

    assert log.read_text() == "new\nnew\n"
    assert (tmp_path / "child.log.1").stat().st_size == LOG_LIMIT + 1


def test_last_words_are_those_of_this_start_and_short(
    tmp_path: Path, children: list[Child]
) -> None:
    """Messages quote one line of bounded length, whatever bytes the child wrote."""
    (tmp_path / "child.log").write_text("words of an earlier start\n")
    noise = "import os\nos.write(1, b'\\xff' * 9000 + b'\\n\\n  the   end\\n')"
    for code, words in [("", ""), (noise, "\ufffd" * 490 + " | the end")]:
        children.append(Child(program(code), logs=tmp_path))
        children[-1].wait(60)
        assert children[-1].last_words() == words[-500:]

    (tmp_path / "child.log").unlink()
    assert children[-1].last_words() == "(no log: No such file or directory)"


def test_a_log_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    """One clear line instead of a traceback."""
    with pytest.raises(InputError, match=r"cannot start child: .*No such file"):
        Child(program(""), logs=tmp_path / "missing")


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's")
def test_a_child_is_not_tied_to_a_passing_thread(tmp_path: Path) -> None:
    """The kernel ends a tethered child with its thread, so other threads are refused."""
    refusals: list[str] = []

    def start() -> None:
        try:
            Child(program(""), logs=tmp_path)
        except RuntimeError as error:
            refusals.append(str(error))

    thread = Thread(target=start)
    thread.start()
    thread.join(60)
    assert refusals == ["child must be started from the main thread"]
