"""Workers of the fleet that end: who is started again, and who is not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet_host import ONE, Host, deployed_host, is_gone
from tests.processes import until
from vibe_tasks.store import fleet
from vibe_tasks.tasks.fleet.provisioners import process


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with deployed_host(tmp_path) as made:
        yield made


def test_one_that_dies_is_replaced_later_each_time(host: Host):
    """After 1, 2 and 4 seconds; a death after a long life counts from the start."""
    host.size(1)
    host.turn()
    for pause in (1.0, 2.0, 4.0):
        before = host.pids[ONE]
        os.kill(before, signal.SIGKILL)
        until(lambda pid=before: is_gone(pid))
        host.turn(0.1)
        assert host.pids == {}
        host.turn(pause - 0.2)
        assert host.pids == {}
        host.turn(0.2)
        assert host.pids[ONE] != before


def test_one_that_was_killed_is_replaced_although_its_row_says_that_it_left(host: Host):
    """A dispatcher that sees the process gone signs it off before its time has come, or before its
    successor has registered: that one is neither forgotten nor ended.
    """
    host.size(1)
    host.turn()
    for _ in range(2):
        host.register(ONE)
        host.turn()
        before = host.pids[ONE]
        os.kill(before, signal.SIGKILL)
        until(lambda pid=before: is_gone(pid))
        host.turn(0.1)
        host.sign_off(ONE)
        host.turn(0.1)
        with host.ledger.read() as connection:
            (member,) = process.members(connection)
        assert member.status == fleet.STARTING
        host.turn(60)
        assert host.pids[ONE] != before
    host.register(ONE)
    host.turn()
    before = host.pids[ONE]
    os.kill(before, signal.SIGKILL)
    until(lambda: is_gone(before))
    host.turn(0.1)
    host.turn(60)
    after = host.pids[ONE]
    host.sign_off(ONE)
    for _ in range(3):
        host.turn()
    assert not is_gone(after)
    assert host.pids == {ONE: after}


def test_one_that_has_signed_off_is_left_to_end(host: Host, caplog: pytest.LogCaptureFixture):
    """It has drained, or somebody else has told it to end: no signal kills it in its last moments,
    it is not started again, and the log knows no death.
    """
    host.size(1)
    host.turn()
    host.register(ONE)
    host.turn()
    pid = host.pids[ONE]
    host.sign_off(ONE)
    caplog.set_level("INFO")
    for _ in range(3):
        host.turn()
    assert not is_gone(pid)
    os.kill(pid, signal.SIGTERM)
    until(lambda: is_gone(pid))
    host.turn()
    host.turn(60)
    assert host.pids == {}
    assert {each.levelname for each in caplog.records} == {"INFO"}


def test_one_that_drains_is_not_started_again(host: Host):
    """It ends by itself when it is idle; its place is not filled, whether it ended well or not."""
    host.size(1)
    host.turn()
    host.register(ONE)
    assert host.size(0) == 0
    host.turn()
    pid = host.pids[ONE]
    assert not is_gone(pid)
    os.kill(pid, signal.SIGKILL)
    until(lambda: is_gone(pid))
    host.turn()
    host.turn(60)
    assert host.pids == {}
