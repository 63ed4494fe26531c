from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from tests.processes import ended_by_id, runs, until
from vibe_tasks.tasks import processes
from vibe_tasks.tasks.processes import Identity

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="knows /proc")

TREE = """
import subprocess, sys, os
depth = int(sys.argv[1])
if depth:
    child = subprocess.Popen([sys.executable, "-c", sys.argv[2], str(depth - 1), sys.argv[2]],
                             start_new_session=depth == 2)
print(os.getpid(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def tree() -> Iterator[list[psutil.Process]]:
    """A process, its child in a session of its own, and that one's child; they wait."""
    with ended_by_id() as members:
        started = subprocess.Popen(
            [sys.executable, "-c", TREE, "2", TREE], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, start_new_session=True, text=True,
        )  # fmt: skip
        with started:
            assert started.stdout is not None
            members += [psutil.Process(int(started.stdout.readline())) for _ in range(3)]
            yield [psutil.Process(started.pid), *psutil.Process(started.pid).children(True)]
            for each in members:
                with suppress(psutil.NoSuchProcess):
                    each.kill()


def test_a_process_is_known_from_a_later_one_of_the_same_id() -> None:
    """By its start; and this one is not gone."""
    me = processes.identity_of(os.getpid())
    assert me is not None
    assert me.host == processes.this_host()
    assert not processes.is_gone(me)
    assert processes.is_gone(Identity(host=me.host, process=f"{os.getpid()}:1"))


def test_a_process_of_another_host_cannot_be_judged() -> None:
    """Its id means nothing here."""
    assert not processes.is_gone(Identity(host="elsewhere", process="1:1"))


def test_a_zombie_is_gone() -> None:
    """It has ended, though nobody has asked for its exit code."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        identity = processes.identity_of(child.pid)
        assert identity is not None
        assert not processes.is_gone(identity)
        child.kill()
        until(lambda: processes.is_gone(identity))
        assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE


def test_a_tree_ends_with_those_that_left_its_group(tree: list[psutil.Process]) -> None:
    """Also a grandchild in a session of its own."""
    assert len({os.getpgid(each.pid) for each in tree}) == 2
    processes.kill(tree[0].pid)
    until(lambda: not any(map(runs, tree)))


def test_a_wide_tree_costs_a_look_or_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """All processes are read once a round, and not once for each member."""
    looks: list[object] = []
    look = processes._look

    def counted() -> processes._Look:
        looks.append(None)
        return look()

    monkeypatch.setattr(processes, "_look", counted)
    source = "import subprocess; [subprocess.Popen(['sleep', '60']) for _ in range(60)]; input()"
    with subprocess.Popen(
        [sys.executable, "-c", source], stdin=subprocess.PIPE, start_new_session=True
    ) as root:
        until(lambda: len(psutil.Process(root.pid).children()) == 60)
        members = [psutil.Process(root.pid), *psutil.Process(root.pid).children()]
        processes.kill(root.pid)
        until(lambda: not any(map(runs, members)))
    assert len(looks) <= 3


def test_members_are_ended_whose_root_has_gone_first(tree: list[psutil.Process]) -> None:
    """SIGTERM took the root; the others became orphans and are remembered."""
    members = processes.tree_of(tree[0].pid)
    assert len(members) == 3
    processes.ask_to_end(members[:1])
    until(lambda: not runs(tree[0]))
    assert runs(tree[1])
    processes.kill(tree[0].pid, members)
    until(lambda: not any(map(runs, tree)))
