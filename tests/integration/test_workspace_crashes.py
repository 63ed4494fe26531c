"""Many processes at once in one repository, and processes that die at any moment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.crowds import crowd
from tests.processes import ended_by_id, unmeasured
from tests.repositories import files_of, new_repository, raw
from vibe_tasks.workspace.git import git
from vibe_tasks.workspace.merge import merge
from vibe_tasks.workspace.repository import Repository

ROOT = Path(__file__).parents[2]

# Runs attempts number by number once a line comes in; says each number when it is merged.
WORKER = """
import sys
from pathlib import Path
from tests.repositories import attempt
from vibe_tasks.workspace.repository import Repository
repository = Repository.open(Path(sys.argv[1]))
sys.stdin.readline()
for number in map(int, sys.argv[2:]):
    merged = attempt(repository, number)
    print(number, merged.fresh, flush=True)
"""

# Attempts 1, 2, 3, …: a child process is killed right before the n-th operation of attempt n that
# changes a file or starts a program, then the attempt is made again. Ends with the first child that
# has fewer operations; says how many attempts there were.
DYING = """
import itertools, os, signal, sys
from pathlib import Path
from tests.repositories import attempt
from vibe_tasks.workspace.repository import Repository
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "subprocess.Popen"}
def dies_before(step):
    def count(event, arguments):
        nonlocal step
        if event in CHANGES or event == "open" and arguments[1] in ("w", "wb"):
            step -= 1
            if step == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
repository = Repository.open(Path(sys.argv[1]))
for number in itertools.count(1):
    child = os.fork()
    if child == 0:
        dies_before(number)
        attempt(repository, number)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    assert repository.changed_paths() == ()
    assert repository.checked_out_at("vibe/x") is None
    attempt(repository, number)
print(number)
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with the plan's branch."""
    made = new_repository(tmp_path / "r", {f"file {n}": "x\n" for n in range(10)})
    made.create_branch("vibe/x", made.resolve("main"))
    return made


def assert_merged_once(repository: Repository, numbers: range) -> None:
    """Every number is on the branch in one merge commit of its own, and nothing lies around."""
    log = git("log", "--first-parent", "--format=%s", "main..vibe/x", cwd=repository.path)
    assert sorted(log.split("\n")) == sorted(f"task {number}" for number in numbers)
    files = files_of(repository, repository.resolve("vibe/x"))
    assert {f"task {n}.txt": str(n) for n in numbers}.items() <= files.items()
    assert raw("git", "worktree", "list", cwd=repository.path).count("\n") == 0
    assert list((repository.common_dir / "vibe_tasks").iterdir()) == []
    assert list((repository.path / ".vibe").iterdir()) == []
    assert not raw("git", "fsck", "--no-dangling", cwd=repository.path)
    assert repository.changed_paths() == ()


def test_ten_processes_merge_into_one_branch(repository: Repository) -> None:
    """Each commit is merged exactly once, and no worktree gets in another's way."""
    members = [[str(repository.path), *map(str, range(n, 30, 10))] for n in range(10)]
    with crowd(WORKER, members, cwd=ROOT) as workers:
        workers.go()
        said = [output.split("\n") for output in workers.outputs()]
    assert sorted(line for lines in said for line in lines if line) == sorted(
        f"{number} True" for number in range(30)
    )
    assert_merged_once(repository, range(30))


def test_a_process_may_die_before_any_of_its_steps(repository: Repository) -> None:
    """Killed before its first, second, third, … step, an attempt can be made again."""
    done = subprocess.run(
        [sys.executable, "-c", DYING, str(repository.path)],
        cwd=ROOT, env=unmeasured(os.environ), check=True, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    attempts = int(done.stdout)
    assert attempts > 20
    assert_merged_once(repository, range(1, attempts + 1))


def test_the_same_attempt_again_merges_nothing_twice(repository: Repository) -> None:
    """Killed after the merge and before it was written down: the next one finds it done."""
    with ended_by_id() as processes:
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(repository.path), *map(str, range(100))],
            cwd=ROOT, env=unmeasured(os.environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        processes.append(psutil.Process(worker.pid))
        worker.stdin.write("\n")
        worker.stdin.flush()
        last = [worker.stdout.readline() for _ in range(5)][-1]
        worker.kill()
        worker.communicate(timeout=60)
    assert last == "4 True\n"
    tip = repository.resolve("vibe/x")
    commit = repository.resolve("refs/vibe/x/4")
    again = merge(repository, branch="vibe/x", commit=commit, message="again", fence=lambda: None)
    assert not again.fresh
    assert repository.resolve("vibe/x") == tip
