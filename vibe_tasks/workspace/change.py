"""What a commit changes, as text of bounded length."""

from __future__ import annotations

from dataclasses import dataclass

from vibe_tasks.workspace.git import beginning
from vibe_tasks.workspace.repository import Repository

LONGEST_DIFF = 60_000
"""Bytes of a diff that are shown. A program's argument may have 128 KiB on Linux, and some agents
take their prompt as one."""

# Neither programs that the repository's attributes name nor colours that somebody has configured.
_PLAIN = ("--no-ext-diff", "--no-textconv", "--no-color", "--find-renames")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a commit changes.

    Attributes:
        base: The commit that it began from; empty where they share no history.
        commit: The commit.
        diff: Names of the files with their counts, then the diff of each.
        cut: Whether there is more of it.
    """

    base: str
    commit: str
    diff: str
    cut: bool


def change_of(repository: Repository, *, onto: str, commit: str) -> Change:
    """What the commit would bring.

    Args:
        repository: The repository.
        onto: Where it is to be merged.
        commit: The commit.

    Raises:
        GitError: git failed.
    """
    began = repository.merge_base(onto, commit) or ""
    where = (began, commit) if began else ("--root", commit)
    diff, cut = beginning(
        "diff-tree", "-r", "--no-commit-id", "--patch-with-stat", *_PLAIN, *where,
        cwd=repository.path, most=LONGEST_DIFF,
    )  # fmt: skip
    return Change(base=began, commit=commit, diff=diff, cut=cut)
