"""What a repository's own configuration says of programs, and what git does of it for us."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.repositories import new_repository, raw, write
from vibe_tasks.errors import GitError
from vibe_tasks.workspace.disarming import overruled
from vibe_tasks.workspace.git import ask, beginning, git
from vibe_tasks.workspace.merge import merge
from vibe_tasks.workspace.repository import Repository
from vibe_tasks.workspace.worktree import checkout

Set = Callable[[Repository, str, str], None]


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """A file that exists once some program of the repository has run."""
    return tmp_path / "ran"


def in_config(repository: Repository, name: str, value: str) -> None:
    """As an agent does it, or a user with `git config`."""
    raw("git", "config", name, value, cwd=repository.path)


def in_included(repository: Repository, name: str, value: str) -> None:
    """By way of a file that the repository includes."""
    raw("git", "config", "-f", str(repository.path / "more"), name, value, cwd=repository.path)
    raw("git", "config", "includeIf.gitdir:/.path", "../more", cwd=repository.path)


def in_worktrees_own(repository: Repository, name: str, value: str) -> None:
    """In the configuration of one worktree alone."""
    raw("git", "config", "extensions.worktreeConfig", "true", cwd=repository.path)
    raw("git", "config", "--worktree", name, value, cwd=repository.path)


@pytest.mark.parametrize("put", [in_config, in_included])
def test_no_program_of_the_repository_runs(tmp_path: Path, ran: Path, put: Set) -> None:
    """Filters, merge drivers, monitors and hooks that an agent has set up are not run by us.

    From the checkout of a commit to its merge, and with the attributes that choose them.
    """
    repository = new_repository(
        tmp_path / "r", {"a": "1\n2\n3\n", ".gitattributes": "* filter=f merge=m diff=d\n"}
    )
    program = f"sh -c 'touch {ran}; cat' --"
    for name in ("filter.f.clean", "filter.f.smudge", "merge.m.driver", "diff.d.textconv",
                 "diff.d.command", "diff.external", "core.fsmonitor", "core.pager",
                 "core.alternateRefsCommand", "gpg.program"):  # fmt: skip
        put(repository, name, program)
    put(repository, "filter.f.required", "true")
    put(repository, "core.hooksPath", str(tmp_path / "hooks"))
    for name in ("pre-commit", "post-checkout", "post-index-change", "reference-transaction"):
        write(tmp_path / "hooks", {name: f"#!/bin/sh\ntouch {ran}\n"})
        (tmp_path / "hooks" / name).chmod(0o755)

    base = repository.resolve("main")
    with checkout(repository, base, tmp_path / "one") as tree:
        write(tree.path, {"a": "1\n2\nthree\n"})
        one = tree.commit_all("one")
        repository.pin("refs/vibe/x/1", one)
    with checkout(repository, base, tmp_path / "two") as tree:
        write(tree.path, {"a": "one\n2\n3\n"})
        two = tree.commit_all("two")
        assert tree.merge_in(one) == ()
        repository.pin("refs/vibe/x/2", two)
    repository.create_branch("vibe/x", one)
    merged = merge(repository, branch="vibe/x", commit=two, message="m", fence=lambda: None)
    assert git("show", f"{merged.commit}:a", cwd=repository.path) == "one\n2\nthree"
    git("log", "-p", "--no-ext-diff", "--no-textconv", "vibe/x", cwd=repository.path)
    assert repository.changed_paths() == ()
    assert not ran.exists()
    raw("git", "status", cwd=repository.path)  # they would have run
    assert ran.exists()


def test_a_worktree_has_no_programs_of_its_own(tmp_path: Path, ran: Path) -> None:
    """The configuration that belongs to a single worktree is no way around it."""
    repository = new_repository(tmp_path / "r", {".gitattributes": "* filter=f\n"})
    in_worktrees_own(repository, "filter.f.clean", f"sh -c 'touch {ran}; cat' --")
    write(repository.path, {"a": "1\n"})
    git("add", "-A", cwd=repository.path)
    assert not ran.exists()


def test_a_change_of_the_configuration_is_noticed(tmp_path: Path, ran: Path) -> None:
    """What an agent configures after our first look at the repository does not run either."""
    repository = new_repository(tmp_path / "r", {".gitattributes": "* filter=f\n"})
    for number in range(3):
        in_config(repository, "filter.f.clean", f"sh -c 'touch {ran}; echo {number}' --")
        write(repository.path, {"a": f"{number}\n"})
        git("add", "-A", cwd=repository.path)
    assert git("cat-file", "-p", ":a", cwd=repository.path) == "2"
    assert not ran.exists()


def test_conflicts_with_an_overruled_driver_are_conflicts(tmp_path: Path) -> None:
    """Without its own merge driver a file is merged line by line, and nothing is lost."""
    repository = new_repository(tmp_path / "r", {"a": "1\n", ".gitattributes": "* merge=m\n"})
    in_config(repository, "merge.m.driver", "true")
    base = repository.resolve("main")
    with checkout(repository, base, tmp_path / "one") as tree:
        write(tree.path, {"a": "one\n"})
        one = tree.commit_all("one")
        repository.pin("refs/vibe/x/1", one)
    with checkout(repository, base, tmp_path / "two") as tree:
        write(tree.path, {"a": "two\n"})
        tree.commit_all("two")
        assert tree.merge_in(one) == ("a",)
        assert tree.unresolved(["a"]) == ("a",)


def test_programs_of_the_user_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter that the user has set up for all repositories, as Git LFS is, goes on working.

    Also where the repository sets up another one of the same name.
    """
    raw("git", "config", "-f", str(tmp_path / "mine"), "filter.f.clean", "tr a-z A-Z", cwd=tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "mine"))
    repository = new_repository(tmp_path / "r", {".gitattributes": "* filter=f\n"})
    for name in ("small", "smaller"):
        write(repository.path, {"a": f"{name}\n"})
        git("add", "-A", cwd=repository.path)
        assert git("cat-file", "-p", ":a", cwd=repository.path) == name.upper()
        in_config(repository, "filter.f.clean", "tr a-z 0")


def test_no_helper_of_the_repository_is_asked_for_a_password(tmp_path: Path, ran: Path) -> None:
    """The user's helpers are, those of the repository are not; nor does it choose our ssh."""
    repository = new_repository(tmp_path / "r")
    in_config(repository, "credential.helper", f"!touch {ran};")
    in_config(repository, "core.askPass", f"touch {ran};")
    ask("credential", "fill", cwd=repository.path, input="protocol=https\nhost=example.invalid\n\n")
    in_config(repository, "core.sshCommand", f"touch {ran};")
    in_config(repository, "protocol.ext.allow", "always")
    for address in ("ssh://127.0.0.1:9/x", f"ext::touch {ran}"):
        assert ask("ls-remote", address, cwd=repository.path).code != 0
    in_config(repository, "remote.here.url", str(repository.path))
    in_config(repository, "remote.here.uploadpack", f"touch {ran}; git-upload-pack")
    assert "refs/heads/main" in git("ls-remote", "here", cwd=repository.path)
    assert not ran.exists()


@pytest.mark.parametrize("address", ["{}", "file://{}", "ssh://127.0.0.1{}"])
def test_what_is_missing_is_not_fetched_by_a_program_of_the_repository(
    tmp_path: Path, ran: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """A remote that promised missing objects names a program to ask it with; it does not run.

    Not even where the user lets git ask remotes on this machine. Remotes that we ask ourselves
    are asked all the same.
    """
    raw(
        "git", "config", "-f", str(tmp_path / "mine"), "protocol.file.allow", "always", cwd=tmp_path
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "mine"))
    write(tmp_path / "bin", {"ssh": f"#!/bin/sh\ncase $* in *touch*) touch {ran};; esac\nexit 1\n"})
    (tmp_path / "bin" / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    repository = new_repository(tmp_path / "r")
    in_config(repository, "core.repositoryFormatVersion", "1")
    in_config(repository, "extensions.partialClone", "evil")
    in_config(repository, "remote.evil.promisor", "true")
    in_config(repository, "remote.evil.url", address.format(repository.path))
    in_config(repository, "remote.evil.uploadpack", f"touch {ran}; git-upload-pack")
    missing = ("cat-file", "-p", "1" * 40)
    assert ask(*missing, cwd=repository.path).code != 0
    with pytest.raises(GitError):
        beginning(*missing, cwd=repository.path, most=100)
    assert not ran.exists()
    assert "refs/heads/main" in git("ls-remote", str(repository.path), cwd=repository.path)
    assert not ran.exists()
    raw("sh", "-c", f"git {' '.join(missing)} || true", cwd=repository.path)  # it would have run
    assert ran.exists()


def test_git_gets_none_of_our_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses with passwords stay here; what git's helpers may need is handed on."""
    names = ("VIBE_DATABASE_URL", "CELERY_BROKER_URL", "MY_TOKEN")
    for name in names:
        monkeypatch.setenv(name, "secret")
    raw("git", "config", "-f", str(tmp_path / "mine"), "alias.told", "!env", cwd=tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "mine"))
    told = git("told", cwd=new_repository(tmp_path / "r").path).splitlines()
    assert [name for name in names if f"{name}=secret" in told] == ["MY_TOKEN"]


def test_of_several_helpers_the_outer_ones_are_left() -> None:
    """An empty value takes all earlier ones from git's list; those of the user come again."""
    settings = [
        ("system", "credential.helper", "a"), ("global", "credential.helper", "b"),
        ("local", "credential.helper", "evil"), ("local", "user.name", "x"),
        ("global", "filter.f.clean", "f"),
    ]  # fmt: skip
    assert list(overruled(settings)) == [("credential.helper", value) for value in ("", "a", "b")]


def test_links_and_paths_do_not_leave_the_worktree(tmp_path: Path) -> None:
    """A link that an agent leaves is kept as a link: what it points at is neither read nor written.

    Nor does a checkout write through a link that lies where a folder is to be.
    """
    outside = tmp_path / "outside"
    write(outside, {"secret": "s\n"})
    repository = new_repository(tmp_path / "r", {"folder/file": "1\n"})
    base = repository.resolve("main")
    with checkout(repository, base, tmp_path / "one") as tree:
        (tree.path / "secret").symlink_to(outside / "secret")
        (tree.path / "up").symlink_to("../../outside")
        (tree.path / "folder/file").unlink()
        (tree.path / "folder").rmdir()
        (tree.path / "folder").symlink_to(outside)
        commit = tree.commit_all("links")
        repository.pin("refs/vibe/x/1", commit)
        modes = git("ls-tree", "-r", commit, cwd=tree.path).split("\n")
        assert [mode.split()[0] for mode in modes] == ["120000"] * 3
        assert "secret" not in {
            line.split("\t")[1].split("/")[-1] for line in modes if "folder/" in line
        }
        tree.reset()
        assert (tree.path / "folder/file").read_text() == "1\n"
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    assert (outside / "secret").read_text() == "s\n"
