"""A real HTTP server that speaks the chat-completions protocol and answers by a script.

It streams where it is asked to. What no test wants of a server, it does on command: refuse, keep
silent, break off in the middle, send nonsense, never end.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
"""What each answer says that it used."""


@dataclass(frozen=True)
class Say:
    """The model says a text."""

    text: str


@dataclass(frozen=True)
class Call:
    """The model calls a tool; a text instead of arguments is sent as it is."""

    tool: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)


@dataclass(frozen=True)
class Refuse:
    """The server answers with an error."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=lambda: {"message": "refused by the script"})


@dataclass(frozen=True)
class Silent:
    """The server takes the request and says nothing, until it is closed."""


@dataclass(frozen=True)
class BreakOff:
    """The answer ends in the middle: the connection breaks, or, politely, the stream just ends."""

    text: str = "I will begin"
    politely: bool = False


@dataclass(frozen=True)
class Nonsense:
    """Something that is no answer, with status 200."""

    body: bytes
    kind: str = "application/json"


@dataclass(frozen=True)
class Flood:
    """An answer that does not end by itself."""


Reply: TypeAlias = Say | Call | tuple[Call, ...] | Refuse | Silent | BreakOff | Nonsense | Flood

Script: TypeAlias = Reply | Callable[[dict[str, Any]], Reply]
"""A reply, or what makes one of a request."""


@dataclass
class ChatServer:
    """A running server.

    Attributes:
        url: Its address, as `base_url` takes it.
        requests: The body of each request so far.
        headers: The headers of each request so far, names in lower case.
    """

    url: str
    replies: list[Script]
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, body: dict[str, Any], headers: dict[str, str]) -> Reply:
        """The reply to a request: the next of the script, and at its end the last again."""
        with self.lock:
            self.requests.append(body)
            self.headers.append(headers)
            reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        return reply(body) if callable(reply) else reply

    def told(self, number: int = -1) -> list[str]:
        """What the tools answered, as a request told it."""
        messages = self.requests[number]["messages"]
        return [each["content"] for each in messages if each["role"] == "tool"]


@contextmanager
def chat_server(*replies: Script) -> Iterator[ChatServer]:
    """A server on a free port of this machine that gives these replies, one for each request."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    http.daemon_threads = True
    server = ChatServer(f"http://127.0.0.1:{http.server_port}/v1", list(replies))
    http.script = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        http.shutdown()
        thread.join()
        http.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Any

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def do_POST(self) -> None:
        """Answer one request."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        script: ChatServer = self.server.script
        reply = script.take(body, {name.lower(): self.headers[name] for name in self.headers})
        with suppress(ConnectionError):  # the other side has had enough
            self._give(script, reply, stream=bool(body.get("stream")))

    def _give(self, script: ChatServer, reply: Reply, *, stream: bool) -> None:
        match reply:
            case Silent():
                self.close_connection = True
                script.closing.wait()
            case Refuse(status, headers, error):
                self._whole(status, json.dumps({"error": dict(error)}).encode(), headers)
            case Nonsense(body, kind):
                self._whole(200, body, {"Content-Type": kind})
            case BreakOff(text, politely):
                self._begin()
                self._send(_chunk({"role": "assistant", "content": text}))
                self.close_connection = True
                if politely:
                    self._end()
            case Flood():
                self._begin()
                while not script.closing.is_set():
                    script.sent += self._send(_chunk({"content": "la " * 20_000}))
            case _ if stream:
                self._stream(reply)
            case _:
                self._whole(200, json.dumps(_completion(reply)).encode(), {})

    def _whole(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, reply: Say | Call | tuple[Call, ...]) -> None:
        self._begin()
        if isinstance(reply, Say):
            for word in reply.text.split(" "):
                self._send(_chunk({"role": "assistant", "content": f"{word} "}))
        else:
            for number, call in enumerate(_calls(reply)):
                self._send(_chunk({"role": "assistant", "tool_calls": [{"index": number, **call}]}))
        self._send(_chunk({}, finish=_finish(reply)))
        self._send({**_chunk({}), "choices": [], "usage": USAGE})
        self._send("[DONE]")
        self._end()

    def _begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _send(self, data: Mapping[str, Any] | str) -> int:
        line = data if isinstance(data, str) else json.dumps(data)
        event = f"data: {line}\n\n".encode()
        self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
        return len(event)

    def _end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")


def _chunk(delta: Mapping[str, Any], *, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": dict(delta), "finish_reason": finish}
    return {
        "id": "chat-1", "object": "chat.completion.chunk", "created": 1, "model": "scripted",
        "choices": [choice],
    }  # fmt: skip


def _completion(reply: Say | Call | tuple[Call, ...]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None}
    if isinstance(reply, Say):
        message["content"] = reply.text
    else:
        message["tool_calls"] = _calls(reply)
    return {
        "id": "chat-1", "object": "chat.completion", "created": 1, "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": _finish(reply)}],
        "usage": USAGE,
    }  # fmt: skip


def _finish(reply: Say | Call | tuple[Call, ...]) -> str:
    return "stop" if isinstance(reply, Say) else "tool_calls"


def _calls(reply: Call | tuple[Call, ...]) -> list[dict[str, Any]]:
    calls = (reply,) if isinstance(reply, Call) else reply
    return [
        {
            "id": f"call-{number}-{call.tool}",
            "type": "function",
            "function": {
                "name": call.tool,
                "arguments": call.arguments
                if isinstance(call.arguments, str)
                else json.dumps(call.arguments),
            },
        }
        for number, call in enumerate(calls)
    ]
