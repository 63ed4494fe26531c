"""How many clients of the event stream one server keeps up with: `python benchmarks/stream.py`.

Server, clients and hooks are processes of their own; the clients read raw frames, so that what is
measured is the server and not a client library.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from psutil import Process
from report import milliseconds, show
from servers import DATABASES, environment, folder, ledger_url

METHOD = (
    "{clients} WebSocket clients of one server process, while {hooks} hooks post {rate} events a "
    "second for {seconds} s, each event a request of its own. Delivery is from before the request "
    "to the frame's arrival at a client, read at {sampled} of the clients; the answer is what a "
    "hook waits for. Processor time is in cores; a client reads and counts frames, no more."
)
HEAD = (
    "ledger", "protocol", "posted/s", "delivered/s", "missing", "delivery p50 / p95 / p99, ms",
    "answer p50 / p95 / p99, ms", "server, cores", "clients, cores", "server, MB",
)  # fmt: skip
HOOKS = 4
SAMPLED = 5
PING = 0x89
PATIENCE = 120.0
"""Seconds beyond those of the measurement for anything to happen; then it ends with an error."""
_spawn = get_context("spawn")


@dataclass(slots=True)
class Heard:
    """What all clients heard.

    Attributes:
        frames: Events that each got.
        delays: Seconds from before the request to the arrival, of the sampled ones.
        seconds: Processor time.
    """

    frames: list[int]
    delays: list[float]
    seconds: float


@dataclass(slots=True)
class Listener:
    """One client: a socket, and what has not made a frame yet."""

    raw: socket.socket
    sampled: bool
    frames: int = 0
    delays: list[float] = field(default_factory=list)
    rest: bytearray = field(default_factory=bytearray)

    def read(self) -> bool:
        """Count the frames that have come; whether there may be more."""
        came = self.raw.recv(1 << 20)
        self.rest += came
        rest, place = self.rest, 0
        while len(rest) - place >= 2:
            size, start = rest[place + 1], place + 2
            if size >= 126:
                wide = 2 if size == 126 else 8
                if len(rest) - start < wide:
                    break
                size = int.from_bytes(rest[start : start + wide], "big")
                start += wide
            if len(rest) - start < size:
                break
            if rest[place] == PING:
                self.raw.sendall(b"\x8a%c\0\0\0\0" % (0x80 | size) + rest[start : start + size])
            else:
                self.frames += 1
                if self.sampled:
                    self._note(rest[start : start + size])
            place = start + size
        del rest[:place]
        return bool(came)

    def _note(self, text: bytearray) -> None:
        message = json.loads(text)
        if message["type"] in {"event", "priority_event"}:
            self.delays.append(time.time() - message["data"]["payload"]["sent"])


def address(url: str) -> tuple[str, int]:
    """Host and port of `http://HOST:PORT`."""
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


def connected(url: str, protocol: int, number: int) -> list[Listener]:
    """So many clients, past their first messages' handshake."""
    host, port = address(url)
    made = []
    for each in range(number):
        raw = socket.create_connection((host, port), timeout=60)
        raw.sendall(
            f"GET /stream?protocol={protocol} HTTP/1.1\r\nHost: {host}:{port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += raw.recv(1)  # what follows is a frame
        if not answer.startswith(b"HTTP/1.1 101 "):
            raise SystemExit(f"no WebSocket: {answer!r}")
        made.append(Listener(raw, sampled=each < SAMPLED))
    return made


def listen(
    url: str, protocol: int, number: int, pipe: Connection, ended: Event, *, seconds: float
) -> None:
    """The clients' process: reads until it is told that all was sent and nothing more comes, or
    for so many seconds.
    """
    clients = connected(url, protocol, number)
    first = 1 if protocol == 1 else 2  # `initial`, or `hello` and `initial`
    last, began = time.monotonic() + seconds, time.process_time()
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.raw, selectors.EVENT_READ, client)
        ready = False
        while True:
            found = selector.select(timeout=2.0)
            for key, _ in found:
                if not key.data.read():
                    selector.unregister(key.fileobj)  # what it misses will be seen
            if not ready and all(client.frames >= first for client in clients):
                ready = True
                began = time.process_time()
                pipe.send("ready")
            if (not found and ended.is_set()) or time.monotonic() > last:
                break
    pipe.send(
        Heard(
            frames=[client.frames - first for client in clients],
            delays=[delay for client in clients for delay in client.delays],
            seconds=time.process_time() - began,
        )
    )


def post(url: str, number: int, pause: float, answers: list[float]) -> None:
    """A hook: so many events, one each `pause` seconds."""
    connection = HTTPConnection(*address(url), timeout=60)
    due = time.perf_counter()
    for each in range(number):
        time.sleep(max(0.0, due - time.perf_counter()))
        due += pause
        kind = "PreToolUse" if each % 10 else "Notification"
        event = {"source_app": "bench", "session_id": f"s{each % 7}", "hook_event_type": kind,
                 "payload": {"sent": time.time(), "tool_name": "Bash",
                             "tool_input": {"command": "x" * 200}}}  # fmt: skip
        began = time.perf_counter()
        connection.request("POST", "/events", json.dumps(event))
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"the server answers {answer.status}: {answer.read()!r}")
        answer.read()
        answers.append(time.perf_counter() - began)
    connection.close()


@contextmanager
def web(home: Path, url: str) -> Iterator[tuple[str, Process]]:
    """A running server: its address and its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = environment(home, url, VIBE_WEB_PORT=str(port), VIBE_LOG_LEVEL="WARNING")
    server = subprocess.Popen([sys.executable, "-m", "vibe_tasks.web"], env=environ)
    try:
        for _ in range(600):
            time.sleep(0.1)
            with socket.socket() as raw:
                if raw.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield f"http://127.0.0.1:{port}", Process(server.pid)
    finally:
        server.terminate()
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def heard_of(clients: Connection, seconds: float) -> Any:
    """What the clients' process tells next."""
    try:
        if clients.poll(seconds):
            return clients.recv()
    except EOFError:
        pass
    raise SystemExit("the clients have ended, or hear nothing")


def measured(database: str, protocol: int, *, clients: int, rate: int, seconds: float) -> list[str]:
    """A row of the table."""
    number = int(rate * seconds) // HOOKS
    with folder() as place, ledger_url(database, place) as ledger, web(place, ledger) as running:
        url, server = running
        ours, theirs = _spawn.Pipe()
        ended, most = _spawn.Event(), seconds * 4 + PATIENCE
        listening = _spawn.Process(
            target=listen, args=(url, protocol, clients, theirs, ended),
            kwargs={"seconds": most}, daemon=True,
        )  # fmt: skip
        listening.start()
        theirs.close()  # so that its end is noticed
        heard_of(ours, PATIENCE)
        answers: list[float] = []
        hooks = [
            threading.Thread(target=post, args=(url, number, HOOKS / rate, answers))
            for _ in range(HOOKS)
        ]
        before, began = server.cpu_times(), time.perf_counter()
        for hook in hooks:
            hook.start()
        for hook in hooks:
            hook.join()
        took = time.perf_counter() - began
        after = server.cpu_times()
        ended.set()
        heard: Heard = heard_of(ours, most)
        listening.join(PATIENCE)
        memory = server.memory_info().rss / 1e6
    posted = number * HOOKS
    used = after.user + after.system - before.user - before.system
    return [
        database, str(protocol), f"{posted / took:.0f}", f"{sum(heard.frames) / took:.0f}",
        str(posted * clients - sum(heard.frames)), milliseconds(heard.delays),
        milliseconds(answers), f"{used / took:.2f}", f"{heard.seconds / took:.2f}",
        f"{memory:.0f}",
    ]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--database", choices=DATABASES)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--rate", type=int, default=500, help="events a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    asked = parser.parse_args(arguments)
    if asked.quick:
        asked.clients, asked.rate, asked.seconds = 10, 50, 1.0
        asked.database = asked.database or "sqlite"
    load = {"clients": asked.clients, "rate": asked.rate, "seconds": asked.seconds}
    rows = [
        measured(database, protocol, **load)
        for database in ([asked.database] if asked.database else DATABASES)
        for protocol in (1, 2)
    ]
    show("The event stream", METHOD.format(**load, hooks=HOOKS, sampled=SAMPLED), HEAD, rows)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).parents[1]))
    main()
