"""The page about PostgreSQL, done as it says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import psycopg
import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from tests.documents import blocks
from vibe_tasks.flow.archiving import tidy
from vibe_tasks.jobs import NewJob
from vibe_tasks.retention import Keeping
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import Database, open_database, run_plain
from vibe_tasks.store.history import history_of
from vibe_tasks.store.version import create, require_current

pytestmark = pytest.mark.postgres

SQL = [each.text for each in blocks("sql") if each.where.startswith("docs/postgresql.md:")]
KEEP_NOTHING = Keeping(history_days=0, jobs_days=0, archive_days=0)
SECRETS = {"vibe_owner": "OWNER-SECRET", "vibe": "WORKER-SECRET"}


@contextmanager
def opened(url: str, role: str) -> Iterator[Database]:
    """The database as this role, with the page's password."""
    mine = make_url(url).set(username=role, password=SECRETS[role])
    database = open_database(mine.render_as_string(hide_password=False))
    try:
        yield database
    finally:
        database.close()


@pytest.fixture
def prepared(postgres_url: str) -> Iterator[str]:
    """A database for which the page's first statements have run; its roles go afterwards."""
    plain = postgres_url.replace("postgresql+psycopg:", "postgresql:")
    with psycopg.connect(plain, autocommit=True) as admin:
        admin.execute(SQL[0].encode())
    yield postgres_url
    with psycopg.connect(plain, autocommit=True) as admin:
        for role in SECRETS:
            admin.execute(f"DROP OWNED BY {role} CASCADE".encode())
            admin.execute(f"DROP ROLE {role}".encode())


def test_two_roles_are_enough(prepared: str):
    """The owner makes the schema; the other role does all that work needs and changes no table."""
    with opened(prepared, "vibe_owner") as ledger:
        create(ledger)
    with opened(prepared, "vibe") as ledger:
        require_current(ledger)
        with ledger.begin() as connection:
            jobs.submit(connection, [NewJob(id="one", name="report", lane="code")])
        with ledger.begin() as connection:
            claim = jobs.claim_next_job(connection, "code", worker="me", lease=30.0)
        assert claim is not None
        with ledger.begin() as connection:
            jobs.complete_job(connection, "one", claim.attempt, {"pages": 1})
        assert [row["status"] for row in history_of(ledger, "one")] == [
            "pending", "processing", "completed",
        ]  # fmt: skip
        with pytest.raises(DBAPIError, match="must be owner"), ledger.read() as connection:
            run_plain(connection, "ALTER TABLE jobs ADD COLUMN mine text")
        with ledger.read() as connection:
            run_plain(connection, SQL[1])  # what the page has to look with
        tidied = tidy(ledger, KEEP_NOTHING, monotonic=monotonic, pause=lambda _seconds: None)
        assert tidied.archived["job_history"] == 3
