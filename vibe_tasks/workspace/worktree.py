"""A working tree of its own for one attempt, and what becomes of it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vibe_tasks.workspace.git import Reply, ask, commit_tree, failed, git, names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vibe_tasks.workspace.repository import Repository

_CACHES = ("__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache")
_COMPILED = (".pyc", ".pyo")
_ALL = (
    "add", "-A", "--", ":/",
    *(f":(top,exclude,glob)**/{name}/**" for name in _CACHES),
    *(f":(top,exclude,glob)**/*{suffix}" for suffix in _COMPILED),
)  # fmt: skip
_MERGE_STATE = ("MERGE_HEAD", "MERGE_MODE", "MERGE_MSG", "AUTO_MERGE")
_GITLINK = "160000"
_ABSENT = "000000"
_EMPTY_NESTED = re.compile(
    r"^error: '(.*?)/' does not have a commit checked out$", re.MULTILINE | re.DOTALL
)
_MARKERS = (b"<<<<<<<", b"=======", b">>>>>>>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Worktree:
    """A checked-out commit that an attempt may change.

    Attributes:
        path: The folder.
        base: The commit that was checked out.
        entry: git's folder for it inside the repository. Commands are given it by name: should an
            agent delete or bend the `.git` file, git would go on to look for a repository in the
            folders above.
    """

    path: Path
    base: str
    entry: Path

    def reset(self) -> None:
        """Bring index and files to the base; files that git does not know stay."""
        self._git("read-tree", "--reset", "-u", self.base)

    def commit_all(self, message: str) -> str:
        """Commit whatever is new, changed or deleted; returns HEAD's commit when nothing is.

        Ignored files and Python's caches stay out. What the agent committed itself is included. A
        repository that the agent made in a subfolder is committed as plain files. No branch moves.

        Raises:
            GitError: git failed.
        """
        for name in ("index.lock", "HEAD.lock"):  # of a git that was killed together with its agent
            (self.entry / name).unlink(missing_ok=True)
        changed = self._add_all()
        head = self._head()
        merging = self._merging()
        if not changed and not merging and head == self.base:
            return head
        tree = self._git("write-tree")
        if not merging and head and head != self.base and tree == self._tree_of(head):
            return head
        parents = (head or self.base, *merging)
        commit = commit_tree(tree, parents=parents, message=message, cwd=self.entry)
        self._git("update-ref", "--no-deref", "-m", "vibe_tasks", "HEAD", commit)
        for name in _MERGE_STATE:
            (self.entry / name).unlink(missing_ok=True)
        return commit

    def merge_in(self, commit: str) -> tuple[str, ...]:
        """Merge a commit into the working tree and return the paths in conflict.

        commit_all concludes the merge. Text files in conflict hold conflict markers; a binary file,
        or one that only one side deleted, stays as it was on one side.

        Raises:
            GitError: git failed, or there are changes that are not committed.
        """
        command = ("merge", "--no-ff", "--no-commit", "--no-stat", "-q", commit)
        reply = self._ask(*command)
        if reply.code == 0:
            return ()
        unmerged = names(self._git("ls-files", "-u", "-z"))
        if not unmerged:
            raise failed(reply, *command)
        return tuple(dict.fromkeys(entry.split("\t", 1)[1] for entry in unmerged))

    def apply(self, patch: Path) -> None:
        """Make the changes of a patch file, all or none.

        Raises:
            GitError: It does not fit.
        """
        self._git("apply", "--index", "--whitespace=nowarn", "--", str(patch))

    def unresolved(self, paths: Sequence[str]) -> tuple[str, ...]:
        """Those of the paths that still hold conflict markers."""
        return tuple(path for path in paths if _has_markers(self.path / path))

    def _add_all(self) -> bool:
        """Bring the index up to the files; whether it differs from the base."""
        while True:
            reply = self._ask(*_ALL)
            if reply.code:
                changes, nested = [], _EMPTY_NESTED.findall(reply.err)
            else:
                changes = self._changes()
                nested = [path for path, new, old in changes if new == _GITLINK != old]
            nested = [path for path in nested if _is_folder(self.path / path / ".git")]
            if reply.code and not nested:
                raise failed(reply, "add", "-A")
            caches = [path for path, _, old in changes if old == _ABSENT and _is_cache(path)]
            for path in nested:
                _remove(self.path / path / ".git")
            if nested or caches:
                unwanted = "\0".join(nested + caches)
                self._git("update-index", "--force-remove", "-z", "--stdin", input=unwanted)
            if not nested:
                return len(changes) > len(caches)

    def _changes(self) -> list[tuple[str, str, str]]:
        """Path, new mode and old mode of whatever the index has other than the base."""
        raw = names(self._git("diff-index", "--cached", "--raw", "-z", "--no-renames", self.base))
        modes = (entry[1:].split(" ", 2) for entry in raw[::2])
        return [(path, new, old) for path, (old, new, _) in zip(raw[1::2], modes, strict=True)]

    def _head(self) -> str | None:
        """The commit to build on; None when the agent's HEAD shares no history with the base."""
        with suppress(FileNotFoundError):
            if (self.entry / "HEAD").read_text(errors="replace") == f"{self.base}\n":
                return self.base
        reply = self._ask("rev-parse", "-q", "--verify", "HEAD^{commit}")
        if reply.code or self._ask("merge-base", self.base, reply.out).code:
            return None
        return reply.out

    def _tree_of(self, commit: str) -> str:
        return self._git("rev-parse", f"{commit}^{{tree}}")

    def _merging(self) -> list[str]:
        """The commits that an open merge brings in."""
        try:
            return (self.entry / "MERGE_HEAD").read_text().split()
        except FileNotFoundError:
            return []

    def _git(self, *args: str, input: str | None = None) -> str:  # noqa: A002 as in git()
        return git(*args, cwd=self.path, env=self._environment(), input=input)

    def _ask(self, *args: str) -> Reply:
        return ask(*args, cwd=self.path, env=self._environment())

    def _environment(self) -> dict[str, str]:
        return {"GIT_DIR": str(self.entry), "GIT_WORK_TREE": str(self.path)}


@contextmanager
def checkout(repository: Repository, commit: str, path: Path) -> Iterator[Worktree]:
    """A detached worktree of the commit, removed at the end whatever was raised.

    What a killed attempt left at the same path is removed first. Pin what is to be kept before
    leaving: commits that no ref holds may be collected.

    Args:
        repository: The repository.
        commit: Full id of the commit.
        path: The folder to make; nobody else uses it.

    Raises:
        GitError: git failed.
        OSError: The folder cannot be made, or what was left there cannot be removed.
    """
    repository.bring(commit)
    path = path.parent.resolve() / path.name  # a link left in its place is removed, not followed
    entry = _entry(repository, path)
    _remove(path)
    _forget(entry)
    worktree = Worktree(path=path, base=commit, entry=entry)
    try:
        _register(worktree)
        worktree.reset()
        yield worktree
    finally:
        # An escaped child may still write here: the attempt's result counts, the next start at this
        # path cleans up.
        with suppress(OSError):
            _remove(path)
        _forget(entry)


def remove_leftover(path: Path) -> None:
    """Remove the worktree that a killed attempt left, from the disk and from git's list.

    What cannot be removed stays. The repository is the one that the folder names; a folder that
    names another place than ours, as an agent may have bent it, is removed alone.
    """
    path = path.parent.resolve() / path.name
    with suppress(OSError):
        link = path / ".git"
        if link.is_file():  # no pipe, which would keep us
            with link.open("rb") as file:
                named = Path(os.fsdecode(file.read(4096)).removeprefix("gitdir: ").rstrip("\n"))
            if named.name == _entry_name(path) and named.parent.name == "worktrees":
                _forget(named)
    with suppress(OSError):
        _remove(path)


def _entry(repository: Repository, path: Path) -> Path:
    """Where git keeps the worktree's index and HEAD: named after the path, so that a second attempt
    finds it.
    """
    return repository.common_dir / "worktrees" / _entry_name(path)


def _entry_name(path: Path) -> str:
    return f"vibe-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"


def _register(worktree: Worktree) -> None:
    """Make the worktree known to git, at once and whole.

    `git worktree add` writes its files one by one, and while one is empty (for ever, after a kill)
    every other `git worktree` in the repository dies of "failed to read commondir". The layout is
    gitrepository-layout(5)'s.
    """
    worktree.path.mkdir(parents=True)
    (worktree.path / ".git").write_bytes(b"gitdir: " + os.fsencode(worktree.entry) + b"\n")
    new = _aside(worktree.entry, "new")
    _remove(new)
    new.mkdir(parents=True)
    (new / "HEAD").write_text(f"{worktree.base}\n")
    (new / "commondir").write_text("../..\n")
    (new / "gitdir").write_bytes(os.fsencode(worktree.path / ".git") + b"\n")
    worktree.entry.parent.mkdir(exist_ok=True)
    new.rename(worktree.entry)


def _forget(entry: Path) -> None:
    """Take the worktree from git's list, at once and whole."""
    old = _aside(entry, "old")
    _remove(old)
    old.parent.mkdir(exist_ok=True)
    with suppress(FileNotFoundError):
        entry.rename(old)
        _remove(old)


def _aside(entry: Path, suffix: str) -> Path:
    """A place beside git's list, on the same disk."""
    return entry.parent.parent / "vibe_tasks" / f"{entry.name}.{suffix}"


def _remove(path: Path) -> None:
    """Remove a folder, or a file, that an agent may have made read-only."""
    if not _is_folder(path):
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except OSError:  # a folder without permissions, or a file that appeared just now
        for folder, folders, _ in os.walk(path):
            for name in (".", *folders):
                if not Path(folder, name).is_symlink():
                    with suppress(OSError):
                        Path(folder, name).chmod(0o700)
        shutil.rmtree(path)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_cache(path: str) -> bool:
    *folders, _ = path.split("/")
    return path.endswith(_COMPILED) or not set(_CACHES).isdisjoint(folders)


def _has_markers(path: Path) -> bool:
    """Whether a file has lines that begin with all three markers. Links are not followed."""
    if path.is_symlink() or not path.is_file():
        return False
    missing = set(_MARKERS)
    with path.open("rb") as lines:
        for line in lines:
            missing.discard(line[:7])
    return not missing
