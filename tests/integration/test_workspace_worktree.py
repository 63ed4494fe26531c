"""One attempt's working tree."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.repositories import files_of, new_commit, new_repository, raw, write
from vibe_tasks.errors import GitError
from vibe_tasks.workspace import worktree as module
from vibe_tasks.workspace.git import git
from vibe_tasks.workspace.repository import Repository
from vibe_tasks.workspace.worktree import Worktree, checkout


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Three files on main; one of them is executable."""
    made = new_repository(tmp_path / "my repo", {"a": "1\n", "b/c": "2\n", ".gitignore": "*.log\n"})
    (made.path / "run").write_text("#!/bin/sh\n")
    (made.path / "run").chmod(0o755)
    raw("git", "add", "-A", cwd=made.path)
    raw("git", "commit", "-q", "-m", "second", cwd=made.path)
    return made


@pytest.fixture
def tree(repository: Repository, tmp_path: Path):
    """A worktree of main."""
    with checkout(repository, repository.resolve("main"), tmp_path / "w" / "ü t") as made:
        yield made


def worktrees(repository: Repository) -> int:
    """How many linked worktrees git knows."""
    return raw("git", "worktree", "list", cwd=repository.path).count("\n")


def test_the_commit_is_there_and_git_works_in_it(tree: Worktree, repository: Repository) -> None:
    """An agent finds a clean, detached working tree that `git worktree` knows."""
    names = sorted(path.name for path in tree.path.iterdir())
    assert names == [".git", ".gitignore", "a", "b", "run"]
    assert os.access(tree.path / "run", os.X_OK)
    assert raw("git", "status", "--porcelain", cwd=tree.path) == ""
    assert raw("git", "rev-parse", "HEAD", cwd=tree.path) == tree.base
    assert raw("git", "rev-parse", "--abbrev-ref", "HEAD", cwd=tree.path) == "HEAD"
    assert str(tree.path) in raw("git", "worktree", "list", cwd=repository.path)
    assert raw("git", "worktree", "prune", "-v", cwd=repository.path) == ""
    assert raw("git", "fsck", "--no-dangling", cwd=repository.path) == ""


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_nothing_is_left_at_the_end(
    repository: Repository, tmp_path: Path, error: type[Exception] | None
) -> None:
    """Folder and git's record of it go, also when the attempt fails."""
    path = tmp_path / "w"
    with (
        pytest.raises(error) if error else nullcontext(),
        checkout(repository, repository.resolve("main"), path),
    ):
        if error:
            raise error
    assert not path.exists()
    assert worktrees(repository) == 0
    assert list((repository.common_dir / "vibe_tasks").iterdir()) == []
    assert repository.changed_paths() == ()


def test_every_kind_of_change_is_committed(tree: Worktree, repository: Repository) -> None:
    """New, changed, deleted, renamed, binary, odd names, links and modes; ignored files are not."""
    odd = os.fsdecode(b"not utf-8 \xff")
    write(tree.path, {
        "a": "changed\n", "dir/new\nline ü": "x\n", "binary": bytes(range(256)), "x.log": "ignored",
        odd: "odd\n", "-dash": "d\n", ":colon": "c\n",
    })  # fmt: skip
    (tree.path / "b/c").unlink()
    (tree.path / "link").symlink_to("a")
    (tree.path / "run").chmod(0o644)
    os.mkfifo(tree.path / "pipe")
    commit = tree.commit_all("a message\n\nwith a body \N{SNOWMAN}\0\n\n")
    files = files_of(repository, commit)
    assert set(files) == {
        "a", "dir/new\nline ü", "binary", odd, "-dash", ":colon", "link", "run", ".gitignore",
    }  # fmt: skip
    assert os.fsencode(files["binary"]) == bytes(range(256))
    modes = git("ls-tree", commit, "link", "run", cwd=repository.path).split()
    assert [mode for mode in modes if mode.startswith("1")][:2] == ["120000", "100644"]
    assert git("rev-parse", f"{commit}^@", cwd=repository.path) == tree.base
    text = git("log", "-1", "--format=%B", commit, cwd=repository.path)
    assert text == "a message\n\nwith a body \N{SNOWMAN}\n"
    assert raw("git", "rev-parse", "HEAD", cwd=tree.path) == commit


def test_no_change_no_commit(tree: Worktree) -> None:
    """An agent that changes nothing, or undoes what it did, leaves the base as it is."""
    assert tree.commit_all("nothing") == tree.base
    write(tree.path, {"a": "2\n", "x.log": "x"})
    (tree.path / "a").write_text("1\n")
    assert tree.commit_all("nothing") == tree.base


def test_a_second_commit_goes_on_top(tree: Worktree, repository: Repository) -> None:
    """Committing twice gives two commits, and nothing new a third time."""
    write(tree.path, {"a": "2\n"})
    first = tree.commit_all("one")
    write(tree.path, {"a": "3\n"})
    second = tree.commit_all("two")
    assert git("rev-parse", f"{second}^", cwd=repository.path) == first
    assert tree.commit_all("three") == second


def test_a_file_that_git_cannot_take_is_an_error(tree: Worktree, repository: Repository) -> None:
    """A commit that would lack something is not made."""
    raw("git", "config", "core.safecrlf", "true", cwd=repository.path)
    write(tree.path, {".gitattributes": "*.txt text eol=lf\n", "x.txt": "a\r\n"})
    with pytest.raises(GitError, match="add -A"):
        tree.commit_all("ours")


def test_a_merge_without_conflict_is_concluded(tree: Worktree, repository: Repository) -> None:
    """The merged commit is a parent even when the trees are equal."""
    other = new_commit(repository, tree.base, {"z": "1\n"})
    assert tree.merge_in(other) == ()
    commit = tree.commit_all("merge")
    parents = git("rev-parse", f"{commit}^@", cwd=repository.path).split()
    assert parents == [tree.base, other]
    assert tree.merge_in(other) == ()
    assert tree.commit_all("again") == commit
    ours = git("commit-tree", f"{other}^{{tree}}", "-p", tree.base, cwd=repository.path, input="x")
    with checkout(repository, ours, tree.path.parent / "two") as two:
        assert two.merge_in(other) == ()
        merged = two.commit_all("same tree")
    assert git("rev-parse", f"{merged}^@", cwd=repository.path).split() == [ours, other]


def test_conflicts_are_left_for_the_agent(tree: Worktree, repository: Repository) -> None:
    """Paths are named, markers stand in the files, and resolving them concludes the merge."""
    write(tree.path, {"a": "ours\n", "ü \n": "ours\n", "bin": b"\0ours", "b/c": "ours\n"})
    ours = tree.commit_all("ours")
    theirs = new_commit(
        repository,
        tree.base,
        {"a": "theirs\n", "ü \n": "theirs\n", "bin": b"\0theirs"},
        deleted=("b/c",),
    )
    paths = tree.merge_in(theirs)
    assert sorted(paths) == ["a", "b/c", "bin", "ü \n"]
    assert sorted(tree.unresolved(paths)) == ["a", "ü \n"]
    assert "<<<<<<<" in (tree.path / "a").read_text()
    write(tree.path, {"a": "both\n", "ü \n": "both\n"})
    (tree.path / "b/c").unlink()
    assert tree.unresolved(paths) == ()
    commit = tree.commit_all("resolved")
    assert git("rev-parse", f"{commit}^@", cwd=repository.path).split() == [ours, theirs]
    assert files_of(repository, commit)["a"] == "both"
    assert "b/c" not in files_of(repository, commit)
    assert raw("git", "status", cwd=tree.path).endswith("working tree clean")


def test_a_merge_that_cannot_start_is_an_error(tree: Worktree, repository: Repository) -> None:
    """Uncommitted changes or an unknown commit are not conflicts."""
    other = new_commit(repository, tree.base, {"a": "theirs\n"})
    write(tree.path, {"a": "dirty\n"})
    with pytest.raises(GitError, match="would be overwritten"):
        tree.merge_in(other)
    with pytest.raises(GitError, match="merge"):
        tree.merge_in("0" * 40)


def test_only_all_three_markers_count_and_links_are_not_followed(
    tree: Worktree, tmp_path: Path
) -> None:
    """A heading underlined with seven signs is no conflict; a file elsewhere is not read."""
    markers = "<<<<<<< a\n=======\n>>>>>>> b\n"
    write(tmp_path, {"outside": markers})
    write(tree.path, {"title": "Heading\n=======\n", "text": f"x\n{markers}"})
    (tree.path / "link").symlink_to(tmp_path / "outside")
    assert tree.unresolved(("title", "text", "link", "gone", "b")) == ("text",)


def test_what_a_killed_attempt_left_is_removed(repository: Repository, tmp_path: Path) -> None:
    """A second attempt at the same path starts clean, whatever is in its way."""
    base, path = repository.resolve("main"), tmp_path / "w"
    with checkout(repository, base, path) as first:
        write(path, {"left": "over"})
        (first.entry / "locked").write_text("by hand")
        module._aside(first.entry, "new").mkdir()
        module._aside(first.entry, "old").mkdir()
        with checkout(repository, base, path) as second:
            assert not (path / "left").exists()
            assert second.commit_all("nothing") == base
    path.write_text("a file")
    with checkout(repository, base, path):
        assert path.is_dir()
    write(tmp_path, {"target/kept": "x"})
    path.symlink_to(tmp_path / "target")
    with checkout(repository, base, path):
        assert not path.is_symlink()
    assert (tmp_path / "target/kept").exists()


def test_read_only_folders_are_removed(repository: Repository, tmp_path: Path) -> None:
    """An agent cannot make its worktree permanent, nor change permissions outside of it."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    with checkout(repository, repository.resolve("main"), tmp_path / "w") as tree:
        locked = tree.path / "x" / "locked"
        write(locked, {"file": "x"})
        (tree.path / "x" / "link").symlink_to(outside)
        locked.chmod(0)
        (tree.path / "x").chmod(0o500)
    assert not (tmp_path / "w").exists()
    assert outside.stat().st_mode & 0o777 == 0o500


def test_folders_are_opened_up_before_the_second_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for users whom permissions bind: root, as in a container, never sees a refusal."""
    remove, calls = module.shutil.rmtree, []

    def refused_once(path: Path) -> None:
        calls.append(path)
        if len(calls) == 1:
            raise PermissionError(13, "Permission denied")
        remove(path)

    write(tmp_path, {"w/x/file": "x"})
    (tmp_path / "w/link").symlink_to(tmp_path)
    (tmp_path / "w/x").chmod(0)
    monkeypatch.setattr(module.shutil, "rmtree", refused_once)
    module._remove(tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_an_unknown_commit_leaves_nothing_behind(repository: Repository, tmp_path: Path) -> None:
    """A worktree that cannot be filled is not there afterwards."""
    with (
        pytest.raises(GitError),
        checkout(repository, "0" * 40, tmp_path / "w"),
    ):
        pytest.fail("entered")
    assert not (tmp_path / "w").exists()
    assert worktrees(repository) == 0


def test_an_empty_commit_can_be_worked_on(tmp_path: Path) -> None:
    """A repository without files gets its first one, a worktree without files its last commit."""
    repository = new_repository(tmp_path / "r", {})
    with checkout(repository, repository.resolve("main"), tmp_path / "w") as tree:
        assert tree.commit_all("nothing") == tree.base
        write(tree.path, {"a": "1"})
        assert files_of(repository, tree.commit_all("x")) == {"a": "1"}


def test_a_bare_repository_has_worktrees_too(repository: Repository, tmp_path: Path) -> None:
    """Attempts work the same where there is no working tree at all."""
    raw("git", "clone", "-q", "--bare", str(repository.path), "bare.git", cwd=tmp_path)
    bare = Repository.open(tmp_path / "bare.git")
    with checkout(bare, bare.resolve("main"), tmp_path / "w") as tree:
        write(tree.path, {"a": "2\n"})
        commit = tree.commit_all("x")
        assert raw("git", "status", "--porcelain", cwd=tree.path) == ""
    assert files_of(bare, commit)["a"] == "2"
