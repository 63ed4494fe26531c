"""What a ledger has archived, its events and its audit trail in a file: gzip, JSON lines.

The first line says what it is; each other one is a row, `{"table": …, "row": {…}}`; the last has
the number of rows of each table and the SHA-256 of all lines before it, so that a file that was cut
is known as one.
"""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from vibe_tasks.errors import InputError
from vibe_tasks.retention import rest_after
from vibe_tasks.store.archive_reading import (
    BATCH,
    KEYS,
    TABLES,
    delete_rows,
    rows_of,
    summed_up_to,
)
from vibe_tasks.store.engine import Database, file_of
from vibe_tasks.store.ledger_copy import is_part_of
from vibe_tasks.store.version import SCHEMA_VERSION

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What is in the file.

    Attributes:
        rows: Rows by table.
        size: Bytes of the file.
        deleted: Rows that were deleted from the ledger since, by table.
    """

    rows: Mapping[str, int]
    size: int
    deleted: Mapping[str, int] = field(default_factory=dict)


def export(ledger: Database, file: Path, *, before: float | None = None) -> Exported:
    """Write the file: under another name first, read again, and given its name when it is right.

    Args:
        ledger: The ledger.
        file: Where to; there must be none yet.
        before: Only rows of before this moment, in epoch seconds.

    Raises:
        InputError: It cannot be written, or is there already.
    """
    own = file_of(ledger.url)
    if own is not None and is_part_of(file, own):
        raise InputError(f"{file} is the ledger itself, or its log")
    if file.exists():
        raise InputError(f"{file} is there already; give another name")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror}") from error
    made = Path(name)
    try:
        with os.fdopen(handle, "wb") as raw:
            written = _write(ledger, raw, before)
            raw.flush()
            os.fsync(raw.fileno())
        if read_export(made) != written:
            raise InputError(f"cannot write {file}: what was written does not read back")
        size = made.stat().st_size
        made.replace(file)
        _keep_name(file.parent)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror or error}") from error
    finally:
        with suppress(FileNotFoundError):
            made.unlink()
    return Exported(rows=written, size=size)


def _keep_name(folder: Path) -> None:
    """See to it that a name in this folder outlives a loss of power."""
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)


def _write(ledger: Database, raw: IO[bytes], before: float | None) -> dict[str, int]:
    """Write all lines; rows by table."""
    counts: Counter[str] = Counter()
    digest = sha256()
    with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:

        def line(value: Mapping[str, Any]) -> None:
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            digest.update(text)
            packed.write(text)

        line({"vibe_export": FORMAT, "schema": SCHEMA_VERSION, "before": before})
        for table in TABLES:
            for row in rows_of(ledger, table, before=before):
                line({"table": table, "row": row})
                counts[table] += 1
        known = {table: counts[table] for table in TABLES}
        line({"end": known, "sha256": digest.hexdigest()})
    return known


def read_export(file: Path) -> dict[str, int]:
    """Read a file that was exported, to its end; rows by table.

    Raises:
        InputError: It is none, or it is damaged.
    """
    counts: Counter[str] = Counter(dict.fromkeys(TABLES, 0))
    for table, _ in exported_rows(file):
        counts[table] += 1
    return dict(counts)


def exported_rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Table and row of each line of a file that was exported.

    Raises:
        InputError: It is none, or it is damaged; known at the latest after the last row.
    """
    digest, counts = sha256(), Counter[str]()
    end: Mapping[str, Any] | None = None
    try:
        with gzip.open(file, "rb") as packed:
            first = packed.readline()
            if json.loads(first).get("vibe_export") != FORMAT:
                raise InputError(f"{file} is no export of this program")
            digest.update(first)
            for line in packed:
                value = json.loads(line)
                if end is not None or "end" in value:
                    end = value if end is None else {}
                    continue
                digest.update(line)
                counts[value["table"]] += 1
                yield value["table"], value["row"]
    except (OSError, EOFError, ValueError, AttributeError, KeyError) as error:
        raise InputError(f"{file} is damaged: {error}") from error
    told = (end or {}).get("end")
    # Of the tables that it names: a file of an earlier version has fewer.
    known = {table: counts[table] for table in {*counts, *(told or {})}}
    if end is None or (told, end.get("sha256")) != (known, digest.hexdigest()):
        raise InputError(f"{file} is damaged: its end does not fit what is in it")


def delete_exported(
    ledger: Database, file: Path, *, monotonic: Callable[[], float], pause: Callable[[float], None]
) -> dict[str, int]:
    """Delete from the archives what this file holds, and nothing else; rows by table. What the
    counters have not summed yet stays, and so do events and the audit trail: they have rules of
    their own.

    Args:
        ledger: The ledger.
        file: Which was exported from it.
        monotonic: Seconds that only ever grow.
        pause: Waits so many seconds.

    Raises:
        InputError: It is none, or it is damaged; nothing was deleted.
    """
    read_export(file)
    summed = summed_up_to(ledger)
    gone: Counter[str] = Counter(dict.fromkeys(KEYS, 0))
    for table, keys in _bites(file):
        chosen = [key for key in keys if table != "job_history_archive" or key <= summed]
        began = monotonic()
        gone[table] += delete_rows(ledger, table, chosen) if chosen else 0
        pause(rest_after(monotonic() - began))
    return dict(gone)


def _bites(file: Path) -> Iterator[tuple[str, list[int]]]:
    """The keys of the rows that may be deleted, so many at once, those of one table together."""
    keys: list[int] = []
    of = ""
    for table, row in exported_rows(file):
        if keys and (table != of or len(keys) == BATCH):
            yield of, keys
            keys = []
        if table in KEYS:
            of = table
            keys.append(row[KEYS[table]])
    if keys:
        yield of, keys
