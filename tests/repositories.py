"""Real git repositories to test on."""

from __future__ import annotations

import subprocess
from pathlib import Path

from vibe_tasks.workspace.git import git
from vibe_tasks.workspace.merge import Merged, merge
from vibe_tasks.workspace.repository import Repository
from vibe_tasks.workspace.worktree import checkout


def new_repository(path: Path, files: dict[str, str | bytes] | None = None) -> Repository:
    """A repository on branch main with one commit of these files."""
    path.mkdir(parents=True)
    git("init", "-q", "-b", "main", cwd=path)
    write(path, files if files is not None else {"README": "hello\n"})
    git("add", "-A", cwd=path)
    git("commit", "-q", "--allow-empty", "-m", "first", cwd=path)
    return Repository.open(path)


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    """Write files by name, folders included."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def new_commit(
    repository: Repository,
    base: str,
    files: dict[str, str | bytes],
    *,
    deleted: tuple[str, ...] = (),
) -> str:
    """A commit on top of base, made the way an attempt makes it, and pinned."""
    name = str(len(files_of(repository, base))) + "-".join(files)[:20].replace("/", "_")
    with checkout(repository, base, repository.common_dir.parent / f".attempt-{name}") as worktree:
        write(worktree.path, files)
        for path in deleted:
            (worktree.path / path).unlink()
        commit = worktree.commit_all("change")
        repository.pin(f"refs/vibe/test/{commit}", commit)
    return commit


def attempt(repository: Repository, number: int) -> Merged:
    """A whole attempt, as a worker makes it: one new file, committed and merged into vibe/x.

    What an earlier attempt has pinned is merged, as a deploy merges what the ledger says: a second
    commit of the same change in another second would be another commit.
    """
    name = f"task {number}"
    pin = f"refs/vibe/x/{number}"
    commit = git("rev-parse", "--quiet", "--verify", pin, cwd=repository.path, check=False)
    with checkout(repository, repository.resolve("main"), repository.path / ".vibe" / name) as tree:
        if not commit:
            write(tree.path, {f"{name}.txt": f"{number}\n"})
            commit = tree.commit_all(name)
            repository.pin(pin, commit)
    return merge(repository, branch="vibe/x", commit=commit, message=name, fence=lambda: None)


def files_of(repository: Repository, commit: str) -> dict[str, str]:
    """Path and content of every file in a commit."""
    listed = git("ls-tree", "-r", "-z", "--name-only", commit, cwd=repository.path)
    return {
        name: git("cat-file", "blob", f"{commit}:{name}", cwd=repository.path)
        for name in listed.split("\0")
        if name
    }


def raw(*command: str, cwd: Path) -> str:
    """A program as an agent or a user would call it: no settings of ours."""
    identity = ["-c", "user.name=agent", "-c", "user.email=agent@localhost"]
    argv = [command[0], *identity, *command[1:]] if command[0] == "git" else command
    return subprocess.run(argv, cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()
