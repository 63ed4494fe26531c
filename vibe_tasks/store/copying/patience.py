"""Changing the tables of a ledger that is in use, one small transaction at a time."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from vibe_tasks.errors import UnavailableError
from vibe_tasks.store.engine import Database
from vibe_tasks.store.in_use import Patience, is_in_use, user_of, wait_at_most


def patiently(
    database: Database, change: Callable[[Connection], object], patience: Patience
) -> None:
    """Make this change in a transaction of its own, again where others use the tables.

    Args:
        database: The database.
        change: Does it.
        patience: How to wait.

    Raises:
        UnavailableError: Others used them all the time.
    """
    for last in range(patience.tries - 1, -1, -1):
        try:
            with database.begin() as connection:
                wait_at_most(connection, patience.at_once)
                change(connection)
                return
        except DBAPIError as error:
            if not is_in_use(error):
                raise
            if not last:
                raise UnavailableError(
                    f"could not change the tables: {user_of(database)}"
                ) from error
            patience.tell(f"waits: {user_of(database)}")
            patience.sleep(patience.rest)
