"""Running one child program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.processes import ended_by_id, runs, until
from vibe_tasks.errors import PermanentError, TransientError
from vibe_tasks.workspace import process
from vibe_tasks.workspace.process import Finished, run

LONG = "600"


@pytest.fixture
def shell(tmp_path: Path) -> Any:
    """Runs a shell command line in tmp_path and returns how it ended."""

    def start(command: str, **options: Any) -> Finished:
        options = {"timeout": 60.0, "log": tmp_path / "logs" / "log"} | options
        return run(["sh", "-c", command], cwd=tmp_path, env=dict(os.environ), **options)

    return start


def gone(pid: int) -> bool:
    """Whether no process of this id runs any more."""
    try:
        return not runs(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return True


def test_exit_code_and_both_streams_are_reported(shell: Any, tmp_path: Path) -> None:
    """A program's exit code and everything it said reach the caller and the log."""
    finished = shell("echo out; echo err >&2; exit 3")
    assert (finished.exit_code, finished.timed_out, finished.truncated) == (3, False, False)
    assert sorted(finished.output.split()) == ["err", "out"]
    assert finished.stdout_tail == "out\n"
    assert (tmp_path / "logs/log").read_text() == finished.output
    assert finished.seconds > 0


def test_the_log_is_added_to(shell: Any, tmp_path: Path) -> None:
    """A second run in the same log loses nothing of the first."""
    shell("echo one")
    shell("echo two")
    assert (tmp_path / "logs/log").read_text() == "one\ntwo\n"


def test_standard_input_is_what_was_given(shell: Any) -> None:
    """Input larger than a pipe arrives whole, also when nobody reads it or it is not UTF-8."""
    text = "ä" * 500_000
    assert shell("wc -c", stdin=text).output.strip() == "1000000"
    assert shell("true", stdin=text).exit_code == 0
    assert shell("cat").output == ""
    assert shell("cat", stdin="\ud800").output == "?"


def test_nothing_is_inherited(tmp_path: Path) -> None:
    """The child has the environment given, no terminal, a session of its own and its own group."""
    ours = os.getsid(0)
    script = f"import os;print(sorted(os.environ), os.getsid(0)==os.getpgrp()!={ours})"
    finished = run(
        [sys.executable, "-I", "-c", script],
        cwd=tmp_path, env={"A": "1", "LC_ALL": "C.UTF-8"}, timeout=60, log=tmp_path / "log",
    )  # fmt: skip
    names, session = finished.output.rsplit(" ", 1)
    assert session.strip() == "True"
    assert set(eval(names)) <= {"A", "LC_ALL", "PWD", "OLDPWD", "SHLVL", "_"}  # noqa: S307


def test_a_program_has_no_child_that_it_did_not_start(tmp_path: Path) -> None:
    """An agent that waits for any child is not kept waiting by one of ours."""
    script = "import os\ntry: os.wait()\nexcept ChildProcessError: print('none')"
    finished = run(
        [sys.executable, "-c", script], cwd=tmp_path, env={}, timeout=60, log=tmp_path / "log"
    )
    assert finished.output == "none\n"


def test_a_signal_is_reported_as_a_shell_does(shell: Any) -> None:
    """A crashed program has the exit code 128 + n, also when the whole group was hit."""
    assert shell("kill -SEGV $$").exit_code == 128 + signal.SIGSEGV
    assert shell("kill -KILL 0").exit_code == 128 + signal.SIGKILL


def test_time_is_up_for_the_whole_group(shell: Any, tmp_path: Path) -> None:
    """At the timeout children and grandchildren end, those that ignore SIGTERM too."""
    ignoring = f"trap '' TERM; sleep {LONG} & echo $! $$ >> pids; wait"
    finished = shell(f"(sh -c \"{ignoring.replace('$', chr(92) + '$')}\") & {ignoring}",
                     timeout=0.5, grace=0.1)  # fmt: skip
    assert (finished.exit_code, finished.timed_out) == (None, True)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 4
    assert all(map(gone, pids))


def test_a_program_may_clean_up_within_its_grace(shell: Any) -> None:
    """SIGTERM comes first; what is said on it is kept, and it is a timeout all the same."""
    finished = shell(f"trap 'echo bye; exit 0' TERM; sleep {LONG} & wait", timeout=0.3, grace=600.0)
    assert (finished.exit_code, finished.timed_out) == (None, True)
    assert finished.output.endswith("bye\n")


def test_silence_does_not_hide_the_end(shell: Any) -> None:
    """A program that closed its output is still waited for, and still ended in time."""
    closed = "exec >&- 2>&-;"
    assert shell(f"{closed} sleep 0.1; exit 4").exit_code == 4
    assert shell(f"{closed} sleep {LONG}", timeout=0.2, grace=0.1).timed_out


def test_a_background_child_does_not_hold_us_up(shell: Any) -> None:
    """The program's end is the end: what it left running is killed, open pipe or not."""
    finished = shell(f"sleep {LONG} & echo $!")
    assert finished.exit_code == 0
    assert gone(int(finished.output))


def test_endless_output_is_bounded(shell: Any, tmp_path: Path) -> None:
    """Of 100 MB the first and the last part are kept, in memory and on disk."""
    tracked = psutil.Process()
    before = tracked.memory_info().rss
    finished = shell(
        "echo first; head -c 100000000 /dev/zero; echo; echo last", output_limit=10_000
    )
    assert finished.truncated
    assert finished.output.startswith("first\n")
    assert finished.output.endswith("\nlast\n")
    assert "[... 99990012 bytes left out ...]" in finished.output
    assert (tmp_path / "logs/log").stat().st_size < 10_100
    assert len(finished.stdout_tail) == 200_000
    assert tracked.memory_info().rss - before < 50_000_000


def test_output_past_the_timeout_ends(shell: Any) -> None:
    """A program that never stops talking is ended in time."""
    finished = shell("yes", timeout=0.3, grace=0.1, output_limit=1_000)
    assert finished.timed_out
    assert finished.truncated


def test_bad_utf8_is_replaced(shell: Any) -> None:
    """Output is text whatever the bytes were, without NUL."""
    assert (
        shell(r"printf 'a\377\000b'").output
        == "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b"
    )


def test_programs_are_looked_up_as_a_person_expects(tmp_path: Path) -> None:
    """Names go by the child's PATH, paths by its working directory; built-ins take no name."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "exit"
    program.write_text("#!/bin/sh\necho mine $*\n")
    program.chmod(0o755)
    options: Any = {"cwd": tmp_path, "timeout": 60, "log": tmp_path / "log"}
    assert (
        run(["exit", "a b"], env={"PATH": str(tmp_path / "bin")}, **options).output == "mine a b\n"
    )
    assert run(["bin/exit"], env={}, **options).output == "mine\n"
    assert run(["true"], env={}, **options).exit_code == 0


@pytest.mark.parametrize(
    ("argv", "cwd", "env", "said"),
    [
        ([], ".", {}, "argument list is empty"),
        ([""], ".", {}, "argument list is empty"),
        (["no-such-program"], ".", {}, "'no-such-program' was not found"),
        (["./no-such-program"], ".", {}, "was not found"),
        (["true"], "missing", {}, "missing does not exist"),
        (["true", "a\0b"], ".", {}, "cannot be started"),
        (["true", "x" * 3_000_000], ".", {}, "cannot be started"),
        (["true"], ".", {"A": "a\0b"}, "cannot be started"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_line(
    tmp_path: Path, argv: list[str], cwd: str, env: dict[str, str], said: str
) -> None:
    """Another attempt would not help, and the line says why."""
    with pytest.raises(PermanentError, match=said) as caught:
        run(argv, cwd=tmp_path / cwd, env=env, timeout=1, log=tmp_path / "log")
    assert "\n" not in str(caught.value)


def test_a_full_machine_is_worth_another_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room for a process is not the program's fault, and no pipe is left open."""

    def full(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    before = psutil.Process().num_fds()
    monkeypatch.setattr(process.subprocess, "Popen", full)
    with pytest.raises(TransientError, match="temporarily"):
        run(["true"], cwd=tmp_path, env={}, timeout=1, log=tmp_path / "log")
    assert psutil.Process().num_fds() == before


def test_an_exception_ends_the_program(shell: Any, tmp_path: Path) -> None:
    """A time limit that is raised into us leaves nothing running."""

    class TimeLimitError(Exception):
        pass

    def raised(*_: object) -> None:
        raise TimeLimitError

    def when_started() -> None:
        until((tmp_path / "pid").exists)
        os.kill(os.getpid(), signal.SIGUSR1)

    before, fds = signal.signal(signal.SIGUSR1, raised), psutil.Process().num_fds()
    watcher = threading.Thread(target=when_started)
    watcher.start()
    try:
        with pytest.raises(TimeLimitError):
            shell(f"echo $$ > p; mv p pid; sleep {LONG}")
    finally:
        watcher.join()
        signal.signal(signal.SIGUSR1, before)
    assert gone(int((tmp_path / "pid").read_text()))
    assert psutil.Process().num_fds() == fds


def test_an_ignored_interrupt_is_not_handed_on(tmp_path: Path) -> None:
    """Celery's pool ignores SIGINT; the tests that a check runs must not have to."""
    script = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        finished = run(
            [sys.executable, "-c", script], cwd=tmp_path, env={}, timeout=60, log=tmp_path / "log"
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert finished.output == "True\n"


def test_the_group_dies_with_us(tmp_path: Path) -> None:
    """A worker killed with SIGKILL takes its agent along, and the agent's children."""
    agent = f"trap '' TERM; sleep {LONG} & echo $$ $! > p; mv p pids; wait"
    script = (
        "import os,sys; from pathlib import Path; from vibe_tasks.workspace.process import run\n"
        "here = Path(sys.argv[1])\n"
        "run(['sh','-c',sys.argv[2]], cwd=here, env=dict(os.environ), timeout=600, log=here/'log')"
    )
    with ended_by_id() as processes:
        worker = subprocess.Popen([sys.executable, "-c", script, str(tmp_path), agent])
        processes.append(psutil.Process(worker.pid))
        until((tmp_path / "pids").exists)
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        processes += [psutil.Process(pid) for pid in pids]
        worker.kill()
        worker.wait()
        until(lambda: all(map(gone, pids)))


def test_many_at_once_do_not_disturb_each_other(shell: Any, tmp_path: Path) -> None:
    """Programs run from several threads end on their own, with their own output."""
    results: dict[int, Finished] = {}

    def one(number: int) -> None:
        results[number] = shell(f"echo {number}; exit {number}", log=tmp_path / f"log-{number}")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: (f.exit_code, f.output) for n, f in results.items()} == {
        n: (n, f"{n}\n") for n in range(16)
    }
