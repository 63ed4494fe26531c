"""Programs in a sandbox: no network, and nothing but the worktree to write to."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.processes import unmeasured
from tests.repositories import new_repository, write
from vibe_tasks.errors import PermanentError, TransientError
from vibe_tasks.plan_specs import Limits, Surroundings
from vibe_tasks.workspace.bounds import Bounds
from vibe_tasks.workspace.process import Finished, run
from vibe_tasks.workspace.sandbox import Sandbox, unavailable
from vibe_tasks.workspace.surroundings import Machine, surround
from vibe_tasks.workspace.worktree import checkout

REASON = unavailable()
confined = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.fixture
def worktree(tmp_path: Path) -> Path:
    """Where a program may write; beside it is another job's."""
    write(tmp_path / "home", {"ledger.db": "secret\n", "worktrees/other/file": "2\n"})
    folder = tmp_path / "home" / "worktrees" / "mine"
    folder.mkdir()
    return folder


@pytest.fixture
def strict(tmp_path: Path, worktree: Path) -> Any:
    """Runs a shell command line in a sandbox around the worktree."""
    sandbox = Sandbox(writable=(worktree,), hidden=(tmp_path / "home",))

    def start(command: str, **options: Any) -> Finished:
        env = unmeasured(os.environ)  # measuring would write to the checkout
        options = {"timeout": 60.0, "log": tmp_path / "log", "env": env} | options
        return run(["sh", "-c", command], cwd=worktree, sandbox=sandbox, **options)

    return start


@confined
def test_only_the_worktree_can_be_written_to(strict: Any, worktree: Path, tmp_path: Path) -> None:
    """Files in the worktree stay; nothing else changes, neither through links nor through `..`."""
    (tmp_path / "outside").mkdir()
    (worktree / "out").symlink_to(tmp_path / "outside")
    new = f"new-{tmp_path.parent.name}"
    finished = strict(
        f"echo mine > file; for place in / /etc /usr {tmp_path} out .. ../other; "
        f"do touch $place/{new} 2>/dev/null && echo wrote $place; done; "
        f"mkdir -p ../other && echo more >> ../other/file; touch /tmp/{new}; ls /tmp; exit 3"
    )
    assert finished.exit_code == 3
    assert new in finished.output.split()
    assert (worktree / "file").read_text() == "mine\n"
    assert not list((tmp_path / "outside").iterdir())
    assert (tmp_path / "home/worktrees/other/file").read_text() == "2\n"
    for place in ("/", "/etc", "/usr", "/tmp", tmp_path):
        assert not Path(place, new).exists()


@confined
def test_other_work_and_the_ledger_are_not_seen(strict: Any) -> None:
    """The home of the project is empty but for the job's own folders."""
    finished = strict("cat ../../ledger.db; ls ../..; ls ..")
    assert finished.stdout_tail.split() == ["worktrees", "mine"]
    assert "secret" not in finished.output


@confined
def test_there_is_no_network(strict: Any) -> None:
    """A server on this very machine cannot be reached."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        source = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
        finished = strict(f'{sys.executable} -S -c "{source}"')
    assert finished.exit_code == 1
    assert "Error" in finished.output


@confined
def test_python_and_the_programs_on_the_path_work(strict: Any) -> None:
    """A check runs as it would outside, wherever the interpreter is installed."""
    finished = strict(f"{sys.executable} -c 'import pytest; print(pytest.__name__)'; git --version")
    assert finished.exit_code == 0
    assert finished.output.startswith("pytest\ngit version")


@confined
def test_other_processes_are_out_of_reach(strict: Any) -> None:
    """A program sees none of ours, our launcher included, and can end none."""
    finished = strict("ls /proc | grep -c '^[0-9]'; kill -9 -1; echo alive")
    assert int(finished.output.split()[0]) <= 6


@confined
def test_a_sandboxed_program_may_clean_up_in_its_grace(strict: Any) -> None:
    """SIGTERM reaches the program, and not only the sandbox; what hides from it is killed."""
    command = "trap 'echo bye; exit 0' TERM; setsid sleep 86413 & echo ready; wait"
    finished = strict(command, hear=lambda _line: 0.1, grace=600.0)
    assert (finished.output, finished.ended_by) == ("ready\nbye\n", "done")
    assert not [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.info["cmdline"] == ["sleep", "86413"]
    ]


@confined
def test_limits_hold_inside(strict: Any) -> None:
    """Processes and memory in a sandbox are counted, the sandbox's own are not."""
    source = "import os, time\\nfor _ in range(6): os.fork()\\ntime.sleep(600)"
    finished = strict(
        f"""{sys.executable} -S -c "exec('{source}')" """, limits=Bounds(processes=20)
    )
    assert finished.ended_by == "processes"
    assert strict("true", limits=Bounds(processes=2)).exit_code == 0


@confined
def test_a_sandbox_that_cannot_be_made_is_no_failed_check(tmp_path: Path) -> None:
    """Who asked for a sandbox hears that there was none; the program did not run.

    Where sandboxes can be made it is tried again.
    """
    sandbox = Sandbox(writable=(tmp_path, tmp_path / "gone"))
    with pytest.raises(TransientError, match=r"^sandbox: strict: bwrap: "):
        run(
            ["touch", "ran"],
            cwd=tmp_path,
            env={},
            timeout=60,
            log=tmp_path / "log",
            sandbox=sandbox,
        )
    assert not (tmp_path / "ran").exists()


@confined
def test_a_program_that_talks_like_the_sandbox_is_no_broken_sandbox(strict: Any) -> None:
    """Whether it ran is not read from what it says."""
    finished = strict("echo 'bwrap: Resource temporarily unavailable' >&2; exit 1")
    assert finished.exit_code == 1
    assert finished.output.startswith("bwrap: ")


@confined
def test_a_passing_shortage_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the machine lacks for a moment is tried again later, and a sandbox is found then."""
    there = shutil.which("bwrap")
    short = "echo 'bwrap: Creating new namespace failed: Resource temporarily unavailable' >&2"
    script = f'#!/bin/sh\n[ -e {tmp_path}/room ] && exec {there} "$@"\n{short}\nexit 1\n'
    write(tmp_path / "bin", {"bwrap": script})
    (tmp_path / "bin" / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    options: Any = {"cwd": tmp_path, "env": unmeasured(os.environ), "timeout": 60.0}
    options |= {"log": tmp_path / "log", "sandbox": Sandbox(writable=(tmp_path,))}
    with pytest.raises(TransientError, match=r"temporarily unavailable$"):
        run(["true"], **options)
    (tmp_path / "room").touch()
    assert run(["true"], **options).exit_code == 0
    (tmp_path / "room").unlink()  # it worked once: only the run itself meets the shortage
    with pytest.raises(TransientError, match=r"^sandbox: strict: bwrap: .* unavailable$"):
        run(["true"], **options)


@confined
def test_folders_in_memory_are_bounded(tmp_path: Path, worktree: Path) -> None:
    """Files in them are memory that no look at processes finds; the others cannot be filled."""
    held = surround(
        Surroundings(sandbox="strict", limits=Limits(memory=20)),
        Machine(hidden=(tmp_path / "home",)), environ=unmeasured(os.environ), worktree=worktree,
    )  # fmt: skip
    fill = "for place in /tmp /dev/shm; do head -c 30000000 /dev/zero > $place/x; wc -c $place/x; "
    fill += "done; for place in /dev /run ../..; do touch $place/x || echo kept; done; "
    fill += f"{sys.executable} -c 'import multiprocessing as m; m.Lock()'; ls /proc/self/fd"
    finished = run(
        ["sh", "-c", fill], cwd=worktree, env=held.env, timeout=60, log=tmp_path / "log",
        sandbox=held.sandbox,
    )  # fmt: skip
    said = finished.stdout_tail.split("\n")
    assert [int(line.split()[0]) <= 20_100_000 for line in said[:2]] == [True, True]
    assert said[2:5] == ["kept"] * 3
    assert said[5:] == ["0", "1", "2", "3", ""], "and nothing of ours is open"


@confined
def test_a_plans_surroundings_are_made_real(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the words in a plan to a worktree in which git can look but not commit."""
    repository = new_repository(tmp_path / "r", {"a": "1\n"})
    monkeypatch.setenv("NAMED", "n")
    spec = Surroundings(sandbox="strict", env=("NAMED",), limits=Limits(cpu=9.0, memory=500))
    with checkout(repository, repository.resolve("main"), tmp_path / "home/worktrees/x") as tree:
        held = surround(
            spec, Machine(hidden=(tmp_path / "home",)), environ=unmeasured(os.environ),
            worktree=tree.path, readable=(repository.common_dir,),
        )  # fmt: skip
        assert held.limits == Bounds(cpu=9.0, memory=500_000_000)
        command = "git log --format=%s; echo $NAMED; echo 2 > a; git status --short; git add -A"
        finished = run(
            ["sh", "-c", command], cwd=tree.path, env=held.env, timeout=60, log=tmp_path / "log",
            limits=held.limits, sandbox=held.sandbox,
        )  # fmt: skip
        assert finished.stdout_tail == "first\nn\n M a\n"
        assert finished.exit_code not in (0, None)
        assert tree.commit_all("mine") != tree.base


def test_without_bubblewrap_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox that is asked for and missing, or that does not work, is an error, in one line."""
    options: Any = {"cwd": tmp_path, "env": {"PATH": os.environ["PATH"]}, "timeout": 60}
    options |= {"log": tmp_path / "log", "sandbox": Sandbox(writable=(tmp_path,))}
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PermanentError, match=r"sandbox: strict: bubblewrap .*(installed|Linux)$"):
        run(["touch", "ran"], **options)
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permission' >&2; exit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    if sys.platform == "linux":
        with pytest.raises(PermanentError, match="does not work on this machine: bwrap: No perm"):
            run(["touch", "ran"], **options)
    assert not (tmp_path / "ran").exists()
