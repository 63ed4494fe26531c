"""Copying a ledger to another database, while it is in use.

First all rows, table by table in the order of their keys; then what has changed since, as the log
of changes says, until that is short. A copy that was killed goes on where it stopped: how far it
has come is written down with the rows. At the end all rows are compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

from vibe_tasks.errors import InputError, MovedError, SchemaError
from vibe_tasks.masking import masked
from vibe_tasks.store.copying import change_log, facts
from vibe_tasks.store.copying.comparison import Compared, compare, compare_open
from vibe_tasks.store.copying.rows import READY, TABLES, Key, batches, by_keys, is_own
from vibe_tasks.store.copying.target import DONE, Target, is_empty
from vibe_tasks.store.engine import Database, check_reachable
from vibe_tasks.store.in_use import Patience
from vibe_tasks.store.operation_tables import MOVED_TO
from vibe_tasks.store.version import SCHEMA_VERSION, create, found_version, is_copy
from vibe_tasks.words import counted

CHANGES = 1_000
"""Entries of the log that are carried over at a time; fewer of them are a short log."""

TOLD_EVERY = 200_000
"""Rows of a table after which one hears how many there were so far."""

ROUNDS = 5
"""How often rows that changed during a comparison are carried over and compared again, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a copy did since it was started, and what it found.

    Attributes:
        rows: Rows copied in the first pass.
        changes: Rows carried over because they changed.
        resumed: Whether it went on with an earlier one.
        compared: The comparison at its end; None before.
    """

    rows: int = 0
    changes: int = 0
    resumed: bool = False
    compared: Compared | None = None


class Copier:
    """One ledger and where it is copied to.

    Args:
        source: The ledger; goes on being used.
        copy: The other database: empty, without a schema, or an unfinished copy of this ledger.
        name: A name that no other has: of the copy where it begins, and of this process.
        patience: How to wait for tables of the source that others use.
        tell: Gets a line now and then, of what is being done.
    """

    def __init__(
        self,
        source: Database,
        copy: Database,
        *,
        name: str,
        patience: Patience,
        tell: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.source = source
        self.patience = patience
        self.tell = tell
        self.progress = Progress()
        self.name = name
        self._copy = copy
        self.target: Target

    @property
    def address(self) -> str:
        """Where the ledger goes, without a password."""
        return str(masked(self._copy.url))

    @property
    def compared(self) -> Compared:
        """The latest comparison, which there must have been."""
        assert self.progress.compared is not None  # noqa: S101  a mistake of ours
        return self.progress.compared

    def begin(self) -> None:
        """Look at both sides, and begin to note what changes.

        Raises:
            InputError: They cannot be the two sides of a copy; the message says why.
        """
        copy_id = self._agree()
        change_log.begin(self.source, self.patience)
        self.target = Target(self._copy, holder=self.name)
        self.target.take(copy_id, str(masked(self.source.url)))

    def copy_rows(self) -> None:
        """The first pass, from where it stopped the last time."""
        for table in TABLES:
            position = self.target.position(table)
            if position == DONE:
                continue
            before = told = self.progress.rows
            start: Key | None = position if isinstance(position, tuple) else None
            for rows in batches(self.source, table, start):
                written = self.target.write(table, rows, position=table.key_of(rows[-1]))
                self._count(rows=written)
                if self.progress.rows - told >= TOLD_EVERY:
                    told = self.progress.rows
                    self.tell(f"{table.name}: {told - before} rows so far")
            self.target.write(table, (), position=DONE)
            if copied := self.progress.rows - before:
                self.tell(f"{table.name}: {counted(copied, 'row')} copied")
        self.target.add_indexes()

    def follow(self) -> None:
        """Carry over what has changed, until the log is short."""
        while self._carry() >= CHANGES:
            pass

    def drain(self) -> None:
        """Carry over all that has changed; only where nobody writes any more."""
        while self._carry():
            pass

    def compare(self) -> Compared:
        """Compare both sides; what changed meanwhile is carried over and compared again."""
        self.tell("comparing")
        found = compare(self.source, self._copy)
        for _ in range(ROUNDS):
            if not found.pending:
                break
            self.follow()
            found = compare_open(self.source, self._copy, found)
        self.progress = replace(self.progress, compared=found)
        return found

    def _carry(self) -> int:
        with self.source.read() as connection:
            changes = change_log.oldest(connection, CHANGES)
        changed: dict[str, set[Key]] = defaultdict(set)
        for change in changes:
            changed[change.table].add(change.key)
        for table in TABLES:
            keys = changed.get(table.name)
            if keys:
                with self.source.read() as connection:
                    rows = by_keys(connection, table, keys)
                self.target.write(table, tuple(rows.values()), gone=keys)
                self._count(changes=sum(not is_own(table, key) for key in keys))
        if changes:
            with self.source.begin() as connection:
                change_log.forget(connection, changes)
        return len(changes)

    def _count(self, *, rows: int = 0, changes: int = 0) -> None:
        done = self.progress
        self.progress = replace(done, rows=done.rows + rows, changes=done.changes + changes)

    def _agree(self) -> str:
        """The id of the copy that both sides take part in."""
        require_schema(self.source, "the source")
        if self.source.engine.url == self._copy.engine.url:
            raise InputError("a ledger cannot be copied to itself")
        check_reachable(self._copy)
        if found_version(self._copy) is None:
            create(self._copy)
        require_schema(self._copy, "the copy")
        with self.source.read() as connection:
            here = facts.own_facts(connection)
            if is_copy(connection):
                raise MovedError("the source is a copy itself, that is not finished")
        with self._copy.read() as connection:
            there, empty = facts.own_facts(connection), is_empty(connection)
        known = here.get(facts.COPY_ID)
        if known is not None and known == there.get(READY):
            raise MovedError(f"the ledger has moved to {self.address} already")
        if known is not None and known == there.get(facts.COPY_ID):
            self.progress = replace(self.progress, resumed=True)
            return known
        if not empty or facts.COPY_ID in there:
            raise InputError(
                f"{self.address} is not empty, and no copy of this ledger: give an empty database"
            )
        if known is not None and masked(here[facts.COPY_TO]) != self.address:
            raise InputError(
                f"this ledger is being copied to {here[facts.COPY_TO]}; --undo ends that copy"
            )
        if MOVED_TO in here:
            raise MovedError(f"the ledger has moved to {here[MOVED_TO]}")
        if known is None:
            with self.source.begin() as connection:
                facts.keep(connection, facts.COPY_ID, self.name)
                facts.keep(connection, facts.COPY_TO, self.address)
        return known or self.name


def require_schema(database: Database, which: str) -> None:
    """Refuse a database that has not exactly this program's schema: a newer one has columns that
    would be left behind.

    Raises:
        SchemaError: It has another one, or none.
        UnavailableError: It does not answer.
    """
    check_reachable(database)
    version = found_version(database)
    if version != SCHEMA_VERSION:
        found = "no schema" if version is None else f"schema {version}"
        raise SchemaError(
            f"{which} has {found}, this program needs {SCHEMA_VERSION}: run `vibe db upgrade` on it"
        )
