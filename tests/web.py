"""A real web server in this process, on a real socket: what is measured and can be looked into."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2 as httpx
import pytest

from tests import homes
from tests.processes import until
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import resources
from vibe_tasks.web.services import Services

if TYPE_CHECKING:
    from vibe_tasks.web.server import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """A running server.

    Attributes:
        url: Its address, `http://127.0.0.1:PORT`.
        client: An HTTP client without a token.
        services: What its application was built of.
        ledger: Its ledger, for looking into.
        home: Its home folder.
    """

    url: str
    client: httpx.Client
    services: Services
    ledger: Database
    home: Path

    @property
    def port(self) -> int:
        """The port of its address."""
        return int(self.url.rpartition(":")[2])

    def with_token(self, token: str) -> httpx.Client:
        """A client that shows this token; close it, or use it in a `with`."""
        return httpx.Client(
            base_url=self.url, timeout=60, headers={"Authorization": f"Bearer {token}"}
        )

    def socket(self) -> socket.socket:
        """A connection of one's own to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)


@contextmanager
def running_web(home: Path, *, port: int = 0, **settings: Any) -> Iterator[Web]:
    """A server, until the end of the `with`.

    Args:
        home: VIBE_HOME; made where it is missing.
        port: Of a server that was there before; 0: a free one.
        settings: More settings by their names, such as `database_url=database.url`,
            `api_token="a"`, `web_origins="http://localhost:5173"`. They hold for this whole
            process while the server runs, as those of a user do.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith("VIBE_")]:
            patch.delenv(name)
        patch.setenv("VIBE_HOME", str(home))
        for name, value in settings.items():
            patch.setenv(f"VIBE_{name.upper()}", _text(value))
        homes.forget()
        ledger = resources.ledger()
        try:
            services, server = a_server(ledger)
            with served(server, port) as url, httpx.Client(base_url=url, timeout=60) as client:
                yield Web(url=url, client=client, services=services, ledger=ledger, home=home)
        finally:
            ledger.close()
            homes.forget()


def a_server(ledger: Database) -> tuple[Services, Server]:
    """The parts of one web process of the current settings, and its server, not yet started."""
    # They read the settings as they are imported, and must not see those of who runs the tests.
    from vibe_tasks.web.app import create_app  # noqa: PLC0415
    from vibe_tasks.web.assembly import assemble  # noqa: PLC0415
    from vibe_tasks.web.server import server_of  # noqa: PLC0415

    services = assemble(resources.settings(), ledger)
    return services, server_of(create_app(services), patience=services.settings.web_patience)


@contextmanager
def served(server: Server, port: int = 0) -> Iterator[str]:
    """The address of this server, which runs until the end of the `with`."""
    from vibe_tasks.web.server import listen, url_of  # noqa: PLC0415

    listening = listen("127.0.0.1", port)
    url = url_of(listening)
    thread = threading.Thread(target=server.run, args=([listening],), name="web server")
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive(), seconds=60)
        assert server.started, "the web server does not start"
        yield url
    finally:
        server.should_exit = True  # `end` would end this process where it takes long
        thread.join(60)
        assert not thread.is_alive(), "the web server does not stop"


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
