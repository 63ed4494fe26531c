from __future__ import annotations

from pathlib import Path
from shutil import copy

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.ledgers import claim, history, new_job, put_into, row, submit
from vibe_tasks.errors import InputError, SchemaError
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store import jobs, upgrade, version
from vibe_tasks.store.engine import Database
from vibe_tasks.store.upgrade import Moved
from vibe_tasks.store.version import SCHEMA_VERSION

NOW = SCHEMA_VERSION
NEXT = SCHEMA_VERSION + 1

MOODS = """
from alembic import op
import sqlalchemy as sa
revision, down_revision, branch_labels, depends_on = "{next:04d}", "{now:04d}", None, None
def upgrade():
    op.add_column("jobs", sa.Column("mood", sa.Text()))
    op.create_table("moods", sa.Column("id", sa.Integer(), primary_key=True))
    op.execute("UPDATE jobs SET mood = 'calm'")
    {failing}
def downgrade():
    {failing_down}
    op.drop_table("moods")
    op.drop_column("jobs", "mood")
"""


def with_another(folder: Path, *, failing: str = "pass", failing_down: str = "pass") -> Path:
    """The versions of the program and one more."""
    folder.mkdir()
    for each in upgrade.VERSIONS.glob("[0-9]*.py"):
        copy(each, folder)
    code = MOODS.format(now=NOW, next=NEXT, failing=failing, failing_down=failing_down)
    (folder / f"{NEXT:04d}_moods.py").write_text(code, encoding="utf-8")
    return folder


def everything(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """All rows of the tables that are filled, without the column of the version to come."""
    with database.read() as connection:
        found = {}
        for table in ("jobs", "job_history"):
            rows = connection.execute(text(f"SELECT * FROM {table} ORDER BY 1")).mappings()  # noqa: S608
            found[table] = [tuple(v for k, v in each.items() if k != "mood") for each in rows]
    return found


def fill(database: Database) -> None:
    for status in JobStatus:
        put_into(database, status)
    submit(database, *(new_job(args=("é🦀\x00", 10**30)) for _ in range(50)))


def works(database: Database) -> None:
    """A job can go all its way."""
    job = new_job()
    submit(database, job)
    claim(database, job.id)
    with database.begin() as connection:
        jobs.complete_job(connection, job.id, 1, "done")
    assert history(database, job.id)[-1] == ("processing", "completed")


def test_an_empty_database_gets_the_newest_schema(empty_database: Database) -> None:
    """Up from nothing, and again without effect."""
    assert upgrade.upgrade(empty_database) == Moved(before=0, after=NOW)
    assert upgrade.upgrade(empty_database) == Moved(before=NOW, after=NOW)
    version.require_current(empty_database)
    works(empty_database)


def test_a_ledger_goes_down_to_nothing_and_up_again(database: Database) -> None:
    """Down removes all that is ours, so that up finds an empty database."""
    works(database)
    assert upgrade.downgrade(database, to=0) == Moved(before=NOW, after=0)
    version.create(database)  # what is left of Alembic's is no hindrance
    assert version.found_version(database) == NOW
    assert upgrade.downgrade(database, to=0) == Moved(before=NOW, after=0)
    with pytest.raises(SchemaError, match="empty; run `vibe db upgrade`"):
        version.require_current(database)
    assert upgrade.upgrade(database) == Moved(before=0, after=NOW)
    works(database)


def test_both_ways_keep_every_row(database: Database, tmp_path: Path) -> None:
    """A filled ledger goes up and down a version with each row as it was."""
    fill(database)
    before = everything(database)
    versions = with_another(tmp_path / "versions")
    assert upgrade.upgrade(database, to=NEXT, versions=versions) == Moved(before=NOW, after=NEXT)
    assert everything(database) == before
    works_before = everything(database)
    with database.read() as connection:
        calm = connection.execute(text("SELECT count(*) FROM jobs WHERE mood = 'calm'")).scalar()
    assert calm == len(before["jobs"])
    assert upgrade.downgrade(database, to=NOW, versions=versions) == Moved(before=NEXT, after=NOW)
    assert everything(database) == works_before
    version.require_current(database)
    works(database)


@pytest.mark.parametrize(
    ("failing", "error"),
    [("raise OSError('disk full')", OSError), ("op.execute('SELECT nonsense')", DBAPIError)],
)
def test_a_migration_that_dies_half_way_leaves_the_old_schema(
    database: Database, tmp_path: Path, failing: str, error: type[Exception]
) -> None:
    """Nothing of it is left, and the ledger works on."""
    fill(database)
    before = everything(database)
    with pytest.raises(error):
        upgrade.upgrade(database, to=NEXT, versions=with_another(tmp_path / "v", failing=failing))
    assert version.found_version(database) == NOW
    assert upgrade.differences(database) == ()
    assert everything(database) == before
    works(database)


def test_the_way_down_is_all_or_nothing_too(database: Database, tmp_path: Path) -> None:
    """A downgrade that dies leaves the newer schema."""
    versions = with_another(tmp_path / "v", failing_down="op.drop_table('moods'); 1 / 0")
    upgrade.upgrade(database, to=NEXT, versions=versions)
    with pytest.raises(ZeroDivisionError):
        upgrade.downgrade(database, to=NOW, versions=versions)
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM moods")).scalar() == 0
    assert version.found_version(database) == NEXT


def test_a_newer_database_is_refused(database: Database, tmp_path: Path) -> None:
    """A program that does not know a schema touches nothing and says what to do."""
    upgrade.upgrade(database, to=NEXT, versions=with_another(tmp_path / "v"))
    for attempt in (
        lambda: version.require_current(database),
        lambda: upgrade.upgrade(database),
        lambda: upgrade.downgrade(database, to=0),
    ):
        with pytest.raises(SchemaError, match=f"schema {NEXT}, newer than this program's {NOW}"):
            attempt()
    assert version.found_version(database) == NEXT


def test_an_older_database_is_refused_by_workers(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker does not migrate on its own; it says what to run."""
    version.create(empty_database)
    monkeypatch.setattr(version, "SCHEMA_VERSION", NEXT)
    with pytest.raises(SchemaError, match=f"needs {NEXT}; run `vibe db upgrade`"):
        version.require_current(empty_database)


def test_a_foreign_database_is_refused(empty_database: Database) -> None:
    """Somebody else's Alembic database is left alone."""
    with empty_database.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('ae1027a6acf')"))
    for attempt in (version.require_current, upgrade.upgrade):
        with pytest.raises(SchemaError, match="no ledger of vibe_tasks"):
            attempt(empty_database)


def test_up_is_not_down(database: Database) -> None:
    """Taking a ledger down to a newer version is a mistake worth a line."""
    with pytest.raises(InputError, match=f"has schema {NOW}; it cannot be taken down to {NEXT}"):
        upgrade.downgrade(database, to=NEXT)


def test_an_attempt_may_span_an_upgrade(database: Database, tmp_path: Path) -> None:
    """What began before it may end after it."""
    job_id = put_into(database, JobStatus.PROCESSING)
    upgrade.upgrade(database, to=NEXT, versions=with_another(tmp_path / "v"))
    with database.begin() as connection:
        jobs.complete_job(connection, job_id, 1, "late")
    assert row(database, job_id)["result"] == "late"


def test_a_ledger_of_the_first_version_comes_along(database: Database) -> None:
    """Down to the first schema and up again: every row keeps what the first schema knew of it,
    and jobs go on.
    """
    fill(database)
    names = _columns(database)
    upgrade.downgrade(database, to=1)
    kept = _columns(database)
    assert names - kept >= {"concurrency_key", "start_by", "held_at", "held_for"}
    before = _rows(database, kept)
    assert upgrade.upgrade(database) == Moved(before=1, after=NOW)
    assert upgrade.differences(database) == ()
    assert _rows(database, kept) == before
    assert _columns(database) == names
    works(database)


def _columns(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.execute(text("SELECT * FROM jobs LIMIT 1")).keys())


def _rows(database: Database, names: set[str]) -> list[dict[str, object]]:
    with database.read() as connection:
        rows = connection.execute(text("SELECT * FROM jobs ORDER BY seq")).mappings()
        return [{name: each[name] for name in names} for each in rows]
