"""Merging a commit into a branch without a working tree, safe for many processes at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vibe_tasks.errors import GitError, RepositoryError, VibeError
from vibe_tasks.workspace.git import ask, commit_tree, failed, git, readable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vibe_tasks.workspace.repository import Repository

# Somebody else's merge came first; each round lets one of them through.
_ROUNDS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A commit that the branch contains.

    Attributes:
        commit: The merge commit; the merged commit itself when it was on the branch without one.
        fresh: Whether this call made the merge; False when there was nothing left to do.
    """

    commit: str
    fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a commit on a plan's branch comes from.

    Attributes:
        before: Where the branch stood before this merge; None when it is no merge of two.
        merged: What it merged.
        job_id: The deploy that made it, by its own word; empty where it names none.
    """

    before: str | None = None
    merged: str | None = None
    job_id: str = ""


class MergeConflict(VibeError):
    """The commit and the branch changed the same places.

    Args:
        paths: The files in conflict; what is not UTF-8 in a name is replaced.
        text: What git said about each of them, one per line.
        onto: Where the branch stood.
    """

    def __init__(self, paths: Sequence[str], text: str, *, onto: str) -> None:
        super().__init__(f"conflict in {', '.join(paths)}")
        self.paths = tuple(paths)
        self.text = text
        self.onto = onto


def merge(
    repository: Repository, *, branch: str, commit: str, message: str, fence: Callable[[], None]
) -> Merged:
    """Merge a commit into a branch with a merge commit of its own, exactly once.

    No working tree is touched: one that has the branch checked out falls behind it (see
    Repository.checked_out_at). Killed at any point, the call can be repeated.

    Args:
        repository: The repository.
        branch: The branch to move; it exists.
        commit: Full id of what to merge.
        message: Of the merge commit. Another one makes another commit of the same merge.
        fence: Called right before each try to move the branch; raises when the attempt has lost
            its lease.

    Raises:
        MergeConflict: The merge needs a decision; nothing has changed.
        RepositoryError: There is no such branch.
        GitError: git failed, or the two have no common ancestor.
    """
    repository.bring(commit)
    for _ in range(_ROUNDS):
        tip = repository.branch_commit(branch)
        if tip is None:
            raise RepositoryError(f"{repository.place} has no branch {branch}")
        if repository.is_ancestor(commit, tip):
            return Merged(commit=_merge_commit_of(repository, commit, tip), fresh=False)
        tree = _merged_tree(repository, tip, commit)
        new = commit_tree(tree, parents=(tip, commit), message=message, cwd=repository.path)
        fence()
        if repository.move_ref(f"refs/heads/{branch}", new=new, old=tip, fence=fence):
            return Merged(commit=new, fresh=True)
    raise GitError(f"branch {branch} moved {_ROUNDS} times while {commit} was being merged")


def origin_of(repository: Repository, commit: str) -> Origin:
    """Where a commit, as a rule the tip of a plan's branch, comes from."""
    shown = "--format=%P%n%(trailers:key=Vibe-Job,valueonly)"
    lines = git("show", "--no-patch", shown, commit, cwd=repository.path).split("\n")
    parents = lines[0].split()
    if len(parents) != 2:
        return Origin()
    return Origin(before=parents[0], merged=parents[1], job_id=lines[1] if lines[1:] else "")


def _merged_tree(repository: Repository, tip: str, commit: str) -> str:
    """The tree of the merge. git's answer: tree NUL (path NUL)* NUL (count NUL paths NUL type NUL
    message NUL)*.
    """
    command = ("merge-tree", "--write-tree", "-z", "--name-only", "--messages", tip, commit)
    reply = ask(*command, cwd=repository.path)
    if reply.code not in (0, 1) or not reply.out:
        raise failed(reply, *command)
    tree, _, rest = reply.out.partition("\0")
    if reply.code == 1:
        paths, _, messages = rest.partition("\0\0")
        raise MergeConflict(
            tuple(map(readable, dict.fromkeys(paths.split("\0")))), _said(messages.split("\0")),
            onto=tip,
        )  # fmt: skip
    return tree


def _said(fields: list[str]) -> str:
    """The messages alone."""
    messages = []
    at = 0
    while at < len(fields) - 1:
        at += int(fields[at]) + 2  # the count, its paths, then the type
        messages.append(readable(fields[at]).rstrip("\n"))
        at += 1
    return "\n".join(messages)


def _merge_commit_of(repository: Repository, commit: str, tip: str) -> str:
    """The merge that brought the commit onto the branch; the commit itself when none did."""
    listed = git("rev-list", "--first-parent", "--parents", f"{commit}..{tip}", cwd=repository.path)
    for line in listed.splitlines():
        merged, *parents = line.split()
        if commit in parents[1:]:
            return merged
    return commit
