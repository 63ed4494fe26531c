from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vibe_tasks.errors import InputError
from vibe_tasks.stack.broker import broker_program, valkey_server
from vibe_tasks.stack.children import Program
from vibe_tasks.stack.embedded import child_commands, worker_name
from vibe_tasks.stack.flower import flower_port
from vibe_tasks.stack.supervisor import RESTART, how_it_ended


def test_the_worker_serves_the_given_lanes_with_the_given_processes() -> None:
    """The worker runs on our interpreter, with these lanes and this many processes."""
    command = child_commands(Path("/home"), workers=3, lanes=["code", "qa"])["worker"]

    assert command == (
        *(sys.executable, "-m", "vibe_tasks.tasks.worker"),
        *(worker_name(Path("/home")).partition("@")[0], "3", "code,qa"),
    )


def test_the_worker_may_grow() -> None:
    """Then it is told most and fewest processes, in the form of `--autoscale`."""
    command = child_commands(Path("/home"), workers=1, lanes=["code"], grow_to=6)["worker"]

    assert command[4] == "6,1"
    assert child_commands(Path("/home"), workers=2, lanes=["code"], grow_to=2)["worker"][4] == "2"


def test_every_home_has_a_worker_of_its_own() -> None:
    """Homes may share a ledger: one that clears up must not take the other's jobs away."""
    assert worker_name(Path("/home/a")) != worker_name(Path("/home/b"))
    assert worker_name(Path("/home/a/../b")) == worker_name(Path("/home/b"))


def test_the_worker_sends_events_where_flower_listens() -> None:
    """Flower shows a worker only while its heartbeats come."""
    commands = child_commands(Path("/home"), workers=1, lanes=["code"], flower=5555)

    assert "--watched" in commands["worker"]


def test_beat_and_flower_run_only_when_asked_for() -> None:
    """Only a worker and the dispatcher run by default; Flower listens on this machine alone."""
    few = child_commands(Path("/home"), workers=1, lanes=["code"])
    all_of_them = child_commands(Path("/home"), workers=1, lanes=["code"], beat=True, flower=80)

    assert list(few) == ["worker", "dispatcher"]
    assert list(all_of_them) == ["worker", "dispatcher", "beat", "flower"]
    assert "/home/beat-schedule" in all_of_them["beat"]
    assert all_of_them["flower"][-2:] == ("--address=127.0.0.1", "--port=80")


def test_flowers_own_variable_names_its_port() -> None:
    """Its usual one without; what is no port is refused before anything starts."""
    assert flower_port({}) == flower_port({"FLOWER_PORT": ""}) == 5555
    assert flower_port({"FLOWER_PORT": "6000"}) == 6000
    for wrong in ("0", "65536", "http", "-1"):
        with pytest.raises(InputError, match="FLOWER_PORT must be a port"):
            flower_port({"FLOWER_PORT": wrong})


@pytest.mark.parametrize(("workers", "lanes"), [(0, ["code"]), (-1, ["code"]), (1, [])])
def test_a_stack_that_could_do_no_work_is_refused(workers: int, lanes: list[str]) -> None:
    """No process or no lane is bad input, not a worker that fails to start."""
    with pytest.raises(InputError, match="the stack needs"):
        child_commands(Path("/home"), workers=workers, lanes=lanes)


def test_the_broker_has_no_port_and_no_disk_and_drops_nothing() -> None:
    """The socket is the only way in; nothing is saved; a full broker refuses, never evicts."""
    argv = broker_program(Path("/home/broker.sock"), environ={}).argv
    options = dict(zip(argv[1::2], argv[2::2], strict=True))

    assert argv[0] == str(valkey_server())
    assert options["--port"] == "0"
    assert options["--unixsocket"] == "/home/broker.sock"
    assert options["--unixsocketperm"] == "700"
    assert options["--save"] == ""
    assert options["--appendonly"] == "no"
    assert options["--maxmemory-policy"] == "noeviction"


@pytest.mark.parametrize(("name", "argv"), [("", ("true",)), ("a/b", ("true",)), ("a", ())])
def test_a_program_that_cannot_run_is_refused_at_construction(
    name: str, argv: tuple[str, ...]
) -> None:
    """A name that is no file name and an empty command line are programming errors."""
    with pytest.raises(ValueError, match=r"must be a file name|is empty"):
        Program(name=name, argv=argv, environ={})


def test_restarts_come_later_each_time_and_end_soon() -> None:
    """The waits grow and add up to less than 2 s, so that a wrong setting shows quickly."""
    waits = [RESTART.wait_after(n, uniform=lambda low, _: low) for n in range(1, 4)]

    assert waits == sorted(set(waits))
    assert sum(waits) < 2
    assert not RESTART.gives_up_after(3)
    assert RESTART.gives_up_after(4)


def test_exit_codes_are_told_in_words() -> None:
    """A signal is named; a code is a code."""
    assert how_it_ended(3) == "exit code 3"
    assert how_it_ended(-9) == "killed by SIGKILL"
    assert how_it_ended(-40) == "killed by signal 40"  # real-time signals have no name
