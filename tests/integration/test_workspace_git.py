"""The one way to git."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.repositories import new_repository, raw, write
from vibe_tasks.errors import GitError, RepositoryError
from vibe_tasks.workspace.git import ask, git, git_version, readable
from vibe_tasks.workspace.repository import Repository


def installed(folder: Path, script: str) -> str:
    """A PATH on which `git` is this shell script."""
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_a_failure_names_the_command_and_what_git_said(tmp_path: Path) -> None:
    """An error can be acted on without running git again."""
    with pytest.raises(GitError, match=r"git rev-parse --verify nothing: exit code 128: fatal"):
        git("rev-parse", "--verify", "nothing", cwd=new_repository(tmp_path / "r").path)
    assert git("rev-parse", "-q", "--verify", "x", cwd=tmp_path / "r", check=False) == ""


def test_commits_carry_our_identity_and_no_hook_runs(tmp_path: Path) -> None:
    """Who is logged in, and what lies in .git/hooks, changes nothing."""
    repository = new_repository(tmp_path / "r")
    hook = repository.common_dir / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch ran\nexit 1\n")
    hook.chmod(0o755)
    raw("git", "config", "commit.gpgSign", "true", cwd=repository.path)
    write(repository.path, {"a": "1"})
    git("add", "-A", cwd=repository.path)
    git("commit", "-q", "-m", "two", cwd=repository.path)
    assert not (repository.path / "ran").exists()
    who = git("log", "-1", "--format=%an %ae %cn %ce", cwd=repository.path)
    assert who == "vibe_tasks vibe-tasks@localhost vibe_tasks vibe-tasks@localhost"


def test_inherited_variables_redirect_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started from a git hook, we still work on the repository that was named."""
    repository = new_repository(tmp_path / "r")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "nonsense")
    assert Repository.open(repository.path) == repository


def test_input_and_names_survive_any_bytes(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 go through git and back unchanged; a message gets them replaced."""
    text = os.fsdecode(b"a\xff")
    blob = git("hash-object", "-w", "--stdin", cwd=new_repository(tmp_path / "r").path, input=text)
    assert git("cat-file", "blob", blob, cwd=tmp_path / "r") == text
    assert readable(text) == "a\N{REPLACEMENT CHARACTER}"


def test_a_missing_folder_is_not_a_missing_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the two is named."""
    with pytest.raises(RepositoryError, match=r"folder .*/gone does not exist"):
        git("status", cwd=tmp_path / "gone")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RepositoryError, match=r"install git 2\.38"):
        git("status", cwd=tmp_path)
    with pytest.raises(RepositoryError, match=r"install git 2\.38"):
        git_version()


def test_an_old_git_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything starts, with the version that is needed."""
    assert git_version() >= (2, 38)
    monkeypatch.setenv("PATH", installed(tmp_path / "bin", "echo git version 2.37.9"))
    with pytest.raises(RepositoryError, match=r"git version 2\.37\.9 is too old; .* 2\.38"):
        git_version()


def test_a_git_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead network mount does not hold a worker for ever."""
    monkeypatch.setenv("PATH", installed(tmp_path / "bin", "exec sleep 600"))
    with pytest.raises(GitError, match="did not end within"):
        ask("fetch", cwd=tmp_path, timeout=0.2)
