"""Looking at a repository and moving its refs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.repositories import new_commit, new_repository, raw, write
from vibe_tasks.errors import GitError, RepositoryError
from vibe_tasks.workspace.git import git
from vibe_tasks.workspace.repository import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """One commit on main."""
    return new_repository(tmp_path / "my repo", {"a": "1\n", "b/c": "2\n"})


def test_a_folder_inside_opens_the_repository(repository: Repository) -> None:
    """A person may stand anywhere in the working tree."""
    assert Repository.open(repository.path / "b") == repository
    assert repository.common_dir == repository.path / ".git"
    assert not repository.bare


def test_a_bare_repository_can_be_worked_on(repository: Repository, tmp_path: Path) -> None:
    """It has branches but no working tree, and its HEAD may name a branch that is not there."""
    raw("git", "clone", "-q", "--bare", str(repository.path), "bare.git", cwd=tmp_path)
    raw("git", "symbolic-ref", "HEAD", "refs/heads/master", cwd=tmp_path / "bare.git")
    bare = Repository.open(tmp_path / "bare.git")
    assert bare.bare
    assert bare.path == bare.common_dir == tmp_path / "bare.git"
    assert bare.changed_paths() == ()
    assert bare.resolve("main") == repository.resolve("main")
    assert bare.checked_out_at("master") is None


def test_what_cannot_be_worked_on_is_refused(repository: Repository, tmp_path: Path) -> None:
    """Each reason has its own line."""
    with pytest.raises(RepositoryError, match="no such folder"):
        Repository.open(tmp_path / "gone")
    with pytest.raises(RepositoryError, match="is not a git repository: fatal: not a git"):
        Repository.open(tmp_path)
    with pytest.raises(RepositoryError, match=r"inside the \.git folder"):
        Repository.open(repository.path / ".git")
    raw("git", "init", "-q", str(tmp_path / "unborn"), cwd=tmp_path)
    with pytest.raises(RepositoryError, match="no commit yet"):
        Repository.open(tmp_path / "unborn")
    (repository.common_dir / "reftable").mkdir()
    with pytest.raises(RepositoryError, match="git refs migrate"):
        Repository.open(repository.path)


def test_the_current_branch_is_known(repository: Repository) -> None:
    """It is the base of a plan that names none; a detached HEAD is no base."""
    assert repository.current_branch() == "main"
    raw("git", "checkout", "-q", "--detach", cwd=repository.path)
    with pytest.raises(RepositoryError, match="no branch checked out"):
        repository.current_branch()


def test_names_are_resolved_and_a_branch_goes_first(repository: Repository) -> None:
    """A tag of the same name does not shadow the branch that the user means."""
    first = repository.resolve("main")
    second = new_commit(repository, first, {"a": "2\n"})
    raw("git", "tag", "-a", "-m", "x", "v1", second, cwd=repository.path)
    raw("git", "tag", "main", second, cwd=repository.path)
    assert repository.resolve("main") == repository.resolve("HEAD") == first
    assert repository.resolve("v1") == repository.resolve(second[:12]) == second
    for name in ("nothing", "--all", "HEAD:a", "", os.fsdecode(b"\xff")):
        with pytest.raises(RepositoryError, match="no branch or commit"):
            repository.resolve(name)


def test_changes_of_tracked_files_are_listed(repository: Repository) -> None:
    """Staged, unstaged, deleted and renamed files count, untracked ones do not."""
    assert repository.changed_paths() == ()
    write(repository.path, {"a": "changed\n", "new\nfile ü": "x", "untracked": "x"})
    raw("git", "add", "new\nfile ü", cwd=repository.path)
    raw("git", "mv", "b/c", "b/d", cwd=repository.path)
    assert sorted(repository.changed_paths()) == ["a", "b/c", "b/d", "new\nfile ü"]


def test_a_branch_is_made_once(repository: Repository) -> None:
    """The second of two that make the same branch is told."""
    commit = repository.resolve("main")
    assert repository.branch_commit("vibe/x") is None
    repository.create_branch("vibe/x", commit)
    assert repository.branch_commit("vibe/x") == commit
    with pytest.raises(RepositoryError, match="vibe/x already exists"):
        repository.create_branch("vibe/x", commit)
    for name in ("vibe/x/y", "a..b"):
        with pytest.raises(RepositoryError, match="cannot be made"):
            repository.create_branch(name, commit)


def test_where_a_branch_is_checked_out_is_found(repository: Repository, tmp_path: Path) -> None:
    """In the main working tree or another; one whose folder is gone does not count."""
    assert repository.checked_out_at("main") == repository.path
    repository.create_branch("vibe/x", repository.resolve("main"))
    assert repository.checked_out_at("vibe/x") is None
    raw("git", "worktree", "add", "-q", str(tmp_path / "w"), "vibe/x", cwd=repository.path)
    assert repository.checked_out_at("vibe/x") == tmp_path / "w"
    (tmp_path / "w").rename(tmp_path / "moved")
    assert repository.checked_out_at("vibe/x") is None


def test_an_old_branch_is_set_aside(repository: Repository) -> None:
    """The first free number is taken, and whoever has it checked out stays on it."""
    commit = repository.resolve("main")
    for name in ("vibe/x", "vibe/x.1", "vibe/x.3", "vibe/xy.2"):
        repository.create_branch(name, commit)
    raw("git", "checkout", "-q", "vibe/x", cwd=repository.path)
    assert repository.set_aside("vibe/x") == "vibe/x.2"
    assert repository.branch_commit("vibe/x") is None
    assert repository.branch_commit("vibe/x.2") == commit
    assert repository.current_branch() == "vibe/x.2"
    assert repository.changed_paths() == ()
    with pytest.raises(RepositoryError, match="has no branch vibe/x"):
        repository.set_aside("vibe/x")


def test_a_branch_that_git_cannot_rename_is_an_error(repository: Repository) -> None:
    """The loop for a free name does not go on for ever."""
    repository.create_branch("vibe/x", repository.resolve("main"))
    repository.create_branch("vibe/x.1/y", repository.resolve("main"))
    with pytest.raises(GitError, match=r"branch -m vibe/x vibe/x\.1"):
        repository.set_aside("vibe/x")


def test_pinned_commits_are_kept(repository: Repository) -> None:
    """A pin can be moved, and lives among our own refs only."""
    first = repository.resolve("main")
    second = new_commit(repository, first, {"a": "2\n"})
    repository.pin("refs/vibe/p/t", first)
    repository.pin("refs/vibe/p/t", second)
    assert repository.resolve("refs/vibe/p/t") == second
    with pytest.raises(ValueError, match="refs/vibe/"):
        repository.pin("refs/heads/main", first)
    with pytest.raises(GitError):
        repository.pin("refs/vibe/p", first)


def test_history_is_compared(repository: Repository) -> None:
    """Ancestry and changed paths of two commits; unknown commits are errors."""
    first = repository.resolve("main")
    second = new_commit(repository, first, {"ü\n": "x", "a": "2\n"}, deleted=("b/c",))
    assert repository.is_ancestor(first, second)
    assert repository.is_ancestor(first, first)
    assert not repository.is_ancestor(second, first)
    assert sorted(repository.changed_between(first, second)) == ["a", "b/c", "ü\n"]
    with pytest.raises(GitError):
        repository.is_ancestor("0" * 40, first)
    with pytest.raises(GitError):
        repository.changed_between("0" * 40, first)


def test_a_ref_moves_only_from_where_it_was_seen(repository: Repository) -> None:
    """The loser of a race is told, and nothing is overwritten."""
    first = repository.resolve("main")
    second = new_commit(repository, first, {"a": "2\n"})
    third = new_commit(repository, second, {"a": "3\n"})
    repository.create_branch("x", first)
    assert repository.move_ref("refs/heads/x", new=second, old=first)
    assert not repository.move_ref("refs/heads/x", new=third, old=first)
    assert repository.branch_commit("x") == second


def test_the_lock_of_a_killed_git_is_removed(repository: Repository) -> None:
    """A power cut in the middle of a ref update does not stop the plan for good."""
    first = repository.resolve("main")
    second = new_commit(repository, first, {"a": "2\n"})
    (repository.common_dir / "refs/heads/main.lock").touch()
    assert repository.move_ref("refs/heads/main", new=second, old=first, patience=0.3)
    assert repository.branch_commit("main") == second


def test_the_lock_of_somebody_else_is_respected(repository: Repository) -> None:
    """A lock that is not the one we waited for stays."""
    lock = repository.common_dir / "refs/heads/main.lock"
    lock.touch()
    status = lock.stat()
    os.utime(lock, ns=(status.st_atime_ns, status.st_mtime_ns - 1))
    repository._remove_lock(lock, (status.st_ino, status.st_mtime_ns))
    assert lock.exists()


def test_git_in_a_worktree_of_the_user_works_too(repository: Repository, tmp_path: Path) -> None:
    """A linked worktree is opened as its own top level with the shared refs."""
    raw("git", "worktree", "add", "-q", "-b", "side", str(tmp_path / "w"), cwd=repository.path)
    linked = Repository.open(tmp_path / "w")
    assert (linked.path, linked.common_dir) == (tmp_path / "w", repository.common_dir)
    assert linked.current_branch() == "side"
    assert git("rev-parse", "side", cwd=linked.path) == linked.resolve("main")
