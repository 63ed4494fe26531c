"""The ledger as commands use it: opened, and its troubles told in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from vibe_tasks.errors import InputError, UnavailableError, UnknownJobError
from vibe_tasks.masking import masked
from vibe_tasks.store.engine import DATABASE_ERRORS, Database, file_of, open_database
from vibe_tasks.store.version import create
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
def look_into_ledger() -> Iterator[Database]:
    """The ledger for a command that adds nothing: where there is none, none is made.

    Such a command finds an empty one instead, which vanishes again.

    Raises:
        SchemaError: It has another schema version.
        UnavailableError: It does not answer, or refuses what was asked of it.
        UnknownJobError: What was asked for is not in it; the message names the place.
    """
    with storage_trouble():
        if ledger_exists():
            yield resources.ledger()
            return
        with TemporaryDirectory(prefix="vibe-") as folder:
            empty = open_database(f"sqlite:///{Path(folder, 'ledger.db')}")
            try:
                create(empty)
                yield empty
            except UnknownJobError as error:
                raise UnknownJobError(f"{error}: there is no ledger in {place()}") from error
            finally:
                empty.close()


def ledger_exists() -> bool:
    """Whether there is something to look into: a file with anything in it, or a server's database,
    which always counts as there.
    """
    file = file_of(resources.database_url())
    return file is None or (file.is_file() and file.stat().st_size > 0)


def require_ledger() -> None:
    """Refuse to go on where there is nothing to look into.

    Raises:
        InputError: There is no ledger; the message names the place.
    """
    if not ledger_exists():
        raise InputError(
            f"there is no ledger in {place()}: is VIBE_HOME the right one? "
            "`vibe db upgrade` makes a new one"
        )


def place() -> str:
    """Where we looked: the home, or the database that the settings name."""
    url = resources.settings().database_url
    return masked(url) if url else str(resources.home())


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
