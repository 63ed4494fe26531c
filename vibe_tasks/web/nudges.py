"""Being woken when events come, for a program that looks at the ledger anyway."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vibe_tasks.errors import InputError

if TYPE_CHECKING:
    from vibe_tasks.web.stream_client import EventStream

MOST = 500
"""Events that are taken at once."""


class Nudges:
    """Wakes a program when events come; a context manager.

    Without a stream, and where there is no connection, it only waits.

    Args:
        stream: A new stream; None: there is no server.
    """

    def __init__(self, stream: EventStream | None) -> None:
        self._stream = stream
        self._came = threading.Event()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listening: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="event stream", daemon=True)

    def wait(self, seconds: float) -> None:
        """Until events have come since the last call, at most so many seconds."""
        self._came.wait(seconds)
        self._came.clear()

    def __enter__(self) -> Self:
        if self._stream is not None:
            self._thread.start()
            self._ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._listening is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._listening.cancel)
            self._thread.join()

    def _run(self) -> None:
        with suppress(InputError, asyncio.CancelledError):
            asyncio.run(self._listen())

    async def _listen(self) -> None:
        self._loop, self._listening = asyncio.get_running_loop(), asyncio.current_task()
        self._ready.set()
        if self._stream is not None:
            async with self._stream as stream:
                while await stream.take(MOST):
                    self._came.set()
