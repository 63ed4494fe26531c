"""Files below one folder: nothing outside it is read, written or removed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.agents.confined import Confined, RefusedError, parts_of

SECRET = b"not for you\n"


@pytest.fixture
def files(tmp_path: Path) -> Confined:
    """A worktree beside a folder with a secret, and links from the one to the other."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    (outside / "secret").write_bytes(SECRET)
    (inside / "src").mkdir(parents=True)
    (inside / "src" / "a.py").write_bytes(b"a = 1\n")
    (inside / ".git").mkdir()
    (inside / ".git" / "config").write_bytes(b"[core]\n")
    (inside / "way-out").symlink_to(outside)
    (inside / "src" / "link").symlink_to(outside / "secret")
    return Confined(inside)


@given(st.text(alphabet=st.sampled_from(["a", "b", "/", ".", "\0", "\ud800", "é"]), max_size=12))
def test_a_plain_path_never_leaves_its_folder(path: str):
    """Whatever is accepted is relative and has no part that leads up or nowhere."""
    try:
        parts = parts_of(path)
    except RefusedError:
        return
    assert "/".join(parts) == path
    assert not Path(path).is_absolute()
    assert os.path.normpath(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "../outside/secret",
        "src/../../outside/secret",
        "/etc/passwd",
        "",
        "way-out/secret",
        "src/link",
        ".git/config",
        "src/.GIT/config",
        "src/a.py/b",
        "src",
    ],
)
def test_no_operation_follows_a_path_outside(files: Confined, tmp_path: Path, path: str):
    """Upward and absolute paths, links on the way or at its end, git's files and folders are
    refused by reading and writing alike, and change nothing.
    """
    with pytest.raises((RefusedError, IsADirectoryError)):
        files.read(path, limit=100)
    with pytest.raises(RefusedError):
        files.write(path, b"changed")
    assert (tmp_path / "outside" / "secret").read_bytes() == SECRET
    assert (tmp_path / "inside" / "src" / "a.py").read_bytes() == b"a = 1\n"
    assert (tmp_path / "inside" / "src" / "link").is_symlink()


def test_another_name_of_a_file_keeps_its_content(files: Confined, tmp_path: Path):
    """A hard link to a file outside is no way to write to it; rights of the file stay."""
    secret = tmp_path / "outside" / "secret"
    secret.chmod(0o750)
    os.link(secret, files.root / "twin")
    files.write("twin", b"mine\n")
    assert secret.read_bytes() == SECRET
    assert files.read("twin", limit=100) == b"mine\n"
    assert stat.S_IMODE((files.root / "twin").stat().st_mode) == 0o750


def test_a_pipe_keeps_nobody_waiting(files: Confined):
    """What is no regular file is refused at once, and left out of a search."""
    os.mkfifo(files.root / "pipe")
    with pytest.raises(RefusedError):
        files.read("pipe", limit=100)
    found = dict(files.contents(limit=100))
    assert found == {"src/a.py": b"a = 1\n"}


def test_deleting_a_link_leaves_what_it_leads_to(files: Confined, tmp_path: Path):
    """The link goes, its target stays; folders and absent files are refused."""
    files.delete("src/link")
    files.delete("src/a.py")
    assert list(files.names()) == []
    assert (tmp_path / "outside" / "secret").exists()
    with pytest.raises(RefusedError):
        files.delete("src")
    with pytest.raises(FileNotFoundError):
        files.delete("src/a.py")


def test_new_folders_are_made_and_looked_into(files: Confined):
    """A file may be written where no folder is yet, and is found; links are not walked into."""
    files.write("new/deep/b.txt", b"b")
    assert "new/deep/b.txt" in set(files.names())
    assert list(files.names("new")) == ["new/deep/b.txt"]
    assert list(files.names(leave_out=frozenset({"new"})))[-1] == "src/link"
    assert not [name for name in files.names() if "secret" in name]


def test_a_file_above_the_limit_is_not_read(files: Confined):
    """Nobody fills the memory: reading refuses, a search leaves it out."""
    files.write("big", b"x" * 101)
    with pytest.raises(RefusedError, match="larger than 100 bytes"):
        files.read("big", limit=100)
    assert "big" not in dict(files.contents(limit=100))
    assert dict(files.contents("src/a.py", limit=100)) == {"src/a.py": b"a = 1\n"}
