"""Files below one folder, and nothing outside it.

Every part of a path is opened by itself and no symbolic link is followed, so that a link that
appears between a look and a use leads nowhere either. Git's own files are out of reach.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe must not keep us
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class RefusedError(Exception):
    """A path or an operation that is not allowed; the message says why, in one line."""


def parts_of(path: str) -> tuple[str, ...]:
    """The parts of a plain path.

    Raises:
        RefusedError: It is empty or absolute, has `..` or empty parts, or belongs to git.
    """
    parts = tuple(path.split("/"))
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise RefusedError(f"path {path!r} is no valid text") from None
    if "\0" in path or any(part in {"", ".", ".."} for part in parts):
        raise RefusedError(f"path {path!r} is not a plain path inside the worktree")
    if any(part.lower() == ".git" for part in parts):
        raise RefusedError(f"path {path!r} belongs to git")
    return parts


@dataclass(frozen=True, slots=True)
class Confined:
    """One folder.

    Every method raises `RefusedError` for a path that is not plain, goes through a symbolic link
    or does not name what the method is for, and `OSError` where the disk refuses.

    Attributes:
        root: The folder; it exists.
    """

    root: Path

    def read(self, path: str, *, limit: int) -> bytes:
        """The content of a regular file.

        Raises:
            RefusedError: Also when it has more bytes than the limit.
        """
        parts = parts_of(path)
        with self._opened(parts[:-1], path) as folder, _sorted_out(path):
            content = _content(parts[-1], folder, limit=limit)
        if content is None:
            raise RefusedError(f"{path} is larger than {limit} bytes")
        return content

    def write(self, path: str, content: bytes) -> None:
        """Make or replace a regular file, and the folders above it. Its rights stay.

        The old file is not written into: another name of it, outside the folder, keeps its content.
        """
        parts = parts_of(path)
        with self._opened(parts[:-1], path, make=True) as folder, _sorted_out(path):
            mode = _remove(parts[-1], folder, path)
            file = os.open(parts[-1], _NEW, 0o666, dir_fd=folder)
            with os.fdopen(file, "wb") as stream:
                if mode is not None:
                    os.fchmod(file, mode & 0o777)
                stream.write(content)

    def delete(self, path: str) -> None:
        """Remove a file or a symbolic link; no folder."""
        parts = parts_of(path)
        with self._opened(parts[:-1], path) as folder, _sorted_out(path):
            if _remove(parts[-1], folder, path, link_too=True) is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def names(self, path: str = "", *, leave_out: frozenset[str] = frozenset()) -> Iterator[str]:
        """Paths of all files below a folder, in order; git's own are left out.

        Args:
            path: The folder; the whole when empty.
            leave_out: Names of folders that are not looked into.
        """
        for where, files, _ in self._walk(path, leave_out):
            yield from (f"{where}{name}" for name in files)

    def contents(
        self, path: str = "", *, limit: int, leave_out: frozenset[str] = frozenset()
    ) -> Iterator[tuple[str, bytes]]:
        """Path and content of all regular files below a folder, in order, those above the limit
        left out; of a file, its own.
        """
        if path and self._is_file(path):
            yield path, self.read(path, limit=limit)
            return
        for where, files, folder in self._walk(path, leave_out):
            for name in files:
                try:
                    content = _content(name, folder, limit=limit)
                except (OSError, RefusedError):  # a link, a pipe, or not ours to read
                    continue
                if content is not None:
                    yield f"{where}{name}", content

    def _is_file(self, path: str) -> bool:
        parts = parts_of(path)
        with self._opened(parts[:-1], path) as folder, _sorted_out(path):
            return stat.S_ISREG(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode)

    def _walk(
        self, path: str, leave_out: frozenset[str]
    ) -> Iterator[tuple[str, Sequence[str], int]]:
        """What to put before the names, the files' names, and the open folder; one folder each."""
        parts = parts_of(path) if path else ()
        with self._opened(parts, path) as top:
            for where, folders, files, folder in os.fwalk(dir_fd=top, follow_symlinks=False):
                folders[:] = sorted(
                    name for name in folders if name not in leave_out and name.lower() != ".git"
                )
                inner = () if where == "." else tuple(where.removeprefix("./").split("/"))
                yield (
                    "".join(f"{part}/" for part in (*parts, *inner)),
                    sorted(name for name in files if name.lower() != ".git"),
                    folder,
                )

    @contextmanager
    def _opened(self, parts: Sequence[str], path: str, *, make: bool = False) -> Iterator[int]:
        """The folder that the parts lead to, as an open file."""
        folder = os.open(self.root, _FOLDER)
        try:
            for part in parts:
                with _sorted_out(path):
                    deeper = _step(part, folder, make=make)
                os.close(folder)
                folder = deeper
            yield folder
        finally:
            os.close(folder)


def _step(part: str, folder: int, *, make: bool) -> int:
    try:
        return os.open(part, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
    os.mkdir(part, dir_fd=folder)
    return os.open(part, _FOLDER, dir_fd=folder)


def _content(name: str, folder: int, *, limit: int) -> bytes | None:
    """Its bytes; None when there are more than the limit."""
    with os.fdopen(os.open(name, _READ, dir_fd=folder), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise RefusedError("no regular file")
        content = stream.read(limit + 1)
    return content if len(content) <= limit else None


def _remove(name: str, folder: int, path: str, *, link_too: bool = False) -> int | None:
    """Remove it and return the mode that it had; None when nothing is there."""
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise RefusedError(f"{path} is a folder")
    if stat.S_ISLNK(mode) and not link_too:
        raise RefusedError(f"{path} is a symbolic link")
    os.unlink(name, dir_fd=folder)
    return mode


@contextmanager
def _sorted_out(path: str) -> Iterator[None]:
    """Tell in words what the system says of links and folders on the way."""
    try:
        yield
    except RefusedError as error:
        raise RefusedError(f"{path}: {error}" if path not in str(error) else str(error)) from error
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK}:
            raise RefusedError(f"{path} goes through a symbolic link") from error
        if error.errno == errno.ENOTDIR:
            message = f"{path} goes through a symbolic link or a file"
            raise RefusedError(message) from error
        raise
