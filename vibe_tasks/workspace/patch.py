"""A change between two commits as a text that a database can keep, and its way back into files."""

from __future__ import annotations

import os
import zlib
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from vibe_tasks.errors import GitError
from vibe_tasks.workspace.git import first_bytes, git

if TYPE_CHECKING:
    from vibe_tasks.workspace.repository import Repository
    from vibe_tasks.workspace.worktree import Worktree

_DIFF = ("diff", "--binary", "--full-index", "--no-renames", "--no-color", "--no-ext-diff",
         "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")  # fmt: skip


def change_between(repository: Repository, before: str, after: str, *, most: int) -> str | None:
    """The change from one commit to another, compressed, in base 64; files that are no text too.

    Args:
        repository: The repository.
        before: The commit that it begins from.
        after: The commit that it leads to.
        most: Bytes of the patch; None is returned where it has more. It is not read further.

    Raises:
        GitError: git failed.
    """
    raw, cut = first_bytes(*_DIFF, before, after, cwd=repository.path, most=most)
    return None if cut else b64encode(zlib.compress(raw)).decode("ascii")


def content_of(repository: Repository, before: str, after: str) -> str:
    """What a change comes to, as 64 hex digits: equal for the same files with the same content.

    Raises:
        GitError: git failed.
    """
    listed = git("diff-tree", "-r", "-z", "--no-renames", before, after, cwd=repository.path)
    return sha256(os.fsencode(listed)).hexdigest()


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
    finally:
        patch.unlink(missing_ok=True)
    return True


def tree_of(repository: Repository, commit: str) -> str:
    """Id of the commit's tree: the same for the same files, whoever committed them and when.

    Raises:
        GitError: git failed.
    """
    return git("rev-parse", f"{commit}^{{tree}}", cwd=repository.path)
