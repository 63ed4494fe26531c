"""Workers as people see them: one entry for each, whatever lanes it serves; and draining them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vibe_tasks.errors import UnknownWorkerError
from vibe_tasks.store import workers
from vibe_tasks.store.audit import By, note
from vibe_tasks.store.engine import Database
from vibe_tasks.suggestion import did_you_mean


def registry(rows: Iterable[Mapping[str, Any]], *, lease: float) -> list[dict[str, Any]]:
    """One entry for each worker, from the registry's rows, which are one for each lane.

    Args:
        rows: The registry.
        lease: Seconds of silence after which a worker that has not left is called lost.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        entry = found.setdefault(row["worker_id"], {**row, "lanes": []})
        entry["lanes"].append(row["lane"])
        entry.pop("lane", None)
        if row["status"] not in {"offline", "starting"} and row["age"] > lease:
            entry["status"] = "lost"
    return list(found.values())


def registered(ledger: Database, *, lease: float) -> list[dict[str, Any]]:
    """All workers that the registry has, as `registry` tells them."""
    with ledger.read() as connection:
        rows = workers.list_workers(connection)
    return registry(rows, lease=lease)


def drain(
    ledger: Database, names: Sequence[str], *, lease: float, by: By | None = None
) -> list[str]:
    """Let these workers take nothing new and end when they are idle; those that have not ended
    already, which are to be told (`tasks.remote.tell_to_drain`).

    Args:
        ledger: The ledger.
        names: The workers. All are looked at before one is asked.
        lease: As for `registry`.
        by: Who does it, for the audit trail.

    Raises:
        UnknownWorkerError: There is none of such a name.
    """
    known = {each["worker_id"]: each["status"] for each in registered(ledger, lease=lease)}
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            raise UnknownWorkerError(f"no worker {name}{near}; see `vibe workers list`")
    there = [name for name in names if known[name] != "offline"]
    if there:
        with ledger.begin() as connection:
            for name in there:
                workers.drain(connection, name)
            for name in there:
                note(connection, by, "worker.drain", name)
    return there
