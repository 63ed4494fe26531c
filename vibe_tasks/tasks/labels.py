"""The labels of this process' worker: what its settings say, its host's, and
those of the repositories that its host has copies of.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

from vibe_tasks.flow.workplace import mirrors
from vibe_tasks.labels import host_label, is_label
from vibe_tasks.tasks import resources
from vibe_tasks.workspace.remote import mirror_labels

FRESH = 2.0
"""Seconds for which they are not looked up again: every claim asks."""

_lent: ContextVar[frozenset[str]] = ContextVar("lent", default=frozenset())


@contextmanager
def lent(labels: Collection[str]) -> Iterator[None]:
    """In here this worker has these labels too: a test runs jobs without such a worker."""
    token = _lent.set(frozenset(labels))
    try:
        yield
    finally:
        _lent.reset(token)


def worker_labels() -> frozenset[str]:
    """What this worker has that a job may ask for."""
    return _labels_in(int(resources.monotonic() // FRESH)) | _lent.get()


@lru_cache(maxsize=1)
def _labels_in(_turn: int) -> frozenset[str]:
    copies = mirror_labels(mirrors(resources.home()))
    own = {*resources.settings().worker_labels, host_label(socket.gethostname()), *copies}
    return frozenset(filter(is_label, own))
