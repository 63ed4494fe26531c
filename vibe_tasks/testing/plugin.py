"""The fixtures, as pytest finds them by itself where vibe_tasks is installed.

Whoever installs vibe_tasks has this plugin in all of their tests: it imports nothing until a
fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from vibe_tasks.testing.eager import VibeEager
    from vibe_tasks.testing.ledger import VibeLedger
    from vibe_tasks.testing.worker import VibeWorker


@pytest.fixture(scope="session")
def vibe_settings() -> dict[str, Any]:
    """Settings of the tests by name, such as `{"max_retries": 5}`; write your own to give some."""
    return {}


@pytest.fixture(scope="session")
def vibe_empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that each test's ledger is a copy of."""
    from vibe_tasks.testing.place import make_empty  # noqa: PLC0415

    return make_empty(tmp_path_factory.mktemp("vibe") / "empty.db")


@pytest.fixture
def vibe_ledger(
    vibe_settings: dict[str, Any], vibe_empty: Path, tmp_path: Path
) -> Iterator[VibeLedger]:
    """A new ledger: calls write their jobs, and nobody runs them."""
    from vibe_tasks.testing.eager import run_nowhere  # noqa: PLC0415
    from vibe_tasks.testing.place import own_ledger  # noqa: PLC0415

    place = own_ledger(tmp_path / "vibe", vibe_settings, empty=vibe_empty)
    with place as ledger, run_nowhere(ledger) as made:
        yield made


@pytest.fixture
def vibe_eager(
    vibe_settings: dict[str, Any], vibe_empty: Path, tmp_path: Path
) -> Iterator[VibeEager]:
    """A new ledger whose jobs run where they are called; nobody waits for a retry."""
    from vibe_tasks.testing.eager import run_eagerly  # noqa: PLC0415
    from vibe_tasks.testing.place import own_ledger  # noqa: PLC0415

    place = own_ledger(tmp_path / "vibe", vibe_settings, empty=vibe_empty)
    with place as ledger, run_eagerly(ledger) as made:
        yield made


@pytest.fixture(scope="module")
def vibe_worker(
    vibe_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VibeWorker]:
    """A new ledger with a real broker, worker and dispatcher, for all tests of a module."""
    from vibe_tasks.testing.worker import running_worker  # noqa: PLC0415

    with running_worker(tmp_path_factory.mktemp("vibe"), vibe_settings) as made:
        yield made
