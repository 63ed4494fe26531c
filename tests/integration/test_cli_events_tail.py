"""`vibe events tail` and `vibe status --watch`: events as they happen, with a server or without."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from tests.homes import own_home
from tests.processes import unmeasured, until
from tests.streams import write
from tests.web import Web, a_server, running_web, served
from vibe_tasks.cli import events_tail, status
from vibe_tasks.cli.events_tail import line
from vibe_tasks.cli.main import cli
from vibe_tasks.tasks import resources
from vibe_tasks.web.place import Place
from vibe_tasks.web.server import listen

ROOT = Path(__file__).parents[2]

WRITER = """
import sys
from tests.streams import write
from vibe_tasks.tasks import resources
sys.stdin.readline()
for _ in range(3):
    print(*write(resources.ledger(), 1, session="beside", kind="JOB_DEAD"))
"""


def vibe(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), prog_name="vibe")


def told(result: Result) -> list[dict[str, Any]]:
    """The events of lines of JSON."""
    return [json.loads(each) for each in result.stdout.splitlines()]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A server that is found through its home, and another address for the settings."""
    with running_web(tmp_path / "home", api_tokens="operate:me:se:cret,read:you:other") as running:
        place = Place(running.home)
        assert place.take(running.url)
        yield running
        place.leave()


def test_a_server_is_found_and_asked(web: Web) -> None:
    """That of this home, with the settings' token; by session, level and number."""
    regular = write(web.ledger, 3, session="one", kind="PreToolUse")
    grave = write(web.ledger, 2, session="two", kind="JOB_DEAD", payload={"why": "no\x1b[2Jmore"})
    shown = vibe("events", "tail", "--json", "--no-follow")
    assert (shown.exit_code, shown.stderr) == (0, f"events of {web.url}\n")
    assert [each["id"] for each in told(shown)] == regular + grave
    last = vibe("events", "tail", "--json", "--no-follow", "--limit", "1", "--session", "one")
    assert [each["id"] for each in told(last)] == regular[-1:]
    lines = vibe("events", "tail", "--min-priority", "2", "--limit", "2").stdout.splitlines()
    assert [each.split("  ")[1:] for each in lines] == [
        ["critical", "two", "a", "JOB_DEAD", "no [2Jmore"]
    ] * 2


def test_a_wrong_token_is_one_line(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """And exit code 2, as for a wrong address and a server that is not there."""
    with listen("127.0.0.1", 0) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    for options in (["--url", nobody, "--no-follow"], ["--url", "nonsense"]):
        refused = vibe("events", "tail", *options)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert refused.stderr.splitlines()[-1].startswith("vibe: ")
    monkeypatch.setattr("vibe_tasks.cli.listening._token", lambda: "wrong")
    refused = vibe("events", "tail", "--url", web.url)
    assert (refused.exit_code, refused.stdout) == (2, "")
    said = (
        f"vibe: {web.url} does not accept this token (HTTP 401); "
        "set VIBE_API_TOKEN to one of the server's"
    )
    assert refused.stderr.splitlines()[1:] == [said]


def test_a_restart_of_the_server_is_one_line(tmp_path: Path) -> None:
    """On standard error; what happened meanwhile is printed once it is back."""
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    with running_web(tmp_path / "home", web_url=f"http://127.0.0.1:{port}") as web:
        wanted: list[int] = []

        def outside() -> None:
            services, server = a_server(web.ledger)
            with served(server, port):
                until(lambda: bool(services.hub._groups))
                wanted.extend(write(web.ledger, 2))
            wanted.extend(write(web.ledger, 3))
            with served(a_server(web.ledger)[1], port):
                ended.wait(60)

        ended = threading.Event()
        thread = threading.Thread(target=outside)
        thread.start()
        try:
            shown = vibe("events", "tail", "--json", "--limit", "5")
        finally:
            ended.set()
            thread.join(60)
    assert (shown.exit_code, [each["id"] for each in told(shown)]) == (0, wanted)
    words = [each.split()[0] for each in shown.stderr.splitlines()]
    assert [each for each in words if each != "cannot"][-2:] == ["lost", "connected"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own where no server runs, and looks that come quickly."""
    monkeypatch.setattr(events_tail, "LOOK", 0.01)
    with own_home(tmp_path, monkeypatch) as folder:
        yield folder


def test_the_ledger_is_followed_where_no_server_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From when there is one; what another process writes is printed, in order and once."""
    pause, looks = resources.pause, 0
    kept = {**unmeasured(os.environ), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", WRITER], env=kept, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as writer:  # fmt: skip
        assert writer.stdin is not None

        def look(seconds: float) -> None:
            nonlocal looks
            looks += 1
            if looks == 1:  # it waits for a ledger
                write(resources.ledger(), 1, kind="PreToolUse")
            elif looks == 2:  # it has printed all there is
                writer.stdin.write("go\n")
                writer.stdin.flush()
            pause(seconds)

        monkeypatch.setattr(resources, "pause", look)
        shown = vibe("events", "tail", "--json", "--limit", "4")
        written = writer.communicate(timeout=60)[0].split()
    assert [each["id"] for each in told(shown)] == [1, *map(int, written)]
    assert [each["priority"] for each in told(shown)] == [0, 2, 2, 2]
    assert shown.stderr.splitlines() == [
        f"events of the ledger in {home}, no web server runs here",
        "there is no ledger yet; waiting for it",
    ]
    some = vibe("events", "tail", "--no-follow", "--session", "beside", "--limit", "2")
    assert [each.split("  ")[2] for each in some.stdout.splitlines()] == ["beside"] * 2


@pytest.mark.usefixtures("home")
def test_a_ledger_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line when it goes and one when it is back, and nothing is lost."""
    pause, looks = resources.pause, 0

    def look(seconds: float) -> None:
        nonlocal looks
        looks += 1
        names = {1: ("events", "away"), 3: ("away", "events")}.get(looks)
        if names:
            with resources.ledger().begin() as connection:
                connection.execute(text(f"ALTER TABLE {names[0]} RENAME TO {names[1]}"))
        if looks == 3:
            write(resources.ledger(), 1, session="other")
            write(resources.ledger(), 1)
        pause(seconds)

    write(resources.ledger(), 1)
    monkeypatch.setattr(resources, "pause", look)
    shown = vibe("events", "tail", "--json", "--limit", "2", "--session", "one")
    assert [each["id"] for each in told(shown)] == [1, 3]
    assert [each.split()[:4] for each in shown.stderr.splitlines()[1:]] == [
        ["the", "ledger", "does", "not"], ["the", "ledger", "answers", "again"],
    ]  # fmt: skip


def test_a_view_is_drawn_again_when_events_come(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """`vibe status --watch` does not wait for its second to be over; Ctrl-C ends it."""
    monkeypatch.setattr(status, "LOOK", 3600.0)

    def outside() -> None:
        until(lambda: bool(web.services.hub._groups))
        os.kill(os.getpid(), signal.SIGINT)
        until(lambda: bool(write(web.ledger, 1)) and not web.services.hub._groups)

    thread = threading.Thread(target=outside)
    thread.start()
    watched = vibe("status", "--watch")
    thread.join(60)
    assert (watched.exit_code, watched.stderr.strip()) == (130, "vibe: interrupted")
    assert "dead letters: 0" in watched.stdout


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"summary": "done\nall"}, "regular   -  -  -  done all"), ({"payload": [1]}, "-  -  -"),
     ({"payload": {"tool_name": "Bash", "message": 5}}, "-  -  -  Bash"),
     ({"timestamp": 10**17}, "--:--:--  regular")],
)  # fmt: skip
def test_an_event_is_a_line(fields: dict[str, Any], words: str) -> None:
    """Whatever it has or lacks."""
    assert words in click.unstyle(line({"priority": 0, "timestamp": 0, **fields}))
