"""Sealing anew what a ledger holds, while all goes on: another key, the first key, or none.

Row by row, in the order of their keys; a value is replaced only where it still is what was read,
so what others write meanwhile is theirs. Killed half way, what was sealed anew stays so, and the
next call goes on with the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    RowMapping,
    Table,
    Text,
    cast,
    delete,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.store.agent_tables import agent_outputs, consensus_runs, result_cache
from vibe_tasks.store.engine import Database
from vibe_tasks.store.event_tables import job_logs
from vibe_tasks.store.operation_tables import jobs_archive, ledger_facts
from vibe_tasks.store.schema import chord_results, jobs, plans, tasks
from vibe_tasks.store.sealing import SEALED, SEALED_WITH, Sealing, in_the_open, key_of
from vibe_tasks.store.statement import encoded

PLACES: Mapping[Table, tuple[str, ...]] = {
    jobs: ("args", "result", "canvas"), plans: ("spec",), tasks: ("spec",),
    jobs_archive: ("row",), chord_results: ("result",), result_cache: ("value",),
    job_logs: ("lines",), consensus_runs: ("synthesis_json",), agent_outputs: ("content",),
}  # fmt: skip
"""Every column that is sealed."""

BATCH = 100
"""Rows in one look, and on SQLite in one transaction."""

PASSES = 5
"""Times that all is looked through at most, for what others have written plainly meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resealed:
    """What became of the values of a ledger.

    Attributes:
        written: Values that were sealed anew, or opened for good.
        left: Values that none of the keys opens, by their tables.
        key: Fingerprint of the key that all others are sealed with; None: they are plain.
    """

    written: int
    left: Mapping[str, int]
    key: str | None


def reseal(
    ledger: Database, sealing: Sealing, *, pause: Callable[[], object] = lambda: None
) -> Resealed:
    """Seal everything with the first key, or where there is none open it for good.

    Args:
        ledger: The ledger, opened without a sealing of its own: its values come as they are.
        sealing: The keys.
        pause: Called between two batches, to leave others their turn.
    """
    written = 0
    for _ in range(PASSES):
        changed, left = 0, {}
        for table, columns in PLACES.items():
            done, closed = _table(ledger, table, columns, sealing, pause)
            changed += done
            if closed:
                left[table.name] = closed
        written += changed
        if not changed:
            break
    key = None if sealing.keys.first is None else sealing.keys.first.name
    if not left:
        _note(ledger, key)
    return Resealed(written=written, left=left, key=key)


def _table(
    ledger: Database, table: Table, columns: Sequence[str], sealing: Sealing,
    pause: Callable[[], object],
) -> tuple[int, int]:  # fmt: skip
    """Go through a table once; values that were written, and those that cannot be opened."""
    keys = tuple(table.primary_key.columns)
    texts = [cast(table.c[name], Text).label(f"text_{name}") for name in columns]
    wanted = select(*keys, *texts).order_by(*keys).limit(BATCH)
    written = closed = 0
    last: tuple[Any, ...] | None = None
    while True:
        statement = wanted if last is None else wanted.where(_after(keys, last))
        with ledger.read() as connection:
            rows = connection.execute(statement).mappings().all()
        if not rows:
            return written, closed
        last = tuple(rows[-1][key.name] for key in keys)
        changes = []
        for row in rows:
            for name in columns:
                old = row[f"text_{name}"]
                new = None if old is None else _anew(old, sealing, table)
                if new is None:
                    closed += int(old is not None and _is_closed(old, sealing))
                else:
                    changes.append((row, name, old, new))
        written += _write(ledger, table, keys, changes)
        pause()


def _after(keys: Sequence[Column[Any]], last: tuple[Any, ...]) -> ColumnElement[bool]:
    if len(keys) == 1:
        return keys[0] > literal(last[0], keys[0].type)
    values = (literal(value, key.type) for key, value in zip(keys, last, strict=True))
    following: ColumnElement[bool] = tuple_(*keys) > tuple_(*values)
    return following


def _sealed_by(text: str) -> tuple[str | None, Any]:
    """The key that this JSON text is sealed with, and the seal; None for a plain one."""
    if not text.startswith(f'{{"{SEALED}"'):
        return None, None
    value = json.loads(text)
    return key_of(value[SEALED]), value[SEALED]


def _is_closed(text: str, sealing: Sealing) -> bool:
    name, seal = _sealed_by(text)
    return name is not None and sealing.opened_text(seal) is None


def _anew(text: str, sealing: Sealing, table: Table) -> str | None:
    """The JSON text that is to stand there instead; None: it may stay."""
    name, seal = _sealed_by(text)
    first = sealing.keys.first
    if name == (None if first is None else first.name):
        return None
    plain = text if name is None else sealing.opened_text(seal)
    if plain is None or first is None:
        return plain
    beside = in_the_open(json.loads(plain)) if table is tasks else {}
    return encoded({**sealing.seal(plain), **beside})


def _write(
    ledger: Database, table: Table, keys: Sequence[Column[Any]],
    changes: Sequence[tuple[RowMapping, str, str, str]],
) -> int:  # fmt: skip
    """Write what still is what was read; how many values.

    On PostgreSQL each by itself, as several rows at a time could lock crosswise with others.
    """
    if not changes:
        return 0
    if ledger.is_sqlite:
        with ledger.begin() as connection:
            return sum(_replace(connection, table, keys, *each) for each in changes)
    with ledger.write_once() as connection:
        return sum(_replace(connection, table, keys, *each) for each in changes)


def _replace(  # noqa: PLR0917  a change's parts
    connection: Connection, table: Table, keys: Sequence[Column[Any]],
    row: RowMapping, name: str, old: str, new: str,
) -> int:  # fmt: skip
    column = table.c[name]
    plain = connection.dialect.name == "sqlite" or isinstance(column.type, Text)
    value = literal(new, Text) if plain else cast(literal(new, Text), column.type)
    same = [key == row[key.name] for key in keys]
    changed = connection.execute(
        update(table).where(*same, cast(column, Text) == old).values({column: value})
    )
    return changed.rowcount


def _note(ledger: Database, key: str | None) -> None:
    """Write into the ledger what its values are sealed with now."""
    with ledger.begin() as connection:
        if key is None:
            connection.execute(delete(ledger_facts).where(ledger_facts.c.name == SEALED_WITH))
            return
        kind = sqlite if ledger.is_sqlite else postgresql
        fact = kind.insert(ledger_facts).values(name=SEALED_WITH, value=key)
        connection.execute(
            fact.on_conflict_do_update(index_elements=[ledger_facts.c.name], set_={"value": key})
        )
