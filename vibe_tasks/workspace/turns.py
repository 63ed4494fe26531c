"""Taking turns: what only one process of this machine may do at a time, and what it was about."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vibe_tasks.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO


class Turn:
    """A turn that is ours.

    Args:
        file: Its lock file, open and locked.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        file.seek(0)
        self._note = file.read()

    @property
    def note(self) -> str:
        """What was noted last, in this turn or in one that a process has died in."""
        return self._note

    def write(self, note: str) -> None:
        """Note what we are about to do, on the disk; empty: it is done."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(note)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._note = note


@contextmanager
def turn(folder: Path, name: str) -> Iterator[Turn]:
    """Wait for our turn, and keep it for the block; a process that dies gives its turn back.

    Args:
        folder: Where the lock files are, made if need be.
        name: What the turn is for: a file name.

    Raises:
        InputError: The folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / f"{name}.lock").open("a+", errors="replace")
    except OSError as error:
        raise InputError(f"{folder} cannot be used: {error.strerror or error}") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield Turn(file)
