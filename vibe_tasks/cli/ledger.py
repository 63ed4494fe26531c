"""The ledger as commands use it: opened, and its troubles told in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vibe_tasks.errors import UnavailableError
from vibe_tasks.store.engine import DATABASE_ERRORS, Database
from vibe_tasks.tasks import resources


@contextmanager
def open_ledger() -> Iterator[Database]:
    """The ledger that the settings name; a new SQLite file gets its schema.

    Raises:
        SchemaError: It has another schema version.
        UnavailableError: It does not answer, or refuses what was asked of it.
    """
    with storage_trouble():
        yield resources.ledger()


@contextmanager
def storage_trouble() -> Iterator[None]:
    """Turn what the database's driver raises into one line.

    Raises:
        UnavailableError: The database did not do what it was asked.
    """
    try:
        yield
    except DATABASE_ERRORS as error:
        cause = getattr(error, "orig", None) or error
        lines = str(cause).strip().splitlines()
        raise UnavailableError(f"the ledger: {lines[0] if lines else cause!r}") from error
