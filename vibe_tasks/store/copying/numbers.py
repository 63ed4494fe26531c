"""The numbers that a database gives out by itself: on the copy they go on where the source's were,
so that no id comes back, not even that of a row that has been deleted since.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, inspect, select, text

from vibe_tasks.store.copying.rows import TABLES, Copied

_BY_NAME = {table.name: table for table in TABLES}
_ARCHIVE = "_archive"


def numbered() -> list[Copied]:
    """The tables whose rows the database numbers."""
    return [table for table in TABLES if table.table.autoincrement_column is not None]


def last_given(connection: Connection, table: Copied) -> int:
    """The highest number that was ever given out, as far as the database remembers; 0 for none."""
    found = [_highest(connection, table)]
    archive = _BY_NAME.get(table.name + _ARCHIVE)
    if archive is not None:  # rows go there with their numbers
        found.append(_highest(connection, archive))
    if connection.dialect.name == "sqlite":
        if inspect(connection).has_table("sqlite_sequence"):
            counter = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
            found.append(int(connection.execute(counter, {"name": table.name}).scalar() or 0))
    else:
        sequence = _sequence(connection, table)
        counter = text(
            f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}"  # noqa: S608
        )
        found.append(int(connection.execute(counter).scalar_one()))
    return max(found)


def give_from(connection: Connection, table: Copied, last: int) -> None:
    """Let the next number be above this one and above all that are there.

    Of SQLite's tables, those without AUTOINCREMENT remember nothing: they go on behind the highest
    number that is there.
    """
    last = max(last, last_given(connection, table))
    if last == 0:
        return
    if connection.dialect.name != "sqlite":
        set_to = text("SELECT setval(CAST(:name AS regclass), :last)")
        connection.execute(set_to, {"name": _sequence(connection, table), "last": last})
    elif table.table.dialect_options["sqlite"]["autoincrement"]:
        values = {"name": table.name, "last": last}
        connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), values)
        connection.execute(text("INSERT INTO sqlite_sequence VALUES (:name, :last)"), values)


def _highest(connection: Connection, table: Copied) -> int:
    return int(connection.execute(select(func.max(table.key[0]))).scalar() or 0)


def _sequence(connection: Connection, table: Copied) -> str:
    asked = text("SELECT pg_get_serial_sequence(:name, :column)")
    values = {"name": f'"{table.name}"', "column": table.key[0].name}
    return str(connection.execute(asked, values).scalar_one())
