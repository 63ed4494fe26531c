"""Where the embedded broker listens: a socket path short enough for the kernel."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from vibe_tasks.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_SOCKET_PATH = 100
"""Bytes. sun_path holds 104 on macOS and 108 on Linux, closing zero included (unix(4), unix(7))."""


def socket_path(home: Path, *, temp_dir: Path, uid: int) -> Path:
    """Return `<home>/broker.sock`, or a short path under temp_dir when that is too long.

    The short path is the same for the same home and user every time. Its folder
    is the caller's to make, with mode 0700, and to refuse if it is another user's.

    Args:
        home: VIBE_HOME, absolute and resolved.
        temp_dir: The folder for temporary files, absolute.
        uid: Number of the user who runs the broker.

    Raises:
        ValueError: A path that is not absolute; it would name another place elsewhere.
        InputError: The path under temp_dir is too long as well.
    """
    for name, folder in (("home", home), ("temp_dir", temp_dir)):
        if not folder.is_absolute():
            raise ValueError(f"{name} must be an absolute path, got {folder}")
    path = home / "broker.sock"
    if len(_encoded(path)) <= LONGEST_SOCKET_PATH:
        return path
    mark = sha256(_encoded(home)).hexdigest()[:12]
    path = temp_dir / f"vibe-{uid}-{mark}" / "broker.sock"
    if len(_encoded(path)) > LONGEST_SOCKET_PATH:
        raise InputError(
            f"both VIBE_HOME ({home}) and the temporary folder ({temp_dir}) are too long"
            f" for a socket path of {LONGEST_SOCKET_PATH} bytes: set a shorter VIBE_HOME or TMPDIR"
        )
    return path


def _encoded(path: Path) -> bytes:
    return str(path).encode("utf-8", "surrogateescape")
