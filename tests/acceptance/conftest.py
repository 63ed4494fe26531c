"""A place for the `vibe` command; nothing may be left running when a test has ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.acceptance.vibe_command import Vibe
from tests.processes import until


@pytest.fixture
def vibe(tmp_path: Path) -> Iterator[Vibe]:
    """The command in an empty folder. Fails the test where a process of it outlives it."""
    place = Vibe(folder=tmp_path)
    yield place
    try:
        until(lambda: not place.strays())
    finally:
        for process in place.strays():
            with suppress(psutil.NoSuchProcess):
                process.kill()
