from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import until
from vibe_tasks.errors import InputError
from vibe_tasks.stack.lock import LOCK_FILE, StackLock

HOLDER = """
import signal, sys
from pathlib import Path
from vibe_tasks.stack.lock import StackLock
StackLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
signal.pause()
"""


def test_a_second_stack_is_told_who_holds_the_home(tmp_path: Path) -> None:
    """The refusal is one line with the holder's process id and a way out."""
    first = StackLock(tmp_path)
    first.acquire()
    try:
        with pytest.raises(InputError) as refusal:
            StackLock(tmp_path).acquire()
    finally:
        first.release()

    assert f"process {os.getpid()}" in str(refusal.value)
    assert "VIBE_HOME" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_released_lock_is_free_and_names_nobody(tmp_path: Path) -> None:
    """A stack that ended leaves its home to the next one; releasing twice does no harm."""
    first, second = StackLock(tmp_path), StackLock(tmp_path)
    first.acquire()
    was_held = first.held
    first.release()
    first.release()

    assert was_held
    assert not first.held
    assert (tmp_path / LOCK_FILE).read_text() == ""
    second.acquire()
    second.release()


def test_two_homes_do_not_disturb_each_other(tmp_path: Path) -> None:
    """The lock is the home's, not the user's or the machine's."""
    locks = [StackLock(tmp_path / name) for name in ("a", "b")]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    for lock in locks:
        lock.acquire()
    for lock in locks:
        lock.release()


def test_a_killed_holder_leaves_no_stale_lock(tmp_path: Path) -> None:
    """After SIGKILL the home is free at once, though the file still names the dead process."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"process {holder.pid}"):
            StackLock(tmp_path).acquire()
        holder.send_signal(signal.SIGKILL)
        holder.wait(60)
    finally:
        holder.kill()
        holder.communicate()

    lock = StackLock(tmp_path)
    lock.acquire()
    until(lambda: (tmp_path / LOCK_FILE).read_text() == f"{os.getpid()}\n")
    lock.release()


def test_a_home_without_a_place_for_the_lock_is_refused(tmp_path: Path) -> None:
    """A folder that is not there is bad input, in one line that names the file."""
    with pytest.raises(InputError, match=f"cannot write {tmp_path / 'no'}"):
        StackLock(tmp_path / "no").acquire()
