"""A change that is kept as text and brought into another worktree."""

from __future__ import annotations

from pathlib import Path

from tests.repositories import new_repository, write
from vibe_tasks.workspace.patch import apply_change, change_between
from vibe_tasks.workspace.worktree import checkout


def test_a_kept_change_is_brought_in_where_it_fits(tmp_path: Path) -> None:
    """Files that are no text and new folders too; where it does not fit, nothing is changed."""
    repository = new_repository(tmp_path / "r", {"a": "1\n", "b": "1\n"})
    base = repository.resolve("main")
    with checkout(repository, base, tmp_path / "one") as tree:
        write(tree.path, {"a": "2\n", "new/c": b"\x00\xff"})
        made = tree.commit_all("made")
    change = change_between(repository, base, made, most=10_000)
    nothing = change_between(repository, base, base, most=10_000)
    assert change is not None
    assert nothing is not None
    with checkout(repository, base, tmp_path / "two") as tree:
        assert apply_change(tree, nothing, scratch=tmp_path)
        assert apply_change(tree, change, scratch=tmp_path)
        assert (tree.path / "a").read_text() == "2\n"
        assert (tree.path / "new/c").read_bytes() == b"\x00\xff"
    with checkout(repository, base, tmp_path / "three") as tree:
        write(tree.path, {"a": "9\n"})
        tree.commit_all("other")
        assert not apply_change(tree, change, scratch=tmp_path)
        assert (tree.path / "a").read_text() == "9\n"
        assert not (tree.path / "new").exists()
    assert not list(tmp_path.glob("*.patch"))
