"""`vibe web` in this process, whose children are real: several on one port, and how they end."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import httpx2 as httpx
import psutil
import pytest
from click.testing import CliRunner, Result
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests import web_targets
from tests.homes import own_home
from tests.processes import command_line, runs, until
from vibe_tasks.cli.main import cli
from vibe_tasks.errors import UnavailableError
from vibe_tasks.retry import RetryPolicy
from vibe_tasks.web.__main__ import main
from vibe_tasks.web.place import FILE, find_server
from vibe_tasks.web.processes import Processes, end_with_parent
from vibe_tasks.web.server import listen

EVENT = {"source_app": "a", "session_id": "s", "hook_event_type": "Stop", "payload": {}}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own; a signal that comes when nobody waits for it any more does no harm."""
    monkeypatch.setenv("VIBE_WEB_PORT", "0")
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with own_home(tmp_path, monkeypatch) as folder:
        yield folder
    signal.signal(signal.SIGTERM, before)
    # Those that the command has added write to what it had as its standard error.
    root.handlers[:] = handlers
    root.setLevel(level)


def answers(url: str) -> bool:
    """Whether somebody answers there."""
    try:
        return httpx.get(f"{url}/readyz", timeout=60).status_code == 200
    except httpx.TransportError:
        return False


def spawned() -> list[psutil.Process]:
    """The server processes that this one has started."""
    found = filter(runs, psutil.Process().children())
    return [each for each in found if "spawn_main" in " ".join(command_line(each))]


def while_it_runs(command: Callable[[], Result], home: Path, look: Callable[[str], None]) -> Result:
    """Run the command in this thread, look at its server in another, and end it by SIGTERM."""

    def outside() -> None:
        try:
            until(lambda: find_server(home) is not None, seconds=120)
            url = str(find_server(home))
            until(lambda: answers(url), seconds=120)
            look(url)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        looked = pool.submit(outside)
        result = command()
        looked.result(120)
    return result


def test_several_processes_serve_one_port(home: Path) -> None:
    """One that is killed is replaced; what one takes in all others tell; SIGTERM ends them all,
    listeners are told, and nothing is left behind.
    """
    listeners = []
    with ExitStack() as stack:

        def look(url: str) -> None:
            servers = spawned()
            assert len(servers) == 2
            servers[0].kill()
            assert answers(url)
            until(lambda: len({*spawned()} - {servers[0]}) == 2, seconds=120)
            stream = f"{url.replace('http', 'ws')}/stream"
            for _ in range(6):
                listeners.append(stack.enter_context(connect(stream, open_timeout=120)))
                assert json.loads(listeners[-1].recv(timeout=120))["type"] == "initial"
            stored = httpx.post(f"{url}/events", json=EVENT, timeout=60).json()
            for each in listeners:
                assert json.loads(each.recv(timeout=120))["data"]["id"] == stored["id"]

        result = while_it_runs(
            lambda: CliRunner().invoke(cli, ["web", "--processes", "2"]), home, look
        )
        assert (result.exit_code, "dashboard  http://127.0.0.1:" in result.output) == (0, True)
        for each in listeners:
            with pytest.raises(ConnectionClosed):
                each.recv(timeout=60)
    assert not (home / FILE).exists()
    assert spawned() == []


def test_one_process_serves_by_itself(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the host and port that it is given, whatever the settings say."""
    monkeypatch.setenv("VIBE_WEB_HOST", "10.255.255.1")
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]

    def look(url: str) -> None:
        assert url == f"http://127.0.0.1:{port}"
        assert spawned() == []

    options = ["web", "--host", "127.0.0.1", "--port", str(port)]
    result = while_it_runs(lambda: CliRunner().invoke(cli, options), home, look)
    told = f"events     http://127.0.0.1:{port}/events"
    assert (result.exit_code, told in result.output) == (0, True)
    assert not (home / FILE).exists()


def test_a_container_runs_it_by_its_settings(home: Path) -> None:
    """`python -m vibe_tasks.web` ends at SIGTERM with exit code 0."""
    codes: list[int] = []

    def command() -> Result:
        codes.append(main())
        return CliRunner().invoke(cli, ["--version"])

    while_it_runs(command, home, lambda _url: None)
    assert codes == [0]


@pytest.mark.parametrize(
    ("setting", "words"),
    [("WEB_HOST=0.0.0.0", "VIBE_API_TOKEN"), ("API_TOKENS=read:hidden", "ROLE:NAME:SECRET"),
     ("WEB_ORIGINS=*", "VIBE_WEB_ORIGINS"), ("WEB_HOST=a.invalid", "a.invalid")],
)  # fmt: skip
def test_it_refuses_to_start_in_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    setting: str, words: str,
) -> None:  # fmt: skip
    """Beyond this machine without a token above all; exit code 2, for a person and a container."""
    name, _, value = setting.partition("=")
    monkeypatch.setenv(f"VIBE_{name}", value)
    if value == "a.invalid":
        monkeypatch.setenv("VIBE_API_TOKEN", "hidden")
    refused = CliRunner().invoke(cli, ["web"])
    assert refused.exit_code == 2
    assert main() == 2
    for said in (refused.output, capsys.readouterr().err):
        assert (len(said.splitlines()), words in said, "hidden" in said) == (1, True, False), said
    assert not (home / FILE).exists()


def test_processes_that_keep_dying_are_given_up() -> None:
    """Each death in a row is waited after for longer; the last one ends the whole."""
    clock, restart = [0.0], RetryPolicy(max_retries=3, base=5.0, jitter=0.0)
    with listen("127.0.0.1", 0) as listening:
        several = Processes(
            web_targets.dies, listening, count=1, clock=lambda: clock[0], restart=restart
        )
        several.start()
        try:
            with pytest.raises(UnavailableError, match=r"keeps ending \(3 times .* code 3\)"):
                _poll_for_ever(several, clock)
        finally:
            several.stop(grace=0.0)
    assert clock[0] == pytest.approx(10.0 + 20.0, abs=0.5)


def _poll_for_ever(several: Processes, clock: list[float]) -> None:
    pause = Event()
    while True:
        several.poll()
        if several.pids:  # it takes no time at all, by our clock
            pause.wait(0.02)
        else:
            clock[0] += 0.1


def test_one_that_does_not_end_is_killed() -> None:
    """After its grace."""
    with listen("127.0.0.1", 0) as listening:
        several = Processes(web_targets.stays, listening, count=1, clock=lambda: 0.0)
        several.start()
        (pid,) = several.pids
        process = psutil.Process(pid)
        listening.settimeout(60)
        listening.accept()[0].close()
        several.stop(grace=0.0)
        assert several.pids == ()
    assert not process.is_running()


def test_who_has_no_parent_waits_for_none() -> None:
    """A server that was not started by another one."""
    end_with_parent(lambda: pytest.fail("nobody has ended"))
