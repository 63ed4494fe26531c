"""A change between two commits as a text that a database can keep, and its way back into files."""

from __future__ import annotations

import os
import zlib
from base64 import b64decode, b64encode
from pathlib import Path
from typing import TYPE_CHECKING

from vibe_tasks.errors import GitError
from vibe_tasks.workspace.git import git

if TYPE_CHECKING:
    from vibe_tasks.workspace.repository import Repository
    from vibe_tasks.workspace.worktree import Worktree

_DIFF = ("diff", "--binary", "--full-index", "--no-renames", "--no-color", "--no-ext-diff",
         "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")  # fmt: skip


def change_between(repository: Repository, before: str, after: str) -> str:
    """The change from one commit to another, compressed, in base 64; files that are no text too.

    Raises:
        GitError: git failed.
    """
    said = git(*_DIFF, before, after, cwd=repository.path)
    # git() takes the last line feed, without which a patch is corrupt.
    raw = os.fsencode(said) + b"\n" if said else b""
    return b64encode(zlib.compress(raw)).decode("ascii")


def apply_change(tree: Worktree, change: str, *, scratch: Path) -> bool:
    """Bring a kept change into a worktree; False, and nothing changed, where it does not fit.

    Args:
        tree: The worktree, as it was checked out.
        change: From `change_between`.
        scratch: Existing folder for the patch file.
    """
    raw = zlib.decompress(b64decode(change))
    if not raw:
        return True
    patch = scratch / "cached.patch"
    patch.write_bytes(raw)
    try:
        tree.apply(patch)
    except GitError:
        return False
    return True


def tree_of(repository: Repository, commit: str) -> str:
    """Id of the commit's tree: the same for the same files, whoever committed them and when.

    Raises:
        GitError: git failed.
    """
    return git("rev-parse", f"{commit}^{{tree}}", cwd=repository.path)
