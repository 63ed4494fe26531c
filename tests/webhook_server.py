"""A real HTTP server that answers as a test says, in a thread, on a free port of this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request.

    Attributes:
        headers: By their lower-case names.
        body: As it came.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        """The body's JSON."""
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer.

    Attributes:
        status: The HTTP status.
        headers: Beyond the length.
        raw: Sent instead of all that, byte by byte with the test's pace.
        hold: Whether nothing is sent until the server ends.
        pace: Seconds between two bytes of `raw`.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes | None = None
    hold: bool = False
    pace: float = 0.0


Answers = Callable[[Received, int], Reply]
"""Gets the request and how many came before it."""


class WebhookServer:
    """What it got, and where it is.

    Attributes:
        received: All requests, in order.
        url: Of the webhook.
    """

    def __init__(self, answers: Answers) -> None:
        self.received: list[Received] = []
        self.over = threading.Event()
        self._answers = answers
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook/secret-path"

    def of(self, kind: str) -> list[Received]:
        """The requests about events of this type."""
        return [each for each in list(self.received) if each.headers.get("x-vibe-event") == kind]

    def _reply(self, got: Received) -> Reply:
        with self._lock:
            self.received.append(got)
            return self._answers(got, len(self.received) - 1)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        place = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                place._send(
                    self, place._reply(Received(path=self.path, headers=headers, body=body))
                )

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        return Handler

    def _send(self, request: BaseHTTPRequestHandler, reply: Reply) -> None:
        request.close_connection = True
        if reply.hold:
            self.over.wait(60)
        elif reply.raw is not None:
            for at in range(len(reply.raw)):
                if self.over.wait(reply.pace):
                    return
                try:
                    request.wfile.write(reply.raw[at : at + 1])
                except OSError:
                    return  # the other side has had enough
        else:
            request.send_response(reply.status)
            for name, value in reply.headers.items():
                request.send_header(name, value)
            request.send_header("Content-Length", str(len(reply.body)))
            request.end_headers()
            request.wfile.write(reply.body)


@contextmanager
def webhook_server(answers: Answers) -> Iterator[WebhookServer]:
    """The server, until the end of the block."""
    server = WebhookServer(answers)
    thread = threading.Thread(target=server._server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server._server.shutdown()
        server._server.server_close()
        thread.join(60)
