"""A git remote that several hosts share, and this host's mirror of it.

The remote is the truth: every look at a branch asks it, every move of one is a push that says where
the branch must stand. The mirror is a bare repository that this machine alone uses; worktrees are
made of it, and what it lacks is fetched. Nothing in it is worth keeping.
"""

from __future__ import annotations

import fcntl
import re
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import TYPE_CHECKING

from vibe_tasks.errors import GitError, RepositoryError
from vibe_tasks.labels import REPOSITORY, digest_of
from vibe_tasks.masking import masked, masked_text
from vibe_tasks.workspace.git import Reply, ask, failed, git, git_version, readable
from vibe_tasks.workspace.repository import Repository, no_fence
from vibe_tasks.workspace.transport import forget_settings, hopeless, reaching, waits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HEADS = "refs/heads/"
_TAGS = "refs/tags/"
_KINDS = {"heads": "--heads", "tags": "--tags"}
_PATIENCE = 30.0
"""Seconds for which a remote that does not answer is asked again."""

_OUTCOME = 300.0
"""The same for a commit that an agent may have worked on for an hour."""

_ROUNDS = 10  # somebody else renamed a branch first
_LOOK, _TRANSFER = 60.0, 1_800.0  # seconds for one command


class Mirror(Repository):
    """A remote repository as its mirror on this machine; made by `open_mirror`."""

    __slots__ = ()

    @property
    def place(self) -> str:
        """The address, without its password."""
        return str(masked(self.address))

    def current_branch(self) -> str:
        """The remote's default branch.

        Raises:
            RepositoryError: It has none.
            GitError: It cannot be reached.
        """
        reply = self._call("ls-remote", "--symref", "--", str(self.address), "HEAD", patience=0.0)
        for line in reply.out.splitlines():
            if line.startswith(f"ref: {_HEADS}"):
                return line.split("\t")[0].removeprefix(f"ref: {_HEADS}")
        raise RepositoryError(f"{self.place} has no default branch; name the base to start from")

    def resolve(self, ref: str) -> str:
        """The commit of a branch, a tag or a whole commit id of the remote, fetched.

        Raises:
            RepositoryError: There is no such commit.
            GitError: The remote cannot be reached.
        """
        branch, tag = _HEADS + ref, _TAGS + ref
        refs = self._refs(branch, tag, f"{tag}^{{}}", patience=0.0)
        commit = refs.get(branch) or refs.get(f"{tag}^{{}}") or refs.get(tag)
        if commit is None and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", ref):
            commit = ref
        if commit is not None:
            self.bring(commit)
        if commit is None or self._commit(commit) != commit:
            raise RepositoryError(f"{self.place} has no branch or commit {readable(ref)!r}")
        return commit

    def branch_commit(self, branch: str) -> str | None:
        """Where the branch stands on the remote now, fetched; None when there is no such branch.

        Raises:
            GitError: The remote cannot be reached.
        """
        ref = _HEADS + branch
        commit = self._refs(ref).get(ref)
        if commit is not None:
            self.bring(commit)
            self._note(ref, commit)
        return commit

    def glance(self, branch: str) -> str | None:
        """As `branch_commit`, asked once and not fetched."""
        ref = _HEADS + branch
        return self._refs(ref, patience=0.0).get(ref)

    def checked_out_at(self, branch: str) -> Path | None:  # noqa: ARG002
        """None: who has checked out what elsewhere is not to be known."""
        return None

    def bring(self, commit: str) -> None:
        """Fetch the commit with its whole history, unless it is here.

        A fetch that was killed may have left a commit without its files, so all is looked through
        that no ref here has.

        Raises:
            GitError: The remote does not have it, or cannot be reached.
        """
        if self._has(commit):
            return
        with (self.common_dir / "vibe_tasks.fetch").open("a") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)  # who waited finds what the other has brought
            if not self._has(commit):
                self._call(
                    "fetch", "--quiet", "--no-write-fetch-head", "--no-tags", "--no-auto-gc",
                    "--recurse-submodules=no", "--", str(self.address), commit, timeout=_TRANSFER,
                )  # fmt: skip

    def pin(self, ref: str, commit: str) -> None:
        """Point a ref of ours at a commit, here and on the remote: every host finds it there.

        Raises:
            GitError: The remote cannot be reached or refuses it.
        """
        self._check_ours(ref)
        self.move_ref(ref, new=commit, old=None, patience=_OUTCOME)

    def move_ref(
        self,
        ref: str,
        *,
        new: str,
        old: str | None,
        patience: float = _PATIENCE,
        fence: Callable[[], None] = no_fence,
    ) -> bool:
        """Point a ref of the remote at a commit; False when it is not where the caller saw it.

        A push that was given up may still arrive: who moves a ref back must see to it that it never
        again stands at `old`.

        Args:
            ref: Full name.
            new: The commit; it is here.
            old: Where it has to be: a commit, "" for not existing, None for anywhere.
            patience: Seconds for which a remote that does not answer is asked again.
            fence: Called before each further try; raises when the attempt has lost its lease.

        Raises:
            GitError: The remote cannot be reached or refuses it.
        """
        if old is None:  # ours alone: the commit is safe before anything can go wrong
            super().move_ref(ref, new=new, old=None)
        lease = "--force" if old is None else f"--force-with-lease={ref}:{old}"
        for wait in (*waits(patience), None):
            reply = self._push(lease, refspecs=(f"{new}:{ref}",))
            if reply.code == 0:
                break
            stands = self._stands(ref)
            if stands == new:  # it was done, and the answer lost
                break
            if old is not None and stands not in {None, old}:
                return False
            if wait is None or hopeless(reply):
                raise self._failed(reply, "push", ref)
            Event().wait(wait)
            fence()
        self._note(ref, new)
        return True

    def set_aside(self, branch: str) -> str:
        """Rename the branch on the remote to the first free of branch.1, branch.2 and so on.

        Raises:
            RepositoryError: There is no such branch.
            GitError: The remote cannot be reached or refuses it.
        """
        ref = _HEADS + branch
        for _ in range(_ROUNDS):
            refs = self._refs(ref, f"{ref}.*")
            if ref not in refs:
                raise RepositoryError(f"{self.place} has no branch {branch}")
            number = next(n for n in range(1, len(refs) + 1) if f"{ref}.{n}" not in refs)
            stands, new = refs[ref], f"{ref}.{number}"
            self.bring(stands)
            reply = self._push(
                "--atomic", f"--force-with-lease={new}:", f"--force-with-lease={ref}:{stands}",
                refspecs=(f"{stands}:{new}", f":{ref}"),
            )  # fmt: skip
            if reply.code == 0 or self._refs(ref, new) == {new: stands}:
                ask("update-ref", "-d", ref, cwd=self.path)
                return f"{branch}.{number}"
        raise self._failed(reply, "push", ref)

    def _push(self, *options: str, refspecs: Sequence[str]) -> Reply:
        forget_settings(self.common_dir)
        return ask(
            "push", "--quiet", *options, "--", str(self.address), *refspecs,
            cwd=self.path, env=reaching(), timeout=_TRANSFER,
        )  # fmt: skip

    def _stands(self, ref: str) -> str | None:
        """Where the remote has the ref; empty: nowhere; None where it does not answer."""
        with suppress(GitError):
            return self._refs(ref, patience=0.0).get(ref, "")
        return None

    def _refs(self, *wanted: str, patience: float = _PATIENCE) -> dict[str, str]:
        """Those of these refs that the remote has, and where they stand."""
        # Else it would list all that it has, the pins of years and a hosting site's own among them.
        kinds = {_KINDS.get(ref.split("/", 2)[1], "") for ref in wanted} - {""}
        asked = (*sorted(kinds), "--", str(self.address), *wanted)
        reply = self._call("ls-remote", *asked, patience=patience)
        found = {}
        for line in reply.out.splitlines():
            commit, _, ref = line.partition("\t")
            # A pattern fits the end of a name too: refs/heads/x also that of a/refs/heads/x.
            if any(fnmatchcase(ref, each) for each in wanted):
                found[ref] = commit
        return found

    def _call(self, *args: str, patience: float = _PATIENCE, timeout: float = _LOOK) -> Reply:
        """Ask the remote, again and again while it may pass."""
        forget_settings(self.common_dir)
        for wait in (*waits(patience), None):
            reply = ask(*args, cwd=self.path, env=reaching(), timeout=timeout)
            if reply.code == 0:
                return reply
            if wait is None or hopeless(reply):
                break
            Event().wait(wait)
        raise self._failed(reply, args[0])

    def _failed(self, reply: Reply, *args: str) -> GitError:
        text = str(failed(reply, *args)).replace(str(self.address), self.place)
        return GitError(f"{self.place}: {masked_text(text)}")

    def _has(self, commit: str) -> bool:
        """Whether the commit is here, with all that belongs to it."""
        question = ("rev-list", "--objects", "--quiet", commit, "--not", "--all")
        return ask(*question, cwd=self.path).code == 0

    def _note(self, ref: str, commit: str) -> None:
        """Remember here what the remote has: the next fetch brings what is new since."""
        if self._commit(ref) != commit:
            super().move_ref(ref, new=commit, old=None)


def is_address(repo: str) -> bool:
    """Whether a plan's `repo` is an address, `scheme://…` or `user@host:path`, and no path."""
    return "://" in repo or re.match(r"[\w.-]+@[\w.-]+:", repo) is not None


def mirror_labels(folder: Path) -> frozenset[str]:
    """The labels of the repositories that this machine has a mirror of, as `repo_label` makes them.

    Args:
        folder: Where mirrors are kept.
    """
    names = (re.search(r"-([0-9a-f]{8})\.git\Z", path.name) for path in folder.glob("*.git"))
    return frozenset(f"{REPOSITORY}{name[1]}" for name in names if name)


def open_mirror(address: str, folder: Path) -> Mirror:
    """This machine's mirror of the repository at this address; nothing is fetched yet.

    Args:
        address: As git takes it.
        folder: Where mirrors are kept.

    Raises:
        RepositoryError: git is missing or too old, or the address is none.
        OSError: The folder cannot be used.
    """
    git_version()
    if address.startswith("-"):
        raise RepositoryError(f"{address} is no address of a repository")
    last = re.split(r"[?#]", address)[0].rstrip("/").rsplit("/", 1)[-1]  # no secret in a file name
    words = re.sub(r"[^A-Za-z0-9]+", "-", last.removesuffix(".git"))
    name = f"{words.strip('-')[:40]}-{digest_of(address)}.git"
    path = folder.absolute() / name
    if not (path / "HEAD").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".new-") as made:
            git("init", "--quiet", "--bare", "--template=", made, cwd=folder)
            try:
                Path(made).rename(path)  # whole or not at all
            except OSError:
                if not (path / "HEAD").is_file():  # else somebody was faster
                    raise
    return Mirror(path=path, common_dir=path, bare=True, address=address)
