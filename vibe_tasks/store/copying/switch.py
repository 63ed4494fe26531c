"""Moving to a copy: the ledger is closed, the rest carried over, all compared, the copy released.

Whatever fails before the release opens the ledger again, but for a death: then the next try goes
on, or takes it back (`undo`).
"""

from __future__ import annotations

from sqlalchemy import inspect, make_url

from vibe_tasks.errors import InputError, MovedError, UnavailableError
from vibe_tasks.masking import masked
from vibe_tasks.store.copying import change_log, facts, fence, numbers
from vibe_tasks.store.copying.comparison import Compared
from vibe_tasks.store.copying.copier import Copier
from vibe_tasks.store.copying.patience import patiently
from vibe_tasks.store.copying.rows import READY
from vibe_tasks.store.engine import DATABASE_ERRORS, Database, file_of
from vibe_tasks.store.in_use import Patience
from vibe_tasks.store.operation_tables import MOVED_TO, ledger_facts
from vibe_tasks.store.version import found_version


def switch(copier: Copier) -> Compared:
    """Move to the copy, whose rows are there and whose log is short.

    Work stands still from here on until it is over. With a mismatch nothing is moved: the ledger
    is open again and goes on being copied.

    Args:
        copier: A copy that was begun and has followed.

    Raises:
        UnavailableError: The copy fell silent while it was being released: nobody knows whether it
            was, so the ledger stays closed. All other errors open it again.
    """
    copier.tell(f"closing the ledger; it moves to {copier.address}")
    fence.put_up(copier.source, copier.address, copier.patience, by=copier.name)
    try:
        found = _finish(copier)
    except BaseException:
        if not copier.target.releasing or not _was_released(copier):
            _reopen(copier)
            raise
        found = copier.compared
    if found.count:
        _reopen(copier)
    else:
        change_log.end(copier.source, copier.patience)
    return found


def _finish(copier: Copier) -> Compared:
    copier.drain()
    with copier.source.read() as connection:
        last = {table.name: numbers.last_given(connection, table) for table in numbers.numbered()}
    found = copier.compare()
    if not found.count:
        copier.tell("putting indexes and rules in place")
        copier.target.complete(last)
        copier.target.release()
    return found


def _reopen(copier: Copier) -> None:
    copier.tell("opening the ledger again")
    fence.take_down(copier.source, copier.patience, by=copier.name)


def _was_released(copier: Copier) -> bool:
    """Whether the copy was released although we did not hear of it; if not, it will not be."""
    copy = copier.target.database
    try:
        with copy.begin() as connection:
            # Asked afterwards: this waits for a release that the server is still at.
            facts.keep(connection, facts.HOLDER, "")
            if READY not in facts.own_facts(connection):
                return False
            facts.drop_copy_facts(connection)
            return True
    except DATABASE_ERRORS as error:
        raise UnavailableError(
            f"{copier.address} fell silent at the last moment, and may have been released; "
            "--switch goes on when it answers, --undo takes it back"
        ) from error


def is_over(source: Database, copy: Database, patience: Patience) -> bool:
    """Whether the ledger has moved to this copy already; tidies up what a death may have left."""
    with source.read() as connection:
        here = facts.own_facts(connection)
    copy_id = here.get(facts.COPY_ID)
    if copy_id is None or MOVED_TO not in here or found_version(copy) is None:
        return False
    with copy.read() as connection:
        if facts.own_facts(connection).get(READY) != copy_id:
            return False
    change_log.end(source, patience)
    return True


def closed_for(source: Database) -> str | None:
    """Where a ledger goes or went that refuses writes; None for one that does not."""
    with source.read() as connection:
        if not inspect(connection).has_table(ledger_facts.name):
            return None
        return facts.own_facts(connection).get(MOVED_TO)


def undo(source: Database, copy: Database, patience: Patience, *, force: bool = False) -> bool:
    """End a copy, or take back a move that was not finished; whether there was one.

    The copy stays as it is, and is of no more use.

    Args:
        source: The ledger.
        copy: What it was being copied to.
        patience: How to wait for tables that others use.
        force: Also where the copy does not answer.

    Raises:
        InputError: It is being copied to another database.
        MovedError: The copy was released: work may have gone on there.
        UnavailableError: The copy does not answer, so nobody knows whether it was.
    """
    with source.read() as connection:
        known = inspect(connection).has_table(ledger_facts.name)
        here = facts.own_facts(connection) if known else {}
    copy_id = here.get(facts.COPY_ID)
    if copy_id is None:
        return False
    if _place(here[facts.COPY_TO]) != _place(copy.url):
        raise InputError(f"this ledger is being copied to {masked(here[facts.COPY_TO])}")
    try:
        _disown(copy, copy_id)
    except (FileNotFoundError, *DATABASE_ERRORS) as error:
        if not force:
            raise UnavailableError(
                f"{masked(copy.url)} does not answer: was it released? "
                "Give --force where it is gone for good"
            ) from error
    fence.take_down(source, patience)
    change_log.end(source, patience)
    patiently(source, facts.drop_copy_facts, patience)
    return True


def _place(url: str) -> tuple[object, ...]:
    """What makes two URLs the same database, whoever asks."""
    file, parts = file_of(url), make_url(url)
    return ("sqlite", file.absolute()) if file else (parts.host, parts.port, parts.database)


def _disown(copy: Database, copy_id: str) -> None:
    file = file_of(copy.url)
    if file is not None and not file.exists():
        raise FileNotFoundError(file)  # and a look into it would make one
    with copy.begin() as connection:
        if not inspect(connection).has_table(ledger_facts.name):
            return  # empty, or of an older schema: not released
        if facts.own_facts(connection).get(facts.COPY_ID) == copy_id:
            facts.keep(connection, facts.HOLDER, "")
        # Asked afterwards: that has waited for a release that was under way.
        if facts.own_facts(connection).get(READY) == copy_id:
            raise MovedError(
                f"{masked(copy.url)} was released, work may have gone on there; "
                "to come back, copy it to an empty database and switch"
            )
