"""A feed of notifications, for whoever wants to hear of jobs and not to wait for one of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from types import TracebackType
from typing import Self

from vibe_tasks.store.listening import Notification
from vibe_tasks.tasks.wakeups import CLOSING, Wakeups

log = logging.getLogger(__name__)


class Feed:
    """Notifications from one moment on: iterate over it, or have a callback called.

    Args:
        wakeups: Where they come in.
        callback: Called with each by a thread of this object; None: the reader iterates.
        lanes: Only of these lanes; empty: of all.
    """

    def __init__(
        self,
        wakeups: Wakeups,
        callback: Callable[[Notification], None] | None,
        lanes: Collection[str],
    ) -> None:
        self._wakeups = wakeups
        self._since = wakeups.mark()
        self._lanes = frozenset(lanes)
        self._closed = False
        self._thread: threading.Thread | None = None
        if callback is not None:
            self._thread = threading.Thread(
                target=self._call, args=(callback,), name="notifications", daemon=True
            )
            self._thread.start()

    def __iter__(self) -> Iterator[Notification]:
        while not self._closed and not self._wakeups.closed:
            new, self._since = self._wakeups.since(self._since)
            for each in new:
                if not self._lanes or each.lane in self._lanes:
                    yield each

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the feed; a reader that waits stops."""
        self._closed = True
        self._wakeups.wake()
        if self._thread not in {None, threading.current_thread()}:
            self._thread.join(CLOSING)

    def _call(self, callback: Callable[[Notification], None]) -> None:
        for each in self:
            try:
                callback(each)
            except Exception:  # the edge of user code: one bad call must not end the feed
                log.exception("the callback failed at %s", each)
