"""What a database says of itself where it is one side of a copy: rows of `ledger_facts`."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.store.copying.rows import READY
from vibe_tasks.store.operation_tables import MOVED_TO, OWN_PREFIX, ledger_facts

_F = ledger_facts.c

COPY_ID = f"{OWN_PREFIX}id"
"""On both sides: which copy it is."""

COPY_TO = f"{OWN_PREFIX}to"
"""On the source: where the copy goes, without a password."""

HOLDER = f"{OWN_PREFIX}holder"
"""On the copy: the process that may write to it; the latest one to come."""

FENCE = f"{OWN_PREFIX}fence"
"""On the source: the process that closed it."""

POSITION = f"{OWN_PREFIX}position."
"""On the copy, before a table's name: the key up to which it was copied, or `done`, as JSON."""


def own_facts(connection: Connection) -> Mapping[str, str]:
    """The facts that belong to this database alone, by name."""
    found = connection.execute(
        select(_F.name, _F.value).where(
            _F.name.startswith(OWN_PREFIX, autoescape=True) | _F.name.in_([MOVED_TO, READY])
        )
    )
    return {row.name: row.value for row in found}


def keep(connection: Connection, name: str, value: str) -> None:
    """Write a fact over what it was; of two that do so at once the later one stays."""
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(
        kind.insert(ledger_facts)
        .values(name=name, value=value)
        .on_conflict_do_update(index_elements=[_F.name], set_={"value": value})
    )


def drop_copy_facts(connection: Connection) -> None:
    """Forget all about a copy; that a ledger was moved or released stays."""
    connection.execute(delete(ledger_facts).where(_F.name.startswith(OWN_PREFIX, autoescape=True)))
