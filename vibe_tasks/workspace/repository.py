"""A git repository: its branches and the commits they stand on."""

from __future__ import annotations

import fcntl
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vibe_tasks.errors import GitError, RepositoryError
from vibe_tasks.workspace.git import Reply, ask, failed, git, git_version, names, readable

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADS = "refs/heads/"
_OURS = "refs/vibe/"
_PATIENCE = (
    10.0  # seconds after which a lock file that does not change is taken for that of a killed git
)
_TRIES = 5  # for a refusal without a lock file in sight: it may have gone just now


def no_fence() -> None:
    """For moves of a ref that no lease guards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository on this machine. Nothing here touches its working tree or index.

    Attributes:
        path: Top level of the working tree, or the repository itself when it is bare.
        common_dir: What its worktrees share: objects, refs, configuration.
        bare: Whether it has no working tree.
        address: Where other hosts reach it; None for one that is on this machine alone.
    """

    path: Path
    common_dir: Path
    bare: bool
    address: str | None = None

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return str(self.path)

    @staticmethod
    def open(path: Path) -> Repository:
        """The repository that this folder is in.

        Raises:
            RepositoryError: The folder is missing, not in a git repository, or there is no commit
            yet.
        """
        git_version()
        if not path.is_dir():
            raise RepositoryError(f"{path}: no such folder")
        question = (
            "--path-format=absolute",
            "--git-common-dir",
            "--is-bare-repository",
            "--show-toplevel",
        )
        reply = ask("rev-parse", *question, cwd=path)
        lines = reply.out.split("\n")
        if len(lines) < 2:
            raise RepositoryError(f"{path} is not a git repository: {_first_line(reply)}")
        bare = lines[1] == "true"
        if not bare and len(lines) < 3:
            raise RepositoryError(f"{path} is inside the .git folder; name the working tree")
        repository = Repository(
            path=Path(lines[0] if bare else lines[2]), common_dir=Path(lines[0]), bare=bare
        )
        if (repository.common_dir / "reftable").is_dir():
            raise RepositoryError(
                f"{path}: reftable is not supported; run: git refs migrate --ref-format=files"
            )
        if not repository._has_commit():
            raise RepositoryError(f"{path} has no commit yet; make one first")
        return repository

    def current_branch(self) -> str:
        """The branch that is checked out.

        Raises:
            RepositoryError: HEAD is detached.
        """
        reply = ask("symbolic-ref", "-q", "--short", "HEAD", cwd=self.path)
        if reply.code:
            raise RepositoryError(
                f"{self.path} has no branch checked out; name the base to start from"
            )
        return reply.out

    def resolve(self, ref: str) -> str:
        """The commit that a branch, tag or commit name stands for; a branch goes first.

        Raises:
            RepositoryError: There is no such commit.
        """
        commit = self.branch_commit(ref) or self._commit(ref)
        if commit is None:
            raise RepositoryError(f"{self.path} has no branch or commit {readable(ref)!r}")
        return commit

    def changed_paths(self) -> tuple[str, ...]:
        """Tracked files with changes that are not committed, staged or not. Untracked files do not
        count.
        """
        if self.bare:
            return ()
        options = (
            "--porcelain",
            "-z",
            "--untracked-files=no",
            "--no-renames",
            "--ignore-submodules=dirty",
        )
        return tuple(entry[3:] for entry in names(git("status", *options, cwd=self.path)))

    def branch_commit(self, branch: str) -> str | None:
        """The commit at the tip of a branch; None when there is no such branch."""
        return self._commit(_HEADS + branch)

    def glance(self, branch: str) -> str | None:
        """As `branch_commit`, for people who want to know it quickly or not at all."""
        return self.branch_commit(branch)

    def bring(self, commit: str) -> None:
        """See to it that the commit is here; of a repository on this machine it is."""

    def create_branch(self, branch: str, commit: str) -> None:
        """Make a branch that does not exist yet.

        Raises:
            RepositoryError: It exists, or its name is impossible.
        """
        try:
            created = self.move_ref(_HEADS + branch, new=commit, old="", patience=_PATIENCE)
        except GitError as error:
            raise RepositoryError(f"branch {branch} cannot be made: {error}") from error
        if not created:
            raise RepositoryError(f"branch {branch} already exists in {self.place}")

    def checked_out_at(self, branch: str) -> Path | None:
        """The working tree, of whichever worktree, that has the branch checked out."""
        out = git("worktree", "list", "--porcelain", "-z", cwd=self.path)
        for entry in out.split("\0\0"):
            lines = entry.strip("\0").split("\0")
            if f"branch {_HEADS}{branch}" in lines and "bare" not in lines:
                path = Path(lines[0].removeprefix("worktree "))
                if path.is_dir():
                    return path
        return None

    def set_aside(self, branch: str) -> str:
        """Rename a branch to the first free of branch.1, branch.2, … and return the new name.

        A worktree that has it checked out stays on it under the new name.

        Raises:
            RepositoryError: There is no such branch.
        """
        if self.branch_commit(branch) is None:
            raise RepositoryError(f"{self.path} has no branch {branch}")
        listed = git("for-each-ref", "--format=%(refname)", f"{_HEADS}{branch}.*", cwd=self.path)
        taken = set(listed.split("\n"))
        number = 1
        while True:
            name = f"{branch}.{number}"
            if _HEADS + name not in taken:
                reply = ask("branch", "-m", branch, name, cwd=self.path)
                if reply.code == 0:
                    return name
                if self.branch_commit(name) is None:
                    raise failed(reply, "branch", "-m", branch, name)
            number += 1

    def pin(self, ref: str, commit: str) -> None:
        """Point a ref of ours at a commit, so that it is kept.

        Args:
            ref: Full name, beginning with refs/vibe/.
            commit: The commit.
        """
        self._check_ours(ref)
        self.move_ref(ref, new=commit, old=None)

    def _check_ours(self, ref: str) -> None:
        if not ref.startswith(_OURS):
            raise ValueError(f"ref must begin with {_OURS}, got {ref!r}")

    def is_ancestor(self, ancestor: str, commit: str) -> bool:
        """Whether the first commit is contained in, or is, the second."""
        question = ("merge-base", "--is-ancestor", ancestor, commit)
        reply = ask(*question, cwd=self.path)
        if reply.code not in (0, 1):
            raise failed(reply, *question)
        return reply.code == 0

    def merge_base(self, one: str, other: str) -> str | None:
        """The commit from which both went on; None where they share no history."""
        reply = ask("merge-base", one, other, cwd=self.path)
        return reply.out if reply.code == 0 else None

    def changed_between(self, before: str, after: str) -> tuple[str, ...]:
        """Paths that differ between two commits."""
        options = ("-r", "-z", "--name-only", "--no-renames", "--end-of-options")
        return names(git("diff-tree", *options, before, after, cwd=self.path))

    def move_ref(
        self,
        ref: str,
        *,
        new: str,
        old: str | None,
        patience: float = _PATIENCE,
        fence: Callable[[], None] = no_fence,
    ) -> bool:
        """Point a ref at a commit; False when it is no longer where the caller saw it.

        A lock file that a killed git left behind is removed once it has not changed for `patience`
        seconds.

        Args:
            ref: Full name.
            new: The commit.
            old: Where it has to be: a commit, "" for not existing, None for anywhere.
            patience: Seconds; a live git holds such a lock for milliseconds.
            fence: Called before each further try; raises when the attempt has lost its lease.

        Raises:
            GitError: git refused for another reason.
        """
        command = ("update-ref", "-m", "vibe_tasks", ref, new, *(() if old is None else (old,)))
        lock = self.common_dir / f"{ref}.lock"
        seen, since, tries = _identity(lock), time.monotonic(), 0
        while (reply := ask(*command, cwd=self.path)).code:
            if old is not None and (self._commit(ref) or "") != old:
                return False
            before, seen = seen, _identity(lock)
            tries = tries + 1 if seen is None else 0
            if tries == _TRIES:
                raise failed(reply, *command)
            if seen is None or seen != before:
                since = time.monotonic()
            elif time.monotonic() - since >= patience:
                self._remove_lock(lock, seen)
            fence()
        return True

    def _remove_lock(self, lock: Path, seen: tuple[int, int]) -> None:
        """Remove this very lock file, and not the next one of somebody who waited as long."""
        with (self.common_dir / "vibe_tasks.lock").open("a") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if _identity(lock) == seen:
                lock.unlink()

    def _commit(self, name: str) -> str | None:
        """The commit that git finds under a name, which may begin with a dash."""
        reply = ask(
            "rev-parse", "-q", "--verify", "--end-of-options", f"{name}^{{commit}}", cwd=self.path
        )
        return reply.out if reply.code == 0 else None

    def _has_commit(self) -> bool:
        """Whether there is anything to start from; HEAD may name a branch that does not exist."""
        if self._commit("HEAD"):
            return True
        return bool(git("for-each-ref", "--count=1", _HEADS, cwd=self.path))


def _identity(lock: Path) -> tuple[int, int] | None:
    """What changes when another process takes the lock; None when nobody holds it."""
    with suppress(FileNotFoundError, NotADirectoryError):
        status = lock.stat()
        return status.st_ino, status.st_mtime_ns
    return None


def _first_line(reply: Reply) -> str:
    return reply.err.split("\n", 1)[0]
