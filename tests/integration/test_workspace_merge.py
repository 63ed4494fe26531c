"""Merging into a branch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.repositories import files_of, new_commit, new_repository, raw
from vibe_tasks.errors import GitError, LeaseLostError, RepositoryError
from vibe_tasks.workspace import merge as module
from vibe_tasks.workspace.git import git
from vibe_tasks.workspace.merge import MergeConflict, Merged, merge
from vibe_tasks.workspace.repository import Repository

BRANCH = "vibe/x"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Two files on main; the plan's branch stands there too."""
    made = new_repository(tmp_path / "my repo", {"a": "1\n", "b": "2\n", "gone": "3\n"})
    made.create_branch(BRANCH, made.resolve("main"))
    return made


def put(repository: Repository, commit: str, fence=lambda: None) -> Merged:
    """Merge into the plan's branch."""
    return merge(repository, branch=BRANCH, commit=commit, message=f"merge {commit}", fence=fence)


def test_each_task_is_one_merge_commit(repository: Repository) -> None:
    """Two parents always, also where git would fast-forward; the working tree is not touched."""
    base = repository.resolve("main")
    one = new_commit(repository, base, {"a": "one\n"})
    two = new_commit(repository, base, {"ü \n": b"\0\xff"}, deleted=("gone",))
    first, second = put(repository, one), put(repository, two)
    assert first.fresh
    assert second.fresh
    assert git("rev-parse", f"{first.commit}^@", cwd=repository.path).split() == [base, one]
    assert git("rev-parse", f"{second.commit}^@", cwd=repository.path).split() == [
        first.commit,
        two,
    ]
    assert repository.branch_commit(BRANCH) == second.commit
    assert files_of(repository, second.commit) == {
        "a": "one", "b": "2", "ü \n": os.fsdecode(b"\0\xff"),
    }  # fmt: skip
    assert git("log", "-1", "--format=%s", first.commit, cwd=repository.path) == f"merge {one}"
    assert repository.changed_paths() == ()
    assert (repository.path / "gone").exists()


def test_a_merge_can_be_repeated(repository: Repository) -> None:
    """The second call finds nothing to do and names the merge that did it, later ones or not."""
    base = repository.resolve("main")
    one = new_commit(repository, base, {"a": "one\n"})
    two = new_commit(repository, base, {"b": "two\n"})
    merged = put(repository, one)
    put(repository, two)
    tip = repository.branch_commit(BRANCH)
    assert put(repository, one) == Merged(commit=merged.commit, fresh=False)
    assert repository.branch_commit(BRANCH) == tip


def test_nothing_to_merge_is_no_merge(repository: Repository) -> None:
    """A task that changed nothing leaves the branch alone; its commit is where it started."""
    base = repository.resolve("main")
    assert put(repository, base) == Merged(commit=base, fresh=False)
    put(repository, new_commit(repository, base, {"a": "one\n"}))
    assert put(repository, base) == Merged(commit=base, fresh=False)


def test_a_conflict_changes_nothing(repository: Repository) -> None:
    """Every path in conflict is named, with what git says about it."""
    base = repository.resolve("main")
    odd = os.fsdecode(b"\xff")
    one = new_commit(
        repository, base, {"a": "one\n", "n\nü": "one\n", odd: b"\0one", "gone": "one\n"}
    )
    two = new_commit(
        repository, base, {"a": "two\n", "n\nü": "two\n", odd: b"\0two"}, deleted=("gone",)
    )
    tip = put(repository, one).commit
    with pytest.raises(MergeConflict, match="conflict in ") as caught:
        put(repository, two)
    assert sorted(caught.value.paths) == ["a", "gone", "n\nü", "\N{REPLACEMENT CHARACTER}"]
    lines = caught.value.text.split("\n")
    assert "CONFLICT (content): Merge conflict in a" in lines
    assert any(line.startswith("CONFLICT (modify/delete): gone") for line in lines)
    assert repository.branch_commit(BRANCH) == tip


def test_an_attempt_without_its_lease_moves_nothing(repository: Repository) -> None:
    """The fence is asked last, and its refusal is final."""
    base = repository.resolve("main")
    one = new_commit(repository, base, {"a": "one\n"})

    def lost() -> None:
        raise LeaseLostError("gone to another")

    with pytest.raises(LeaseLostError):
        put(repository, one, fence=lost)
    assert repository.branch_commit(BRANCH) == base


def test_whoever_comes_second_merges_on_top(repository: Repository) -> None:
    """A branch that moved between reading and writing is read again; nothing is lost."""
    base = repository.resolve("main")
    one = new_commit(repository, base, {"a": "one\n"})
    two = new_commit(repository, base, {"b": "two\n"})
    asked = []

    def overtaken() -> None:
        asked.append(1)
        if len(asked) == 1:
            put(repository, two)

    merged = put(repository, one, fence=overtaken)
    assert len(asked) == 2
    files = files_of(repository, merged.commit)
    assert (files["a"], files["b"]) == ("one", "two")


def test_the_same_merge_by_another_attempt_counts_once(repository: Repository) -> None:
    """An attempt overtaken by its successor finds its work done."""
    one = new_commit(repository, repository.resolve("main"), {"a": "one\n"})
    by_the_other = []
    mine = put(repository, one, fence=lambda: by_the_other.append(put(repository, one)))
    assert mine == Merged(commit=by_the_other[0].commit, fresh=False)


def test_a_branch_that_never_rests_is_an_error(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop ends."""
    base = repository.resolve("main")
    commits = iter([new_commit(repository, base, {f"f{n}": "x"}) for n in range(3)])
    one = new_commit(repository, base, {"a": "one\n"})
    monkeypatch.setattr(module, "_ROUNDS", 3)

    def overtaken() -> None:
        tip = repository.branch_commit(BRANCH)
        other = git("commit-tree", f"{tip}^{{tree}}", "-p", str(tip), "-p", next(commits),
                    cwd=repository.path, input="x")  # fmt: skip
        repository.move_ref(f"refs/heads/{BRANCH}", new=other, old=tip)

    with pytest.raises(GitError, match="moved 3 times"):
        put(repository, one, fence=overtaken)


def test_what_cannot_be_merged_is_an_error(repository: Repository) -> None:
    """No branch, no such commit, no common past."""
    base = repository.resolve("main")
    with pytest.raises(RepositoryError, match="no branch nothing"):
        merge(repository, branch="nothing", commit=base, message="", fence=lambda: None)
    with pytest.raises(GitError):
        put(repository, "0" * 40)
    stranger = git("commit-tree", f"{base}^{{tree}}", cwd=repository.path, input="x")
    with pytest.raises(GitError, match="unrelated histories"):
        put(repository, stranger)


def test_a_branch_that_is_checked_out_moves_all_the_same(repository: Repository) -> None:
    """Files under the user's hands stay as they are; checked_out_at tells beforehand."""
    raw("git", "checkout", "-q", BRANCH, cwd=repository.path)
    assert repository.checked_out_at(BRANCH) == repository.path
    merged = put(repository, new_commit(repository, repository.resolve("main"), {"a": "one\n"}))
    assert repository.branch_commit(BRANCH) == merged.commit
    assert (repository.path / "a").read_text() == "1\n"


def test_a_bare_repository_is_merged_into(repository: Repository, tmp_path: Path) -> None:
    """No working tree is needed."""
    raw("git", "clone", "-q", "--bare", str(repository.path), "bare.git", cwd=tmp_path)
    bare = Repository.open(tmp_path / "bare.git")
    merged = put(bare, new_commit(bare, bare.resolve("main"), {"a": "one\n"}))
    assert files_of(bare, merged.commit)["a"] == "one"
