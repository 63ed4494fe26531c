"""Which web server commands hear of events from, and with which token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vibe_tasks.tasks import resources
from vibe_tasks.web.place import find_server

if TYPE_CHECKING:
    from vibe_tasks.web.stream_client import EventStream


def server_address() -> str | None:
    """The server that the settings name, else the one that runs in this home, else None."""
    return resources.settings().web_url or find_server(resources.home())


def open_stream(url: str, **options: Any) -> EventStream:
    """A stream of this server's events.

    Args:
        url: Its address.
        options: Of `EventStream`.

    Raises:
        InputError: The address is none.
    """
    # A command that finds no server shall not wait for the WebSocket library.
    from vibe_tasks.web.stream_client import EventStream  # noqa: PLC0415

    return EventStream(url, token=_token(), **options)


def _token() -> str:
    """The token of the settings; where there are only some of roles, the first."""
    settings = resources.settings()
    others = [text.split(":", 2)[2] for text in settings.api_tokens]
    return settings.api_token or next(iter(others), "")
