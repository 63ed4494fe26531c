"""A broker of a test's own, for what asks one without a worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis import Redis

from vibe_tasks.stack.broker import broker_program, broker_ready
from vibe_tasks.stack.children import Child


@contextmanager
def running_broker() -> Iterator[tuple[str, Any]]:
    """An empty broker: its URL, as VIBE_BROKER_URL takes it, and a client."""
    # A short path: a unix socket's name may have about 100 bytes.
    with TemporaryDirectory(prefix="vibe-broker-") as folder:
        path = Path(folder, "broker.sock")
        child = Child(broker_program(path, environ=os.environ), logs=Path(folder))
        try:
            assert broker_ready(path, 60)
            with Redis(unix_socket_path=str(path)) as client:
                yield f"redis+socket://{path}", client
        finally:
            child.kill()
