"""What agents do in their worktree besides editing files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.repositories import files_of, new_commit, new_repository, raw, write
from vibe_tasks.workspace.git import git
from vibe_tasks.workspace.repository import Repository
from vibe_tasks.workspace.worktree import Worktree, checkout


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Two files on main."""
    return new_repository(tmp_path / "my repo", {"a": "1\n", "b/c": "2\n"})


@pytest.fixture
def tree(repository: Repository, tmp_path: Path):
    """A worktree of main."""
    with checkout(repository, repository.resolve("main"), tmp_path / "w" / "t") as made:
        yield made


def test_caches_are_never_committed(tree: Worktree, repository: Repository) -> None:
    """Not when they lie around, not when the agent staged or committed them itself."""
    caches = {"__pycache__/m.cpython-311.pyc": "x", "b/__pycache__/x": "x", "b/m.pyc": "x",
              ".pytest_cache/v": "x", ".mypy_cache/v": "x", "b/.ruff_cache/v": "x"}  # fmt: skip
    before = set(files_of(repository, tree.base))
    write(tree.path, dict(caches))
    assert tree.commit_all("caches") == tree.base
    raw("git", "add", "-A", "-f", cwd=tree.path)
    assert tree.commit_all("staged") == tree.base
    raw("git", "add", "-A", "-f", cwd=tree.path)
    raw("git", "commit", "-q", "-m", "mine", cwd=tree.path)
    write(tree.path, {"pycache.py": "x\n"})
    assert set(files_of(repository, tree.commit_all("more"))) == before | {"pycache.py"}


def test_a_cache_that_the_repository_tracks_is_left_alone(tmp_path: Path) -> None:
    """What was committed before stays as it was."""
    repository = new_repository(tmp_path / "r", {"a.pyc": "old", "b": "1"})
    with checkout(repository, repository.resolve("main"), tmp_path / "w") as tree:
        write(tree.path, {"a.pyc": "new", "b": "2"})
        assert files_of(repository, tree.commit_all("x")) == {"a.pyc": "old", "b": "2"}


def test_commits_of_the_agent_are_included(tree: Worktree, repository: Repository) -> None:
    """Its commits are kept as they are, with what it left uncommitted on top."""
    write(tree.path, {"one": "1\n"})
    raw("git", "add", "one", cwd=tree.path)
    raw("git", "commit", "-q", "-m", "mine", cwd=tree.path)
    mine = raw("git", "rev-parse", "HEAD", cwd=tree.path)
    assert tree.commit_all("ours") == mine
    write(tree.path, {"two": "2\n"})
    commit = tree.commit_all("ours")
    assert git("rev-parse", f"{commit}^", cwd=repository.path) == mine
    assert {"one", "two"} <= set(files_of(repository, commit))


def test_branches_do_not_move_under_the_user(tree: Worktree, repository: Repository) -> None:
    """An agent that switches to a branch does not make us commit on it."""
    repository.create_branch("theirs", tree.base)
    raw("git", "checkout", "-q", "theirs", cwd=tree.path)
    write(tree.path, {"a": "2\n"})
    commit = tree.commit_all("ours")
    assert repository.branch_commit("theirs") == tree.base
    assert commit != tree.base
    assert raw("git", "rev-parse", "--abbrev-ref", "HEAD", cwd=tree.path) == "HEAD"


@pytest.mark.parametrize("commits", [False, True])
def test_a_history_without_our_past_is_put_on_the_base(
    tree: Worktree, repository: Repository, commits: bool
) -> None:
    """An agent that starts a new history still gives a commit that can be merged."""
    raw("git", "checkout", "-q", "--orphan", "fresh", cwd=tree.path)
    write(tree.path, {"a": "2\n"})
    if commits:
        raw("git", "commit", "-q", "-a", "-m", "mine", cwd=tree.path)
    commit = tree.commit_all("ours")
    assert git("rev-parse", f"{commit}^@", cwd=repository.path) == tree.base
    assert files_of(repository, commit)["a"] == "2"


@pytest.mark.parametrize("commits", [False, True])
def test_a_repository_in_a_subfolder_becomes_plain_files(
    tree: Worktree, repository: Repository, commits: bool
) -> None:
    """Tools that begin a project with `git init` do not lose its files, however deep they nest."""
    for folder in ("app", "app/deep er"):
        write(tree.path, {f"{folder}/main.py": "x\n"})
        raw("git", "init", "-q", cwd=tree.path / folder)
        if commits:
            raw("git", "add", "main.py", cwd=tree.path / folder)
            raw("git", "commit", "-q", "-m", "mine", cwd=tree.path / folder)
    files = files_of(repository, tree.commit_all("ours"))
    assert {"app/main.py", "app/deep er/main.py"} <= set(files)


def test_an_empty_nested_repository_is_nothing(tree: Worktree) -> None:
    """`git init` in an empty folder is no change."""
    raw("git", "init", "-q", "app", cwd=tree.path)
    assert tree.commit_all("ours") == tree.base


def test_a_submodule_stays_one(tree: Worktree, repository: Repository, tmp_path: Path) -> None:
    """A submodule that the agent adds on purpose is kept as a link."""
    other = new_repository(tmp_path / "other")
    raw("git", "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other.path), "sub",
        cwd=tree.path)  # fmt: skip
    commit = tree.commit_all("ours")
    assert "160000 commit" in git("ls-tree", commit, "sub", cwd=repository.path)


def test_an_agent_that_wrecks_git_harms_only_itself(repository: Repository) -> None:
    """Without its .git file the worktree is not mistaken for the repository that it lies in."""
    base = repository.resolve("main")
    with checkout(repository, base, repository.path / ".vibe" / "w") as tree:
        for path in sorted(tree.path.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        write(tree.path, {"only": "x\n"})
        commit = tree.commit_all("ours")
    assert files_of(repository, commit) == {"only": "x"}
    assert repository.resolve("main") == base
    assert repository.changed_paths() == ()


def test_hooks_of_an_agent_do_not_run(tree: Worktree, repository: Repository) -> None:
    """Whatever it writes into .git/hooks or configures as a hook folder."""
    hooks = repository.common_dir / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "pre-commit", "post-commit", "reference-transaction",
                 "pre-merge-commit", "post-index-change", "post-merge"):  # fmt: skip
        (hooks / name).write_text(f"#!/bin/sh\ntouch '{repository.path}/ran'\nexit 1\n")
        (hooks / name).chmod(0o755)
    raw("git", "config", "core.hooksPath", str(hooks), cwd=repository.path)
    other = new_commit(repository, tree.base, {"z": "1\n"})
    write(tree.path, {"a": "2\n"})
    tree.commit_all("ours")
    tree.merge_in(other)
    tree.commit_all("merge")
    assert not (repository.path / "ran").exists()


def test_locks_of_a_killed_git_do_not_matter(tree: Worktree) -> None:
    """An agent ended in the middle of its own git command leaves work that can be committed."""
    (tree.entry / "index.lock").touch()
    (tree.entry / "HEAD.lock").touch()
    write(tree.path, {"a": "2\n"})
    assert tree.commit_all("ours") != tree.base
