"""A home of its own for a test that calls commands in this process, which otherwise reads its
settings and opens its ledger once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vibe_tasks.tasks import resources

CACHES = (
    resources.settings_with_sources, resources.redaction, resources.sealing, resources.database,
    resources.ledger,
)  # fmt: skip


@contextmanager
def own_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The path of a home in this folder, which becomes the current one; nothing is made yet."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("VIBE_HOME", str(folder / "home"))
    forget()
    yield folder / "home"
    if resources.database.cache_info().currsize:
        resources.database().close()
    forget()


def forget() -> None:
    """Let this process read settings and open the ledger anew."""
    for cache in CACHES:
        cache.cache_clear()
