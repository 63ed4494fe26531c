"""The keeper of a host, with programs that sleep in place of workers."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet_host import CODE, DEAF, HOST, ONE, TWO, Host, deployed_host, is_gone
from tests.ledgers import claim, new_job, submit
from tests.processes import until
from vibe_tasks.fleet import FleetLane
from vibe_tasks.stack.fleet_worker import worker_program
from vibe_tasks.stack.keeper import BLIND, BLINK, IDLE, ORPHANED, STUBBORN
from vibe_tasks.store import fleet, workers
from vibe_tasks.tasks.fleet.provisioners import process
from vibe_tasks.tasks.fleet.provisioners.provisioner import Order


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with deployed_host(tmp_path) as made:
        yield made


def test_what_is_wanted_runs_once_and_what_is_not_ends(host: Host):
    """Wanted workers are started, each once; one that nobody wants any more is told to end, the
    newest first; without any the keeper ends.
    """
    assert host.size(2) == 2
    host.turn()
    first = host.pids
    assert set(first) == {ONE, TWO}
    host.register(ONE)
    host.turn()
    assert host.pids == first
    assert host.size(1) == 1
    host.turn()
    until(lambda: is_gone(first[TWO]))
    host.turn()
    assert host.pids == {ONE: first[ONE]}
    host.size(0)
    with host.ledger.begin() as connection:
        workers.leave(connection, ONE)  # as it does when it has drained
    host.turn()
    os.kill(first[ONE], signal.SIGTERM)
    until(lambda: is_gone(first[ONE]))
    assert host.turn()
    assert not host.turn(IDLE)


def test_a_keeper_that_was_killed_is_replaced(host: Host):
    """The next one starts what is wanted, but not what still runs."""
    host.size(2)
    host.turn()
    host.register(ONE)
    host.register(TWO)
    before = host.pids
    os.kill(before[TWO], signal.SIGKILL)
    until(lambda: is_gone(before[TWO]))
    host.keepers.append(host.keeper())
    host.turn()
    assert set(host.pids) == {TWO}
    os.kill(before[ONE], signal.SIGKILL)
    until(lambda: is_gone(before[ONE]))
    host.turn()
    assert set(host.pids) == {ONE, TWO}


def test_when_the_deployment_stops_its_fleet_ends(host: Host):
    """Without another live worker on this host the fleet's workers finish and end, what has not
    started is taken back, and nothing is left.
    """
    host.size(1)
    host.turn()
    host.register(ONE)
    pid = host.pids[ONE]
    with host.ledger.begin() as connection:
        workers.leave(connection, f"celery@{HOST}")
    host.turn()
    assert not is_gone(pid)
    for _ in range(int(ORPHANED / BLINK) - 1):
        host.turn(BLINK)
    host.size(2)
    host.turn(BLINK)
    until(lambda: is_gone(pid))
    assert not host.turn()
    with host.ledger.read() as connection:
        left = [each.worker for each in process.members(connection)]
    assert TWO not in left


def test_a_deployment_that_comes_back_has_its_fleet_again(host: Host):
    """Also while a worker of before still finishes its job; unless the keeper itself is to end."""
    host.argv = DEAF
    host.size(1)
    host.turn()
    log = host.logs / f"{ONE}.log"
    until(lambda: "deaf" in log.read_text(encoding="utf-8"))
    host.register(ONE)
    with host.ledger.begin() as connection:
        workers.leave(connection, f"celery@{HOST}")
    for _ in range(int(ORPHANED / BLINK) + 2):
        host.turn(BLINK)
    host.deploy()
    host.turn()
    host.size(2)
    host.turn()
    assert set(host.pids) == {ONE, TWO}
    host.keepers[-1].end("told to end")
    host.turn()
    assert host.size(3) == 3
    host.turn()
    assert f"auto-code-3@{HOST}" not in host.pids


def test_one_that_does_not_end_is_killed_once_it_holds_nothing(host: Host):
    """As long as it holds a job it is left to finish."""
    host.argv = DEAF
    host.size(1)
    host.turn()
    log = host.logs / f"{ONE}.log"
    until(lambda: "deaf" in log.read_text(encoding="utf-8"))
    submit(host.ledger, new_job(id="held"))
    claim(host.ledger, "held", worker=ONE)
    with host.ledger.begin() as connection:
        fleet.give_up(connection, ONE)
    pid = host.pids[ONE]
    host.turn()
    host.turn(STUBBORN + 1)
    assert not is_gone(pid)
    with host.ledger.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET status = 'completed', lease_until = NULL")
    host.turn()
    until(lambda: is_gone(pid))


@pytest.mark.parametrize("trouble", ["the home is gone", "the ledger is away"])
def test_nothing_outlives_its_place(host: Host, trouble: str, tmp_path: Path):
    """A home that was removed ends all at once; a ledger that is away, after a long time."""
    host.size(1)
    host.turn()
    pid = host.pids[ONE]
    if trouble == "the home is gone":
        host.logs.rename(tmp_path / "elsewhere")
        assert not host.turn()
    else:
        with host.ledger.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE worker_health RENAME TO away")
        host.turn(BLIND / 2)
        assert not is_gone(pid)
        host.turn(BLIND)
    until(lambda: is_gone(pid))


def test_a_worker_that_gives_no_sign_is_given_up(host: Host):
    """It is told as the trouble of its lane, counts no longer, and its process is ended."""
    host.size(1)
    host.turn()
    pid = host.pids[ONE]
    with host.ledger.begin() as connection:
        connection.exec_driver_sql("UPDATE worker_health SET last_seen = last_seen - 121")
    host.deploy()
    found = host.provisioner.look(CODE, last=None)
    assert (found.size, found.trouble) == (0, f"{ONE} gave no sign for 120 s")
    host.provisioner.tend(CODE)
    host.turn()
    until(lambda: is_gone(pid))


def test_who_was_silent_while_all_were_is_not_given_up(host: Host):
    """A machine that slept, or a ledger that was away: there is a minute for a sign of life."""
    host.size(1)
    host.turn()
    host.register(ONE)
    host.provisioner.tend(CODE)
    with host.ledger.begin() as connection:
        connection.exec_driver_sql("UPDATE worker_health SET last_seen = last_seen - 300")
        connection.exec_driver_sql("UPDATE upkeep SET looked_at = looked_at - 300")
    for _ in range(2):
        assert host.provisioner.look(CODE, last=None).trouble is None
        host.provisioner.tend(CODE)
    with host.ledger.begin() as connection:
        connection.exec_driver_sql("UPDATE upkeep SET patient_until = looked_at")
    assert host.provisioner.look(CODE, last=None).trouble is not None


def test_one_that_is_ordered_anew_is_started_anew(host: Host):
    """A process that never registers is not taken for the one that its name was ordered for next,
    in the same look at the fleet.
    """
    host.size(1)
    host.turn()
    hangs = host.pids[ONE]
    host.turn(121)
    with host.ledger.begin() as connection:
        connection.exec_driver_sql("UPDATE worker_health SET last_seen = last_seen - 121")
    host.deploy()
    host.provisioner.tend(CODE)
    assert host.size(1) == 1
    host.turn()
    until(lambda: is_gone(hangs))
    host.turn()
    host.turn(1.1)
    successor = host.pids[ONE]
    assert successor != hangs
    # By the ledger's clock the order is brand-new: the keeper's must not be `BLINK` ahead of it.
    host.turn(BLINK - 3)
    host.register(ONE)
    host.turn(BLINK)
    assert host.pids[ONE] == successor
    assert not is_gone(successor)


def test_an_outage_of_the_ledger_ends_nobody(host: Host):
    """Whoever was silent for as long as the ledger was away has time to be heard of again."""
    host.size(1)
    host.turn()
    host.register(ONE)
    with host.ledger.begin() as connection:
        connection.exec_driver_sql("UPDATE worker_health SET last_seen = last_seen - 60")
        connection.exec_driver_sql("ALTER TABLE worker_health RENAME TO away")
    host.turn(2 * ORPHANED)
    with host.ledger.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO worker_health")
    for _ in range(int(ORPHANED / BLINK) - 1):
        host.turn(BLINK)
    host.deploy()
    for _ in range(int(ORPHANED / BLINK) + 1):
        assert host.turn(BLINK)
    assert not is_gone(host.pids[ONE])


@pytest.mark.parametrize("name", ["ip-10-0-0-5", "host"])
def test_workers_are_told_apart_by_their_numbers(
    host: Host, name: str, monkeypatch: pytest.MonkeyPatch
):
    """A host's name may end with a number as well, and lanes may differ in a sign that names of
    workers cannot have; a worker that somebody else has called so is not the fleet's.
    """
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    with host.ledger.begin() as connection:
        fleet.want(connection, f"auto-pilot@{name}", "code", slots=1, status="online")
        fleet.want(connection, f"auto-pilot-1@{name}", "code", slots=1, status="online")
    assert host.size(3) == 3
    for lane in ("a@b", "a.b"):
        alike = FleetLane(lane=lane, provisioner="process", least=0, most=1)
        host.provisioner.scale(alike, Order(number=2, before=0, target=1, reason="a test"))
    with host.ledger.read() as connection:
        found = {each.worker: (each.lane, each.number) for each in process.members(connection)}
    assert found == {
        **{f"auto-code-{number}@{name}": ("code", number) for number in (1, 2, 3)},
        f"auto-a.b-1@{name}": ("a@b", 1),
        f"auto-a.b-2@{name}": ("a.b", 2),
    }


def test_a_worker_takes_over_what_is_not_its_starters_alone(
    host: Host, monkeypatch: pytest.MonkeyPatch
):
    """Not the file of its liveness, nor what SIGTERM means there: ours lets it finish."""
    own = {"REMAP_SIGTERM": "SIGQUIT", "VIBE_ALIVE_FILE": "/run/alive", "VIBE_WORKER_CAPACITY": "9"}
    for name, value in {**own, "VIBE_IMPORTS": "mine"}.items():
        monkeypatch.setenv(name, value)
    host.size(1)
    with host.ledger.read() as connection:
        (member,) = process.members(connection)
    program = worker_program(member)
    assert {name: program.environ[name] for name in (*own, "VIBE_IMPORTS")} == {
        "REMAP_SIGTERM": "", "VIBE_ALIVE_FILE": "", "VIBE_WORKER_CAPACITY": "2",
        "VIBE_IMPORTS": "mine",
    }  # fmt: skip
    assert f"auto-code-1@%h -Q {member.lane} -c 2" in " ".join(program.argv)


def test_a_host_has_one_keeper(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Who holds the lock is the keeper; when it ends, however, another may be. Meanwhile its file
    never looks old, to whoever tidies folders up.
    """
    monkeypatch.setattr(process, "keeper_lock", lambda: tmp_path / "lock")
    held = process.take_keeper_lock()
    assert held is not None
    assert process.keeper_runs()
    assert process.take_keeper_lock() is None
    os.utime(tmp_path / "lock", (0, 0))
    process.touch_keeper_lock(held)
    assert (tmp_path / "lock").stat().st_mtime > 0
    process.leave_keeper_lock(held)
    assert not process.keeper_runs()
    assert not (tmp_path / "lock").exists()
