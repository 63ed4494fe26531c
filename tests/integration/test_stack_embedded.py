from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from psutil import Process
from redis import Redis

from tests.processes import descendants, ended_by_id, runs, until
from vibe_tasks.errors import InputError, UnavailableError
from vibe_tasks.stack.broker import broker_ready
from vibe_tasks.stack.embedded import EmbeddedStack
from vibe_tasks.tasks.broker_socket import broker_answers

PATIENT = "import os, signal\nprint(os.environ['VIBE_HOME'], flush=True)\nsignal.pause()"

WORKER = """
import ctypes, os
from celery import Celery, signals

app = Celery("tiny", broker=f"redis+socket://{os.environ['VIBE_HOME']}/broker.sock")
main = os.getpid()

@signals.worker_process_init.connect
def end_with_the_worker(**_):
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
    if os.getppid() != main:  # it was killed before, and the kernel tells nobody of that
        os._exit(1)
"""

OWNER = """
import json, os, signal, sys
from pathlib import Path
from vibe_tasks.stack.embedded import EmbeddedStack
stack = EmbeddedStack(
    Path(sys.argv[1]), workers=1, lanes=["code"], environ=dict(os.environ),
    commands=json.loads(sys.argv[2]),
)
stack.start()
print(json.dumps(dict(stack.pids)), flush=True)
signal.pause()
"""


def stack_of(home: Path, *codes: str) -> EmbeddedStack:
    """A stack whose children beside the broker run these programs."""
    commands = {f"child{n}": [sys.executable, "-c", code] for n, code in enumerate(codes)}
    return EmbeddedStack(
        home, workers=1, lanes=["code"], environ=dict(os.environ), commands=commands
    )


@contextmanager
def owned_by_another_process(
    home: Path, commands: dict[str, list[str]]
) -> Iterator[tuple[subprocess.Popen[bytes], list[Process]]]:
    """A stack in a process of its own: its handle, and it and all that it started."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home), json.dumps(commands)], stdout=subprocess.PIPE
    )
    with ended_by_id() as processes:
        processes.append(Process(owner.pid))
        assert owner.stdout is not None
        processes.extend(map(Process, json.loads(owner.stdout.readline()).values()))
        yield owner, processes
        owner.kill()
        owner.communicate()


def works(stack: EmbeddedStack) -> bool:
    with Redis(unix_socket_path=str(stack.socket)) as client:
        return bool(client.rpush("list", "x") == 1 and client.lpop("list") == b"x")


def test_the_stack_runs_and_ends_completely(tmp_path: Path) -> None:
    """Broker and children run; they know their home; after the stop nothing of them is left."""
    home = tmp_path / "deep" / "home"
    with stack_of(home, PATIENT, PATIENT) as stack:
        processes = [Process(pid) for pid in stack.pids.values()]
        assert list(stack.pids) == ["valkey", "child0", "child1"]
        assert works(stack)
        until(lambda: (home / "logs" / "child1.log").read_text() == f"{home}\n")
        stack.poll()
        assert home.stat().st_mode & 0o777 == 0o700

    assert not any(map(runs, processes))
    assert not stack.socket.exists()
    stack.stop()
    with stack:
        assert works(stack)


@pytest.mark.skipif(sys.platform != "linux", reason="the worker's own death signal is Linux's")
def test_nothing_outlives_a_killed_stack(tmp_path: Path) -> None:
    """SIGKILL of the owner: broker, Celery worker and the worker's pool are gone."""
    (tmp_path / "tiny.py").write_text(WORKER)
    worker = [sys.executable, "-m", "celery", "--workdir", str(tmp_path), "-A", "tiny", "worker"]
    worker += ["-c", "2", "--loglevel", "INFO", "--without-gossip", "--without-mingle"]
    home = tmp_path / "home"
    with owned_by_another_process(home, {"worker": worker}) as (owner, processes):
        until(lambda: " ready." in (home / "logs" / "worker.log").read_text())
        processes.extend(descendants(processes[-1]))
        assert len(processes) == 5  # the owner, Valkey, the worker and its two
        assert all(map(runs, processes))

        owner.kill()
        owner.wait(60)

        until(lambda: not any(map(runs, processes)))


def test_the_home_of_a_killed_stack_can_be_used_at_once(tmp_path: Path) -> None:
    """Neither its lock nor its socket file is in the way."""
    with owned_by_another_process(tmp_path, {}) as (owner, _):
        owner.kill()
        owner.wait(60)
        assert (tmp_path / "broker.sock").exists()
        with stack_of(tmp_path) as stack:
            assert works(stack)


def test_a_second_stack_in_the_same_home_is_refused(tmp_path: Path) -> None:
    """The refusal names the process; the first stack is not disturbed."""
    with owned_by_another_process(tmp_path, {}) as (owner, _):
        second = stack_of(tmp_path)
        with pytest.raises(InputError, match=f"already running .* \\(process {owner.pid}\\)"):
            second.start()
        second.stop()
        assert broker_answers(tmp_path / "broker.sock")


def test_a_broker_that_was_killed_comes_back_at_its_address(tmp_path: Path) -> None:
    """The next looks start it again, over the socket file that it left."""
    with stack_of(tmp_path) as stack:
        first = stack.pids["valkey"]
        os.kill(first, signal.SIGKILL)
        until(lambda: first not in stack.pids.values())

        def back() -> bool:
            stack.poll()
            return broker_answers(stack.socket)

        until(back)
        assert works(stack)


def test_a_child_that_keeps_dying_ends_in_one_clear_line(tmp_path: Path) -> None:
    """The line says what died, where its log is and what it said; all else can still be stopped."""
    with stack_of(tmp_path, "raise SystemExit('no module named shop')") as stack:
        processes = [Process(pid) for pid in stack.pids.values()]

        def given_up() -> bool:
            try:
                stack.poll()
            except UnavailableError as error:
                return "child0 keeps ending" in str(error) and "named shop" in str(error)
            return False

        until(given_up)
    assert not any(map(runs, processes))


@pytest.mark.parametrize(
    "name",
    ["with spaces and 'quotes\"", "umläut-日本", "back\\slash", "long-" + "x" * 200, "%h {a} $b"],
)
def test_any_folder_name_can_be_a_home(tmp_path: Path, name: str) -> None:
    """Spaces, quotes, other scripts, and paths longer than a socket's address may be."""
    with stack_of(tmp_path / name) as stack:
        assert works(stack)
        assert stack.socket.parent.stat().st_mode & 0o777 == 0o700
    assert not stack.socket.exists()


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """One line that names VIBE_HOME and the reason, for the home itself and for its parent."""
    (tmp_path / "file").touch()
    for home in (tmp_path / "file", tmp_path / "file" / "home"):
        with pytest.raises(InputError, match=r"cannot use .* as VIBE_HOME: ") as refusal:
            stack_of(home).start()
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("mode", [0o500, 0o000])
def test_a_home_that_cannot_be_written_is_refused(mode: int) -> None:
    """The same where rights are missing; root has them all, so it steps down for this test."""
    home = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
    home.chmod(mode)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(InputError, match="Permission denied"):
            stack_of(home).start()
    finally:
        os.seteuid(user)
        home.rmdir()


def test_a_foreign_folder_is_no_place_for_the_broker(tmp_path: Path) -> None:
    """A short path under the temporary folder is used only when it is private to this user."""
    stack = stack_of(tmp_path / ("x" * 200))
    folder = stack.socket.parent
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    try:
        with pytest.raises(InputError, match="not a private folder"):
            stack.start()
        if os.geteuid() == 0:
            folder.chmod(0o700)
            os.chown(folder, 65534, -1)
            with pytest.raises(InputError, match="not a private folder"):
                stack.start()
        folder.rmdir()
        folder.symlink_to(tmp_path)
        with pytest.raises(InputError, match="not a private folder"):
            stack.start()
    finally:
        folder.unlink() if folder.is_symlink() else folder.rmdir()


def test_a_broker_that_cannot_start_says_why(tmp_path: Path) -> None:
    """Valkey needs more than 32 open files; with fewer, its own words are in the message."""
    code = f"import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))\n{OWNER}"
    owner = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), "{}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "UnavailableError: the broker does not start; " in owner.stderr
    assert "ulimit" in owner.stderr


def test_waiting_for_a_broker_is_bounded(tmp_path: Path) -> None:
    """No broker: False in time, and at once when there is nothing to wait for."""
    assert not broker_ready(tmp_path / "broker.sock", 0.05)
    assert not broker_ready(tmp_path / "broker.sock", 3600, alive=lambda: False)


def test_flowers_port_that_is_taken_stops_the_start(tmp_path: Path):
    """In a line that says what to do; Flower itself would die again and again and take the stack
    with it. Nothing is left running, and the home is free.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        stack = EmbeddedStack(
            tmp_path, workers=1, lanes=["code"], environ=dict(os.environ),
            flower=taken.getsockname()[1],
        )  # fmt: skip
        with pytest.raises(InputError, match=r"Flower cannot listen on .*FLOWER_PORT=PORT"):
            stack.start()
        assert not stack.pids
        with stack_of(tmp_path) as other:
            assert list(other.pids) == ["valkey"]
