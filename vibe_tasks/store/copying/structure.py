"""What a copy is without while rows come in, and gets before it is released: triggers, keys to
other tables, unique columns and indexes.

Rows come as they were read, each at another moment, so for a while two may share what only one
can have, and one may refer to what has not come yet. And a copied job is no new job: no history row
is written for it, nobody is told.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, ForeignKeyConstraint, Table, UniqueConstraint, inspect

from vibe_tasks.store.copying.rows import TABLES
from vibe_tasks.store.extras import SQLITE_EXTRAS

_TRIGGER = "CREATE TRIGGER "


def strip(connection: Connection, *, indexes: bool) -> None:
    """Take away what would refuse a row that is copied, or do something about it.

    Args:
        connection: A writing transaction of the copy.
        indexes: Take the other indexes away too; without them, rows come in faster.
    """
    sqlite = connection.dialect.name == "sqlite"
    if sqlite:  # whose connections do not look at foreign keys here
        for name in _sqlite_triggers():
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
    present = _indexes(connection)
    for table in TABLES:
        for index in table.table.indexes:
            if index.name in present and (index.unique or indexes):
                index.drop(connection)
    if not sqlite:
        _strip_server(connection)


def add_indexes(connection: Connection) -> None:
    """Put the indexes back that rows may come in with."""
    present = _indexes(connection)
    for table in TABLES:
        for index in sorted(table.table.indexes, key=lambda index: str(index.name)):
            if not index.unique and index.name not in present:
                index.create(connection)


def complete(connection: Connection) -> None:
    """Put everything back.

    Raises:
        IntegrityError: A row breaks one of the rules.
    """
    add_indexes(connection)
    present = _indexes(connection)
    for table in TABLES:
        for index in table.table.indexes:
            if index.name not in present:
                index.create(connection)
    if connection.dialect.name != "sqlite":
        _complete_server(connection)
        return
    for name, statement in _sqlite_triggers().items():
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
        connection.exec_driver_sql(statement)


def _indexes(connection: Connection) -> set[str | None]:
    found = inspect(connection).get_multi_indexes().values()
    return {index["name"] for indexes in found for index in indexes}


def _sqlite_triggers() -> dict[str, str]:
    statements = [extra.strip() for extra in SQLITE_EXTRAS]
    return {
        statement.removeprefix(_TRIGGER).split()[0]: statement
        for statement in statements
        if statement.startswith(_TRIGGER)
    }


def _strip_server(connection: Connection) -> None:
    found = inspect(connection)
    keys = {table: [each["name"] for each in known]
            for (_, table), known in found.get_multi_foreign_keys().items()}  # fmt: skip
    unique = {table: [each["name"] for each in known]
              for (_, table), known in found.get_multi_unique_constraints().items()}  # fmt: skip
    for table in TABLES:
        for name in (*keys.get(table.name, ()), *unique.get(table.name, ())):
            connection.exec_driver_sql(f'ALTER TABLE "{table.name}" DROP CONSTRAINT "{name}"')
        connection.exec_driver_sql(f'ALTER TABLE "{table.name}" DISABLE TRIGGER USER')


def _complete_server(connection: Connection) -> None:
    found = inspect(connection)
    present = {("UNIQUE", table, *each["column_names"])
               for (_, table), known in found.get_multi_unique_constraints().items()
               for each in known}  # fmt: skip
    present |= {("FOREIGN KEY", table, *each["constrained_columns"])
                for (_, table), known in found.get_multi_foreign_keys().items()
                for each in known}  # fmt: skip
    for table in TABLES:
        for kind, columns, rule in _rules(table.table):
            if (kind, table.name, *columns) not in present:
                connection.exec_driver_sql(f'ALTER TABLE "{table.name}" ADD {rule}')
        connection.exec_driver_sql(f'ALTER TABLE "{table.name}" ENABLE TRIGGER USER')
    connection.exec_driver_sql("ANALYZE")


def _rules(table: Table) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """A table's unique columns and its keys to others: kind, columns, and the whole. Without a name
    the server gives the one that it would have given at first.
    """
    for each in sorted(table.constraints, key=lambda constraint: str(constraint.name)):
        if not isinstance(each, UniqueConstraint | ForeignKeyConstraint):
            continue
        columns = tuple(column.name for column in each.columns)
        listed = ", ".join(f'"{column}"' for column in columns)
        name = f'CONSTRAINT "{each.name}" ' if each.name else ""
        if isinstance(each, UniqueConstraint):
            yield "UNIQUE", columns, f"{name}UNIQUE ({listed})"
            continue
        target = ", ".join(f'"{element.column.name}"' for element in each.elements)
        on_delete = f" ON DELETE {each.ondelete}" if each.ondelete else ""
        refers = f'REFERENCES "{each.referred_table.name}" ({target}){on_delete}'
        yield "FOREIGN KEY", columns, f"{name}FOREIGN KEY ({listed}) {refers}"
