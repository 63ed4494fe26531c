"""The query of each ScaledObject on a real PostgreSQL, asked by the user that is made for KEDA."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from tests.ledgers import backdate, claim, new_job, submit
from tests.manifests import of_kind
from vibe_tasks.store import version, workers
from vibe_tasks.store.engine import Database, open_database

Ask = Callable[[str], float]

pytestmark = pytest.mark.postgres


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[Database]:
    """An empty ledger on PostgreSQL."""
    opened = open_database(postgres_url)
    version.create(opened)
    yield opened
    opened.close()


@pytest.fixture
def ask(ledger: Database, postgres_url: str) -> Iterator[Ask]:
    """Asks the query of a lane as a user who may read the view alone; slots that it should have."""
    queries = {
        found["metadata"]["name"].removeprefix("vibe-worker-"): trigger["metadata"]["query"]
        for found in of_kind("base+keda", "ScaledObject")
        for trigger in found["spec"]["triggers"]
    }
    url = postgres_url.replace("postgresql+psycopg:", "postgresql:")
    role = f"keda_{ledger.engine.url.database}"
    with psycopg.connect(url, autocommit=True) as connection:
        name = sql.Identifier(role)
        connection.execute(sql.SQL("CREATE ROLE {}").format(name))
        connection.execute(sql.SQL("GRANT SELECT ON view_lane_demand TO {}").format(name))
        connection.execute(sql.SQL("SET ROLE {}").format(name))

        def asked(lane: str) -> float:
            row = connection.execute(queries[lane]).fetchone()
            assert row is not None
            assert isinstance(row[0], float)
            return row[0]

        yield asked
        connection.execute("RESET ROLE")
        connection.execute(sql.SQL("DROP OWNED BY {}").format(name))
        connection.execute(sql.SQL("DROP ROLE {}").format(name))


def waiting(ledger: Database, number: int, *, seconds: float, lane: str = "code") -> list[str]:
    """So many jobs that have been due for so long; their ids."""
    made = [new_job(lane=lane) for _ in range(number)]
    submit(ledger, *made)
    for each in made:
        backdate(ledger, each.id, ["status_updated_at"], seconds)
    return [each.id for each in made]


def slots(ledger: Database, number: int) -> None:
    """A worker of `code` with so many slots."""
    known = workers.Registered(worker=f"w{number}", host=None, process=None)
    with ledger.begin() as connection:
        workers.register(connection, known, ["code"], tier="standard", capacity=number)


def test_slots_are_wanted_by_age_between_what_is_busy_and_what_there_is_to_do(
    ledger: Database, ask: Ask
):
    """Up to 30 s the slots will do, up to 60 s twice as many are wanted: KEDA divides them by a
    pod's. The ages here leave seconds to the next step.
    """
    assert ask("code") == 0
    slots(ledger, 4)
    assert ask("code") == 0  # nothing to do: down to the least number, slowly
    waiting(ledger, 100, seconds=24)
    assert ask("code") == 4
    waiting(ledger, 1, seconds=54)
    assert ask("code") == 8
    waiting(ledger, 1, seconds=36_000)
    assert ask("code") == 102  # no more than there is work for, however long it waits
    assert ask("qa") == 0


def test_what_is_busy_stays(ledger: Database, ask: Ask):
    """Nothing waits and five run: five slots, not none."""
    slots(ledger, 8)
    for job_id in waiting(ledger, 5, seconds=0):
        claim(ledger, job_id)
    assert ask("code") == 5


def test_the_first_worker_comes_from_none(ledger: Database, ask: Ask):
    """No worker at all: a job that waits wakes the lane, and one that is not due does not."""
    submit(ledger, new_job(lane="qa", delay=600.0))
    assert ask("qa") == 0
    waiting(ledger, 1, seconds=1, lane="qa")
    assert ask("qa") == 1
