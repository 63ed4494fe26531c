"""Two processes that write the same row for the first time, at once: the later one's stays."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import select

from tests.processes import until
from vibe_tasks.store import version, workers
from vibe_tasks.store.copying import facts
from vibe_tasks.store.engine import Database, Transaction, open_database
from vibe_tasks.store.operation_tables import ledger_facts
from vibe_tasks.store.schema import worker_health


def registered(connection: Transaction, who: str) -> None:
    """A worker comes under a name that another one chose too."""
    worker = workers.Registered(worker="twin@h", host=None, process=who)
    workers.register(connection, worker, ["code", "fix"], tier="junior", capacity=1)


def told(connection: Transaction, who: str) -> None:
    """A database learns something of itself."""
    facts.keep(connection, facts.HOLDER, who)


def written(database: Database) -> list[str]:
    """Who has the rows."""
    with database.read() as connection:
        processes = select(worker_health.c.process)
        values = select(ledger_facts.c.value).where(ledger_facts.c.name == facts.HOLDER)
        return [*connection.execute(processes).scalars(), *connection.execute(values).scalars()]


def waits(url: str) -> bool:
    """Whether a session waits for another one's transaction."""
    plain = url.replace("postgresql+psycopg:", "postgresql:")
    with psycopg.connect(plain, autocommit=True) as connection:
        found = connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
    return bool(found and found[0])


@pytest.mark.postgres
@pytest.mark.parametrize(("write", "rows"), [(registered, 2), (told, 1)])
def test_neither_of_two_that_come_at_once_fails(
    postgres_url: str, write: Callable[[Transaction, str], None], rows: int
) -> None:
    """The second waits for the first's end, and then has the rows."""
    database = open_database(postgres_url)
    version.create(database)

    def second() -> None:
        with database.begin() as connection:
            write(connection, "second")

    with ThreadPoolExecutor(1) as threads:
        with database.begin() as connection:
            write(connection, "first")
            coming = threads.submit(second)
            until(lambda: waits(postgres_url))
        coming.result(60)
    assert written(database) == ["second"] * rows
    database.close()
