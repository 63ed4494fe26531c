"""A git remote for several hosts, each of which is a folder of its own."""

from __future__ import annotations

from pathlib import Path

from tests.repositories import new_repository, raw, write
from vibe_tasks.workspace.git import git
from vibe_tasks.workspace.remote import Mirror, open_mirror
from vibe_tasks.workspace.worktree import checkout


def new_remote(folder: Path, files: dict[str, str | bytes] | None = None) -> Path:
    """A bare repository with one commit on main."""
    new_repository(folder / "origin", files)
    raw("git", "clone", "-q", "--bare", str(folder / "origin"), "remote.git", cwd=folder)
    return folder / "remote.git"


def host(folder: Path, name: str) -> Mirror:
    """The mirror of this folder's remote on a host of this name."""
    return open_mirror(f"file://{folder / 'remote.git'}", folder / name / "repositories")


def attempt_at(mirror: Mirror, base: str, files: dict[str, str | bytes]) -> str:
    """What an attempt on this host does: one commit, pinned."""
    name = "-".join(files)
    with checkout(mirror, base, mirror.path.parent / f"worktree-{name}") as tree:
        write(tree.path, files)
        commit = tree.commit_all(f"add {name}")
        mirror.pin(f"refs/vibe/x/{name}", commit)
    return commit


def refs_of(remote: Path) -> dict[str, str]:
    """Every ref of the remote, and where it stands."""
    lines = git("for-each-ref", "--format=%(refname) %(objectname)", cwd=remote).splitlines()
    return dict(line.split(" ") for line in lines)
