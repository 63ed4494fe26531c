"""Comparing a ledger with its copy, row by row.

Rows are looked up by their keys, a batch at a time: the two databases sort texts in different ways,
so walking through both side by side would not meet. What is in the copy alone is looked for where
the numbers of rows say that there must be such.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Column, func, select

from vibe_tasks.store.copying import change_log
from vibe_tasks.store.copying.rows import (
    MOST_ROWS,
    TABLES,
    Copied,
    Key,
    Row,
    batches,
    by_keys,
    is_json,
    is_own,
    keys_after,
)
from vibe_tasks.store.engine import Database

MOST_TOLD = 1_000
"""Mismatches that are listed; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A row that is not the same on both sides.

    Attributes:
        table: The table's name.
        key: The row's key.
        columns: The columns that differ; none where one side lacks the row.
        lacking: Which side lacks it: `source`, `copy`, or None where both have it.
        pending: Whether the source's log says that it changed and is still to be carried over.
    """

    table: str
    key: Key
    columns: tuple[str, ...] = ()
    lacking: str | None = None
    pending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What a comparison found.

    Attributes:
        rows: Rows of the source that were looked at, in all tables.
        mismatches: Those that differ, at most `MOST_TOLD`; those that stay so come first.
        count: How many differ.
        open: The keys of those that are still to be carried over, by table; all of them.
    """

    rows: int
    mismatches: tuple[Mismatch, ...]
    count: int
    open: Mapping[str, frozenset[Key]] = field(default_factory=dict, repr=False)

    @property
    def pending(self) -> int:
        """How many of `count` are still to be carried over."""
        return sum(map(len, self.open.values()))

    @property
    def wrong(self) -> int:
        """How many differ and would stay so."""
        return self.count - self.pending


def compare(source: Database, copy: Database) -> Compared:
    """Compare all rows of all tables; changes nothing, and holds nobody up.

    While the source is in use, a row may differ because it has just changed: the log knows.

    Args:
        source: The ledger.
        copy: Its copy.
    """
    found, log = _Found(), change_log.Noted()
    for table in TABLES:
        for seen, differing in _differing(source, copy, table):
            found.rows += seen
            found.add(_mark(source, log, table, differing))
    return found.compared()


def compare_open(source: Database, copy: Database, before: Compared) -> Compared:
    """The same comparison, once those that were open have been carried over: only these are looked
    at again.
    """
    wrong = [each for each in before.mismatches if not each.pending]
    found, log = _Found(rows=before.rows, count=before.wrong, wrong=wrong), change_log.Noted()
    for table in TABLES:
        keys = list(before.open.get(table.name, ()))
        for at in range(0, len(keys), MOST_ROWS):
            some = keys[at : at + MOST_ROWS]
            with source.read() as connection:
                here = by_keys(connection, table, some)
            with copy.read() as connection:
                there = by_keys(connection, table, some)
            differing = [_differs(table, key, here.get(key), there.get(key)) for key in some]
            found.add(_mark(source, log, table, [each for each in differing if each]))
    return found.compared()


@dataclass(slots=True)
class _Found:
    rows: int = 0
    count: int = 0
    wrong: list[Mismatch] = field(default_factory=list)
    pending: list[Mismatch] = field(default_factory=list)
    open: defaultdict[str, set[Key]] = field(default_factory=lambda: defaultdict(set))

    def add(self, mismatches: list[Mismatch]) -> None:
        self.count += len(mismatches)
        for each in mismatches:
            listed = self.pending if each.pending else self.wrong
            if len(listed) < MOST_TOLD:
                listed.append(each)
            if each.pending:
                self.open[each.table].add(each.key)

    def compared(self) -> Compared:
        still = {table: frozenset(keys) for table, keys in self.open.items()}
        listed = tuple([*self.wrong, *self.pending][:MOST_TOLD])
        return Compared(rows=self.rows, mismatches=listed, count=self.count, open=still)


def differing_columns(table: Copied, left: Row, right: Row) -> tuple[str, ...]:
    """Names of the columns in which two rows of a table differ."""
    if left == right and list(map(type, left)) == list(map(type, right)):
        return ()
    triples = zip(table.columns, left, right, strict=True)
    return tuple(column.name for column, one, two in triples if not _is_same(column, one, two))


def _is_same(column: Column[Any], one: Any, two: Any) -> bool:
    if one is None or two is None:
        return one is two
    if is_json(column):
        return one == two or _canonical(one) == _canonical(two)
    if one != one:  # noqa: PLR0124  NaN, which equals nothing
        return bool(two != two)  # noqa: PLR0124
    return type(one) is type(two) and bool(one == two)


def _canonical(value: str) -> str:
    return json.dumps(json.loads(value), sort_keys=True)


def _differing(
    source: Database, copy: Database, table: Copied
) -> Iterator[tuple[int, list[Mismatch]]]:
    """How many rows were looked at, and which of them differ, batch by batch."""
    here = 0
    for rows in batches(source, table):
        wanted = {table.key_of(row): row for row in rows}
        wanted = {key: row for key, row in wanted.items() if not is_own(table, key)}
        with copy.read() as connection:
            there = by_keys(connection, table, wanted)
        here += len(there)
        differing = [_differs(table, key, row, there.get(key)) for key, row in wanted.items()]
        yield len(wanted), [each for each in differing if each]
    if _rows_of(copy, table) != here:
        yield from ((0, each) for each in _added(source, copy, table))


def _differs(table: Copied, key: Key, here: Row | None, there: Row | None) -> Mismatch | None:
    if here is None or there is None:
        if here is there:
            return None
        lacking = "source" if here is None else "copy"
        return Mismatch(table=table.name, key=key, lacking=lacking)
    columns = differing_columns(table, here, there)
    return Mismatch(table=table.name, key=key, columns=columns) if columns else None


def _rows_of(copy: Database, table: Copied) -> int:
    with copy.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table.table)).scalar_one())


def _added(source: Database, copy: Database, table: Copied) -> Iterator[list[Mismatch]]:
    last: Key | None = None
    while True:
        with copy.read() as connection:
            keys = keys_after(connection, table, last, MOST_ROWS)
        if not keys:
            return
        with source.read() as connection:
            known = by_keys(connection, table, keys)
        yield [
            Mismatch(table=table.name, key=key, lacking="source")
            for key in keys
            if key not in known and not is_own(table, key)
        ]
        last = keys[-1]


def _mark(
    source: Database, log: change_log.Noted, table: Copied, found: list[Mismatch]
) -> list[Mismatch]:
    """The same, each with whether the log has it."""
    if not found:
        return []
    with source.read() as connection:
        if not change_log.is_on(connection):
            return found
        noted = log.among(connection, table.name, [each.key for each in found])
    return [replace(each, pending=each.key in noted) for each in found]
