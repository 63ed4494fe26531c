"""A remote that several hosts share: what one pushes the others find, and a move is made once."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from tests.remotes import attempt_at, host, new_remote, refs_of
from tests.repositories import files_of, raw, write
from vibe_tasks.errors import GitError, LeaseLostError, RepositoryError
from vibe_tasks.workspace.git import git
from vibe_tasks.workspace.merge import merge
from vibe_tasks.workspace.remote import is_address, open_mirror
from vibe_tasks.workspace.worktree import checkout

pytestmark = pytest.mark.usefixtures("remote")


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """One commit on main."""
    return new_remote(tmp_path, {"README": "hello\n"})


def put_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program of this name in front of git; `$real` is git itself."""
    write(folder / "bin", {"git": f"#!/bin/sh\nreal={shutil.which('git')}\n{script}\n"})
    (folder / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")


def test_what_one_host_commits_another_merges_and_a_third_builds_upon(
    remote: Path, tmp_path: Path
) -> None:
    """They have nothing in common but the remote."""
    first, second, third = (host(tmp_path, name) for name in ("one", "two", "three"))
    base = first.resolve(first.current_branch())
    first.create_branch("vibe/x", base)
    commit = attempt_at(first, base, {"a.txt": "a\n"})

    merged = merge(second, branch="vibe/x", commit=commit, message="Merge a", fence=lambda: None)

    assert third.branch_commit("vibe/x") == merged.commit == refs_of(remote)["refs/heads/vibe/x"]
    with checkout(third, merged.commit, tmp_path / "three" / "w") as tree:
        assert (tree.path / "a.txt").read_text() == "a\n"
    again = merge(first, branch="vibe/x", commit=commit, message="Merge a", fence=lambda: None)
    assert (again.fresh, again.commit) == (False, merged.commit)
    assert third.glance("vibe/y") is None


def test_hosts_that_merge_at_the_same_time_lose_nothing(remote: Path, tmp_path: Path) -> None:
    """The remote takes one of them; the others merge again upon that, each once."""
    base = host(tmp_path, "0").resolve("main")
    host(tmp_path, "0").create_branch("vibe/x", base)
    gate, errors = threading.Barrier(4), []

    def work(number: int) -> None:
        try:
            mirror = host(tmp_path, str(number))
            commit = attempt_at(mirror, base, {f"{number}.txt": "x\n"})
            gate.wait(60)
            merge(mirror, branch="vibe/x", commit=commit, message="Merge", fence=lambda: None)
        except Exception as error:  # noqa: BLE001  told below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    merged = host(tmp_path, "reader").branch_commit("vibe/x")
    assert merged is not None
    assert len(files_of(host(tmp_path, "reader"), merged)) == 5
    merges = git("rev-list", "--merges", "--count", "vibe/x", cwd=remote)
    assert merges == "4"


def test_a_move_is_refused_where_the_branch_stands_elsewhere(remote: Path, tmp_path: Path) -> None:
    """Compare and set, also for a branch that must not be there yet, and for the way back."""
    one, two = host(tmp_path, "one"), host(tmp_path, "two")
    base = one.resolve("main")
    one.create_branch("vibe/x", base)
    commit = attempt_at(one, base, {"a": "1"})
    assert one.move_ref("refs/heads/vibe/x", new=commit, old=base)
    two.bring(commit)
    assert not two.move_ref("refs/heads/vibe/x", new=base, old=base[::-1])
    with pytest.raises(RepositoryError, match="vibe/x already exists in file"):
        two.create_branch("vibe/x", base)
    assert two.move_ref("refs/heads/vibe/x", new=base, old=commit)
    assert refs_of(remote)["refs/heads/vibe/x"] == base


@pytest.mark.parametrize("done", [True, False])
def test_a_push_whose_answer_is_lost_is_done_once(
    remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    """The connection breaks at the first push, after the remote took it or before."""
    mirror = host(tmp_path, "one")
    base = mirror.resolve("main")
    commit = attempt_at(mirror, base, {"a": "1"})
    mirror.create_branch("vibe/x", base)
    broken = tmp_path / "broken"
    put_on_path(
        tmp_path,
        monkeypatch,
        f"""
case " $* " in *" push "*) if [ ! -e {broken} ]; then touch {broken};
  {'$real "$@"' if done else ":"}; echo "fatal: the remote end hung up" >&2; exit 128; fi;; esac
exec $real "$@" """,
    )
    merged = merge(mirror, branch="vibe/x", commit=commit, message="Merge", fence=lambda: None)
    assert broken.exists()
    assert refs_of(remote)["refs/heads/vibe/x"] == merged.commit
    assert git("rev-list", "--merges", "--count", "vibe/x", cwd=remote) == "1"


def test_who_has_lost_the_lease_pushes_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is looked at before each further try: by then the work is somebody else's."""
    mirror = host(tmp_path, "one")
    base = mirror.resolve("main")
    commit = attempt_at(mirror, base, {"a": "1"})
    mirror.create_branch("vibe/x", base)
    pushes = tmp_path / "pushes"
    put_on_path(
        tmp_path,
        monkeypatch,
        f"""
case " $* " in *" push "*) echo >> {pushes}; echo "fatal: timed out" >&2; exit 128;; esac
exec $real "$@" """,
    )

    def lost() -> None:
        if pushes.exists():
            raise LeaseLostError("gone")

    with pytest.raises(LeaseLostError):
        merge(mirror, branch="vibe/x", commit=commit, message="Merge", fence=lost)
    assert pushes.read_text() == "\n"


def test_a_fetch_that_was_killed_is_made_up_for(tmp_path: Path) -> None:
    """It may leave a commit without its files, which must not pass for being there."""
    one, two = host(tmp_path, "one"), host(tmp_path, "two")
    base = one.resolve("main")
    commit = attempt_at(one, base, {"a": "1"})
    torn = git("cat-file", "commit", commit, cwd=one.path) + "\n"
    assert git("hash-object", "-w", "-t", "commit", "--stdin", cwd=two.path, input=torn) == commit
    two.bring(commit)
    assert files_of(two, commit) == {"README": "hello", "a": "1"}


def test_the_base_may_be_a_branch_a_tag_or_a_commit(remote: Path, tmp_path: Path) -> None:
    """As it is on the remote now; a branch goes before a tag of its name."""
    mirror = host(tmp_path, "one")
    first = mirror.resolve("main")
    raw("git", "tag", "-a", "-m", "x", "v1", first, cwd=remote)
    second = attempt_at(mirror, first, {"a": "1"})
    raw("git", "update-ref", "refs/heads/v1", second, cwd=remote)
    assert mirror.resolve("v1") == second
    raw("git", "update-ref", "-d", "refs/heads/v1", cwd=remote)
    assert mirror.resolve("v1") == mirror.resolve(first) == first
    for name in ("nothing", "--all", "ain", "", first[:12], "0" * 40):
        with pytest.raises((RepositoryError, GitError), match=r"no branch or commit|not our ref"):
            mirror.resolve(name)


def test_a_branch_is_set_aside_on_the_remote(remote: Path, tmp_path: Path) -> None:
    """Renamed whole to the first free number."""
    mirror = host(tmp_path, "one")
    base = mirror.resolve("main")
    for branch in ("vibe/x", "vibe/x.1", "vibe/x.3", "vibe/xy"):
        mirror.create_branch(branch, base)
    assert mirror.set_aside("vibe/x") == "vibe/x.2"
    assert {"refs/heads/vibe/x.1", "refs/heads/vibe/x.2"} <= refs_of(remote).keys()
    assert "refs/heads/vibe/x" not in refs_of(remote)
    assert host(tmp_path, "two").branch_commit("vibe/x") is None
    with pytest.raises(RepositoryError, match="no branch vibe/x"):
        mirror.set_aside("vibe/x")


def test_what_an_agent_writes_into_the_mirrors_configuration_is_not_run(
    remote: Path, tmp_path: Path
) -> None:
    """It could name a program for our next fetch, which has the worker's rights and keys."""
    mirror = host(tmp_path, "one")
    mirror.create_branch("vibe/x", mirror.resolve("main"))
    marker = tmp_path / "marker"
    raw("git", "config", "protocol.ext.allow", "always", cwd=mirror.path)
    raw("git", "config", f"url.ext::touch {marker} .insteadOf", "file://", cwd=mirror.path)
    assert mirror.branch_commit("vibe/x") == refs_of(remote)["refs/heads/main"]
    assert not marker.exists()


@pytest.mark.parametrize(
    ("address", "shown"),
    [("http://me:secret@127.0.0.1:9/r.git", "http://me:***@127.0.0.1:9/r.git"),
     ("http://secret@127.0.0.1:9/r.git?token=secret", "http://***@127.0.0.1:9/r.git?token=***")],
)  # fmt: skip
def test_a_remote_that_is_not_there_is_named_without_its_secrets(
    tmp_path: Path, address: str, shown: str
) -> None:
    """In one line, and at once where a person waits for it; files are not named after them."""
    mirror = open_mirror(address, tmp_path / "home")
    with pytest.raises(GitError) as refused:
        mirror.resolve("main")
    assert str(refused.value).startswith(f"{shown}: ")
    assert "secret" not in f"{refused.value} {mirror.path}"


@pytest.mark.parametrize(
    ("repo", "address"),
    [("git@host:x.git", True), ("deploy@host:x", True), ("ssh://h/x", True), ("file:///x", True),
     (".", False), ("../a:b", False), ("a@b", False), ("C:/x", False)],
)  # fmt: skip
def test_addresses_are_told_from_paths(repo: str, address: bool) -> None:
    """What git would take for ssh needs a user in front, so that a path may hold a colon."""
    assert is_address(repo) is address
