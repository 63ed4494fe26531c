"""Clients of the event stream over real sockets, and hooks that post events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from time import monotonic
from typing import Any

from websockets.sync.client import ClientConnection, connect

from vibe_tasks.protocol import NewEvent
from vibe_tasks.store.engine import Database
from vibe_tasks.store.event_rules import EventRules
from vibe_tasks.store.events import ingest

PATIENCE = 60.0
"""Seconds after which something that should have come does not come any more."""

IDLE = 2.0
"""Seconds after which a hook does not use its connection again: servers close idle ones."""

KINDS = (
    "ConfigChange", "CwdChanged", "DirectoryAdded", "Elicitation", "ElicitationResult",
    "FileChanged", "InstructionsLoaded", "MessageDisplay", "Notification", "PermissionDenied",
    "PermissionRequest", "PostCompact", "PostModelSwitch", "PostToolBatch", "PostToolUse",
    "PostToolUseFailure", "PreCompact", "PreModelSwitch", "PreToolUse", "SessionEnd",
    "SessionStart", "Setup", "Stop", "StopFailure", "SubagentStart", "SubagentStop",
    "TaskCompleted", "TaskCreated", "TeammateIdle", "UserPromptExpansion", "UserPromptSubmit",
    "WorktreeCreate", "WorktreeRemove",
)  # fmt: skip
"""Names of hook events that coding agents document."""

HIGH = {"Notification", "Stop", "SubagentStop", "UserPromptSubmit"}


def write(
    ledger: Database, number: int, *, session: str = "one", kind: str = "Stop", payload: Any = None
) -> list[int]:
    """So many events, written by somebody else in one transaction; their ids."""
    new = [
        NewEvent(
            source_app="a", session_id=session, hook_event_type=kind,
            payload=payload or {"n": place},
        )
        for place in range(number)
    ]  # fmt: skip
    with ledger.begin() as connection:
        return [row["id"] for row in ingest(connection, new, EventRules())]


class Watcher:
    """One client of the stream.

    Args:
        connection: Its WebSocket.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def next(self) -> dict[str, Any]:
        """The next message."""
        found: dict[str, Any] = json.loads(self.connection.recv(PATIENCE))
        return found

    def events(self, number: int) -> list[dict[str, Any]]:
        """So many events, as they come live."""
        return [self.event() for _ in range(number)]

    def event(self) -> dict[str, Any]:
        """The next event."""
        message = self.next()
        assert message["type"] in {"event", "priority_event"}, message
        data: dict[str, Any] = message["data"]
        return data

    def until(self, wanted: Callable[[Mapping[str, Any]], bool]) -> list[dict[str, Any]]:
        """Messages up to the first that is wanted."""
        found = [self.next()]
        while not wanted(found[-1]):
            found.append(self.next())
        return found


@contextmanager
def watching(url: str, query: str = "", **options: Any) -> Iterator[Watcher]:
    """A client of the stream of the server at this address, `http://…`."""
    address = f"ws{url.removeprefix('http')}/stream{query and '?' + query}"
    given = {"max_size": None, "open_timeout": PATIENCE, "close_timeout": 5, **options}
    with connect(address, **given) as connection:
        yield Watcher(connection)


class Hook:
    """Posts events over one connection, one after the other, as an agent's session does.

    Args:
        url: The server's address.
    """

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._connection = HTTPConnection(host, int(port), timeout=PATIENCE)
        self._used = monotonic()

    def post(self, event: Mapping[str, Any] | bytes) -> tuple[int, Any]:
        """Status and JSON of the answer."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        if monotonic() - self._used > IDLE:
            self._connection.close()  # it is opened again
        self._connection.request("POST", "/events", body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        found = answer.status, json.loads(answer.read())
        self._used = monotonic()
        return found

    def stored(self, **fields: Any) -> dict[str, Any]:
        """The event as it is stored, of these fields over small ones."""
        status, stored = self.post(event_of(**fields))
        assert status == 200, stored
        found: dict[str, Any] = stored
        return found

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


@contextmanager
def hook(url: str) -> Iterator[Hook]:
    """A hook that posts to this server."""
    made = Hook(url)
    try:
        yield made
    finally:
        made.close()


def event_of(**fields: Any) -> dict[str, Any]:
    """What a hook posts: the required fields, and these."""
    return {
        "source_app": "demo", "session_id": "one", "hook_event_type": "PreToolUse",
        "payload": {"tool_name": "Bash"}, **fields,
    }  # fmt: skip
