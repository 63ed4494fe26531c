"""Ledgers as released versions left them: one for each schema version and database, as SQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vibe_tasks.store.engine import Database

FOLDER = Path(__file__).parent / "ledgers"


def file_of(number: int, *, sqlite: bool) -> Path:
    """Where the ledger of this schema version is."""
    return FOLDER / f"{number:04d}.{'sqlite' if sqlite else 'postgresql'}.sql"


def load(database: Database, number: int) -> None:
    """Make this empty database the ledger that a program of this version left."""
    text = file_of(number, sqlite=database.is_sqlite).read_text(encoding="utf-8")
    with database.read() as connection:
        driver: Any = connection.connection.dbapi_connection
        if database.is_sqlite:
            # Its tables come by name: children before their parents.
            driver.executescript(f"PRAGMA foreign_keys = OFF;\n{text}PRAGMA foreign_keys = ON;")
        else:
            driver.execute(text)
