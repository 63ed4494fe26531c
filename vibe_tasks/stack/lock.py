"""One embedded stack for each home folder.

An advisory lock on `stack.lock` in the home, held for the life of the stack. The kernel gives it
back when the process ends, however it ends, so there is no stale lock to clear. The process id
inside the file is for people only.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from vibe_tasks.errors import InputError

LOCK_FILE = "stack.lock"


class HomeTakenError(InputError):
    """Another process runs the stack of this home."""


class StackLock:
    """The right to run the stack of one home.

    Args:
        home: An existing folder.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the lock or refuse at once.

        Raises:
            HomeTakenError: Another process holds it; its id is named.
            InputError: The file cannot be written.
        """
        path = self._home / LOCK_FILE
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise HomeTakenError(
                f"a stack is already running in {self._home} (process {holder or 'unknown'}): "
                "stop it first, or set VIBE_HOME to another folder"
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise InputError(f"cannot lock {path}: {error.strerror}") from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; does nothing where it is not held."""
        if self._descriptor is None:
            return
        # The file stays: were it removed, two processes could hold locks on two files of one name.
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = None
