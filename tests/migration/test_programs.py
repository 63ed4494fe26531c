"""Changes of the schema while workers are online."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from tests.migration import frozen
from tests.migration.test_upgrade import NEXT, NOW, with_another
from vibe_tasks.errors import InputError
from vibe_tasks.store import upgrade, version, workers
from vibe_tasks.store.engine import Database
from vibe_tasks.store.upgrade import Moved
from vibe_tasks.store.version import OLDEST_PROGRAM, SCHEMA_VERSION
from vibe_tasks.store.workers import Registered

LEASE = 3600.0
OLD_WORKER = """
INSERT INTO worker_health
  (worker_id, lane, tier, active_tasks, capacity_limit, status, last_seen)
VALUES ('old@build-1', 'code', 'any', 0, 1, 'online', vibe_now())
"""


def online(database: Database, *names: str) -> None:
    """Register these workers, as this program does."""
    with database.begin() as connection:
        for name in names:
            registered = Registered(worker=name, host=None, process=name)
            workers.register(connection, registered, ["code", "qa"], tier="any", capacity=1)


def change(database: Database, sets: str) -> None:
    """Change all rows of the registry."""
    with database.begin() as connection:
        connection.execute(text(f"UPDATE worker_health SET {sets}"))  # noqa: S608


def test_a_schema_that_says_nothing_is_for_its_own_programs(
    database: Database, tmp_path: Path
) -> None:
    """While workers of this version are online, also those that drain, such a schema does not come;
    when they have left, were silent for a lease, or whoever knows better says so, it does.
    """
    versions = with_another(tmp_path / "v")
    online(database, *(f"w{n}@build" for n in range(7)))
    change(database, "status = 'draining'")
    refusal = rf"online: w0@build \(schema {NOW}\), .* and 2 more; schema {NEXT} is for programs of"
    with pytest.raises(InputError, match=refusal):
        upgrade.upgrade(database, to=NEXT, versions=versions, lease=LEASE)
    assert version.found_version(database) == NOW
    assert upgrade.upgrade(database, to=NEXT, versions=versions).after == NEXT
    change(database, f"schema_version = {NEXT}")
    with pytest.raises(InputError, match=rf"schema {NOW} is for programs of schemas 5 to {NOW}"):
        upgrade.downgrade(database, to=NOW, versions=versions, lease=LEASE)
    change(database, f"last_seen = last_seen - {2 * LEASE}")
    assert upgrade.downgrade(database, to=NOW, versions=versions, lease=LEASE).after == NOW


def test_workers_of_a_version_that_did_not_tell_are_taken_for_the_one_they_had(
    empty_database: Database, tmp_path: Path
) -> None:
    """A worker of schema 5 goes on under those that are for it, up to this one, and under no later
    one.
    """
    frozen.load(empty_database, 5)
    with empty_database.begin() as connection:
        connection.execute(text(OLD_WORKER))
    assert upgrade.upgrade(empty_database, lease=LEASE) == Moved(before=5, after=NOW)
    versions = with_another(tmp_path / "v")
    with pytest.raises(InputError, match=r"online: old@build-1 \(schema 5\)"):
        upgrade.upgrade(empty_database, to=NEXT, versions=versions, lease=LEASE)
    with pytest.raises(InputError, match=r"schema 4 is for programs of schema 4: stop them first"):
        upgrade.downgrade(empty_database, to=4, lease=LEASE)
    assert upgrade.downgrade(empty_database, to=5, lease=LEASE).after == 5


def test_nobody_works_on_an_empty_database_or_goes_on_without_a_schema(
    empty_database: Database,
) -> None:
    """The first schema comes without a question; while workers are online it does not go."""
    assert upgrade.upgrade(empty_database, lease=LEASE).before == 0
    online(empty_database, "w@build")
    with pytest.raises(InputError, match=r"schema 0 is for programs of schema 0"):
        upgrade.downgrade(empty_database, to=0, lease=LEASE)


def test_the_migration_and_the_code_name_the_same_oldest_program(empty_database: Database) -> None:
    """What a ledger says of itself does not depend on how it was made."""
    upgrade.upgrade(empty_database)
    assert version.oldest_program(empty_database) == OLDEST_PROGRAM
    upgrade.downgrade(empty_database, to=5)
    assert version.oldest_program(empty_database) == 5
    assert OLDEST_PROGRAM <= SCHEMA_VERSION


def test_a_newer_ledger_that_has_more_is_as_it_should_be(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`vibe db check` of a program beside which the next version runs finds what is missing, and
    not what there is more of.
    """
    upgrade.upgrade(database, to=NEXT, versions=with_another(tmp_path / "v"))
    assert upgrade.differences(database) == ()
    with database.begin() as connection:
        connection.execute(text("DROP INDEX idx_jobs_ready"))
    (difference,) = upgrade.differences(database)
    assert "add_index" in difference
    monkeypatch.setattr(upgrade, "SCHEMA_VERSION", NEXT)
    assert len(upgrade.differences(database)) > 1
