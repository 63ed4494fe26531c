"""Where the web server of a home is found: `web.json` in the home folder.

The server holds a lock on the file for as long as it lives. A file that nobody holds is what a
killed server left.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path

FILE = "web.json"


class Place:
    """The file of one server.

    Args:
        home: An existing folder.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / FILE
        self._descriptor: int | None = None

    def take(self, url: str) -> bool:
        """Write the address down; False where another server of this home has done so.

        Raises:
            OSError: The file cannot be written.
        """
        descriptor = self._locked()
        if descriptor is None:
            return False
        self._descriptor = descriptor
        content = json.dumps({"url": url, "pid": os.getpid()}) + "\n"
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, content.encode(), 0)
        return True

    def leave(self) -> None:
        """Remove the file; does nothing where it is not ours."""
        if self._descriptor is None:
            return
        with suppress(OSError):  # somebody removed the home
            self._path.unlink()
        os.close(self._descriptor)
        self._descriptor = None

    def _locked(self) -> int | None:
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            if _is_at(self._path, descriptor):
                return descriptor
            os.close(descriptor)  # its server removed it between our two steps


def find_server(home: Path) -> str | None:
    """The address of the web server that runs in this home; None where none does."""
    try:
        descriptor = os.open(home / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:  # somebody holds it, and so lives
        return _url(os.pread(descriptor, 4096, 0))
    else:
        return None
    finally:
        os.close(descriptor)


def _url(content: bytes) -> str | None:
    try:
        url = json.loads(content)["url"]
    except (ValueError, KeyError, TypeError):  # it is being written
        return None
    return url if isinstance(url, str) else None


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
