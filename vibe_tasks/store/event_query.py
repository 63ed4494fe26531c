"""Reading events: the newest of two buckets, those after an id, and what there is to filter by.

Ids and times are looked up first, each in an index by level: payloads may be large, and are read
only for the events that are asked for. Source: phase-11-priority-events, WP1 and WP2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from heapq import merge
from itertools import islice
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Text,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    text,
    union_all,
)

from vibe_tasks.buckets import event_time, merge_buckets
from vibe_tasks.event_priority import EventPriority
from vibe_tasks.store.event_rows import COLUMNS, EventRow, event_rows
from vibe_tasks.store.event_tables import events, metric_marks
from vibe_tasks.store.statement import Statement

TRIMMED = "events.trimmed"
"""Mark up to which id retention has removed events."""

NEAR = 8
"""Among so many times as many events as are asked for a session's are looked for first."""

MOST_NAMES = 5_000
"""Names of one kind that `filter_options` gives at most."""

_E = events.c
_LATEST_ID = (1 << 63) - 1
_BY: Mapping[str, ColumnElement[str]] = {"session": _E.session_id, "type": _E.hook_event_type}


def recent(
    connection: Connection,
    *,
    limit: int,
    session_ids: Sequence[str] = (),
    types: Sequence[str] = (),
    min_priority: int = 0,
    priority_limit: int,
    regular_limit: int,
    until: int | None = None,
) -> tuple[EventRow, ...]:
    """The newest events of both buckets by their time, oldest first.

    Args:
        connection: For reading.
        limit: Most events in all; what is too much is taken from the regular ones first.
        session_ids: Only of these sessions; empty: of all.
        types: Only of these types; empty: of all.
        min_priority: Only of this level and above, from 0 to 3.
        priority_limit: Most events of the levels 1 to 3.
        regular_limit: Most events of level 0.
        until: Only up to this id; None: all.
    """
    most = {
        level: min(limit, priority_limit if level else regular_limit)
        for level in EventPriority
        if level >= min_priority
    }
    levels = tuple(sorted(int(level) for level, size in most.items() if size > 0))
    if not levels:
        return ()
    values: dict[str, Any] = {
        "until": _LATEST_ID if until is None else until,
        "grave": min(limit, priority_limit), "regular": min(limit, regular_limit),
    }  # fmt: skip
    one_of = bool(session_ids and types)
    if one_of:
        sqlite = connection.dialect.name == "sqlite"
        values["types"] = json.dumps(list(types)) if sqlite else list(types)
    by = "session" if session_ids else "type" if types else None
    names = tuple(dict.fromkeys(session_ids or types)) or ("",)
    if len(names) == 1:
        view = _view(levels, by, of_types=one_of)
        rows = event_rows(view.all(connection, {**values, "name": names[0]}))
    else:
        newest = _newest(levels, by, of_types=one_of)
        found = [
            each for name in names for each in newest.all(connection, {**values, "name": name})
        ]
        rows = list(_rows(connection, _chosen(found, values)).values())
    grave = [row for row in rows if row["priority"]]
    regular = [row for row in rows if not row["priority"]]
    return tuple(merge_buckets(grave, regular, limit=limit, time=event_time))


def after(
    connection: Connection,
    last_seen: int,
    *,
    limit: int,
    session_ids: Sequence[str] = (),
    min_priority: int = 0,
    until: int | None = None,
) -> tuple[EventRow, ...]:
    """The first events with a greater id, by id.

    On PostgreSQL an event may be committed after one with a greater id: who must miss none passes
    as `until` how far an `EventFeed` has come.

    Args:
        connection: For reading.
        last_seen: The last id that the caller has.
        limit: Most events.
        session_ids: Only of these sessions; empty: of all.
        min_priority: Only of this level and above, from 0 to 3.
        until: Only up to this id; None: all.
    """
    values: dict[str, Any] = {
        "last_seen": last_seen, "least": min_priority, "limit": limit,
        "until": _LATEST_ID if until is None else until,
    }  # fmt: skip
    if not session_ids:
        return tuple(event_rows(_AFTER.all(connection, values)))
    ids = [
        _ids_of_session(connection, {**values, "session": session})
        for session in dict.fromkeys(session_ids)
    ]
    chosen = list(islice(merge(*ids), limit))
    by_id = _rows(connection, chosen)
    return tuple(by_id[each] for each in chosen if each in by_id)


def _ids_of_session(connection: Connection, values: Mapping[str, Any]) -> list[int]:
    """The first ids of a session after one.

    SQLite has no index for that. A large session is among the next events of all; a small one is
    read as a whole, in an index by level and time.
    """
    if connection.dialect.name == "sqlite":
        near = min(values["until"], values["last_seen"] + NEAR * values["limit"])
        found = _NEAR_OF_SESSION.all(connection, {**values, "until": near})
        if len(found) == values["limit"] or near == values["until"]:
            return [row[0] for row in found]
    return [row[0] for row in _AFTER_OF_SESSION.all(connection, values)]


def filter_options(connection: Connection) -> dict[str, list[str]]:
    """What can be filtered by: `source_apps`, `session_ids` and `hook_event_types`, each in order
    and at most 5,000.
    """
    return {
        f"{name}s": [row[0] for row in statement.all(connection, {})]
        for name, statement in _OPTIONS.items()
    }


def statistics(connection: Connection) -> dict[str, Any]:
    """How many events there are: `total`, those of the buckets `priority` and `regular`, and by
    level's name in `levels`.

    Counts every row of an index: 25 ms for a million on SQLite. Whoever tells many keeps it for a
    while.
    """
    counted: dict[int, int] = dict(_COUNTS.all(connection, {}))
    levels = {level.label: counted.get(int(level), 0) for level in EventPriority}
    return {
        "total": sum(levels.values()),
        "priority": sum(levels.values()) - levels[EventPriority.REGULAR.label],
        "regular": levels[EventPriority.REGULAR.label],
        "levels": levels,
    }


def last_id(connection: Connection) -> int:
    """The greatest id, 0 without any events."""
    row = _LAST.first(connection, {})
    return row[0] or 0 if row else 0


def trimmed_until(connection: Connection) -> int:
    """The greatest id that retention has removed, 0 where it has removed none.

    Who has seen all up to an id below it may have missed some.
    """
    row = _TRIMMED.first(connection, {})
    return row[0] if row else 0


def _chosen(candidates: Sequence[tuple[Any, ...]], values: Mapping[str, int]) -> list[int]:
    """The ids of the newest of both buckets among these, each a time, an id and a level."""
    grave = sorted(row for row in candidates if row[2])[-values["grave"] :]
    regular = sorted(row for row in candidates if not row[2])[-values["regular"] :]
    return [row[1] for row in (*grave, *regular)]


@cache
def _view(levels: tuple[int, ...], by: str | None, *, of_types: bool) -> Statement:
    """The events that are the newest of their bucket, in any order: ids and payloads at once.

    For several names at once it would read the payloads of as many views.
    """
    return Statement(
        {
            dialect: select(*COLUMNS).where(
                _has_id_of(_buckets(levels, by, of_types, dialect), dialect)
            )
            for dialect in ("sqlite", "postgresql")
        }
    )


def _buckets(levels: tuple[int, ...], by: str | None, of_types: bool, dialect: str) -> Select[Any]:
    """The ids of the newest of both buckets, of which the one has several levels."""
    parts = [_newest_of(level, by, of_types, dialect) for level in levels if not level]
    if grave := [_newest_of(level, by, of_types, dialect) for level in levels if level]:
        each = _all_of(grave).subquery()
        newest = select(each).order_by(each.c.timestamp.desc(), each.c.id.desc())
        parts.append(newest.limit(bindparam("grave", type_=BigInteger())))
    return select(_all_of(parts).subquery().c.id)


def _has_id_of(ids: Select[Any], dialect: str) -> ColumnElement[bool]:
    if dialect == "sqlite":
        return _E.id.in_(ids)
    # As an array, which the planner takes for few, whatever it thinks of the limits.
    return _E.id == any_(func.array(ids.scalar_subquery()))


@cache
def _newest(levels: tuple[int, ...], by: str | None, *, of_types: bool) -> Statement:
    """The newest of each of these levels, together in one statement."""
    return Statement(
        {
            dialect: _all_of([_newest_of(level, by, of_types, dialect) for level in levels])
            for dialect in ("sqlite", "postgresql")
        }
    )


def _all_of(parts: Sequence[Select[Any]]) -> Any:
    # SQLite takes a LIMIT within a union only in a subquery.
    return union_all(*(select(part.subquery()) for part in parts))


def _newest_of(level: int, by: str | None, of_types: bool, dialect: str) -> Select[Any]:
    # The level is a literal, so that each has a range of the index in the order of time.
    found = select(_E.timestamp, _E.id, _E.priority).where(
        _E.priority == literal_column(str(level)),
        _E.id <= bindparam("until", type_=BigInteger()),
    )
    if by is not None:
        found = found.where(_BY[by] == bindparam("name", type_=Text()))
    if of_types:
        found = found.where(_is_one_of(_E.hook_event_type, "types", Text(), dialect))
    return found.order_by(_E.timestamp.desc(), _E.id.desc()).limit(
        bindparam("grave" if level else "regular", type_=BigInteger())
    )


def _is_one_of(column: ColumnElement[Any], name: str, kind: Any, dialect: str) -> Any:
    """Whether a column has one of a parameter's values: an array, or its JSON text for SQLite."""
    if dialect == "postgresql":
        return column == any_(bindparam(name, type_=ARRAY(kind)))
    values = func.json_each(bindparam(name, type_=Text())).table_valued("value")
    return column.in_(select(values.c.value))


def _rows(connection: Connection, ids: Sequence[int]) -> dict[int, EventRow]:
    """Events by their id; those that are gone are left out."""
    if not ids:
        return {}
    listed = ",".join(map(str, ids))
    sqlite = connection.dialect.name == "sqlite"
    found = _BY_IDS.all(connection, {"ids": f"[{listed}]" if sqlite else f"{{{listed}}}"})
    return {row["id"]: row for row in event_rows(found)}


def _names(column: str) -> Statement:
    """The different values of an indexed column: from each to the next, past all of the same."""
    return Statement(
        text(
            "WITH RECURSIVE names (name) AS ("  # noqa: S608  a column of ours
            f"SELECT min({column}) FROM events "
            f"UNION ALL SELECT (SELECT min({column}) FROM events WHERE {column} > names.name) "
            "FROM names WHERE names.name IS NOT NULL) "
            f"SELECT name FROM names WHERE name IS NOT NULL LIMIT {MOST_NAMES}"
        )
    )


_OPTIONS = {name: _names(name) for name in ("source_app", "session_id", "hook_event_type")}
_COUNTS = Statement(select(_E.priority, func.count()).group_by(_E.priority))
_LAST = Statement(select(func.max(_E.id)))
_TRIMMED = Statement(
    select(metric_marks.c.position).where(metric_marks.c.source == literal_column(f"'{TRIMMED}'"))
)
_BY_IDS = Statement(
    {
        "sqlite": select(*COLUMNS).where(_is_one_of(_E.id, "ids", BigInteger(), "sqlite")),
        # As one text: the driver takes longer to write an array of 300 numbers than to send it.
        "postgresql": select(*COLUMNS).where(
            _E.id == any_(cast(bindparam("ids", type_=Text()), ARRAY(BigInteger)))
        ),
    }
)
_LATER = (
    _E.id > bindparam("last_seen", type_=BigInteger()),
    _E.id <= bindparam("until", type_=BigInteger()),
    _E.priority >= bindparam("least", type_=BigInteger()),
)
_MOST = bindparam("limit", type_=BigInteger())
_AFTER = Statement(select(*COLUMNS).where(*_LATER).order_by(_E.id).limit(_MOST))
_OF_SESSION = _E.session_id == bindparam("session", type_=Text())
_NEAR_OF_SESSION = Statement(
    select(_E.id).where(func.unlikely(_OF_SESSION), *_LATER).order_by(_E.id).limit(_MOST)
)
_AFTER_OF_SESSION = Statement(
    {
        dialect: select(_E.id).where(condition, *_LATER).order_by(_E.id).limit(_MOST)
        for dialect, condition in (
            # SQLite takes a range of ids for few rows, and would read those of all sessions.
            ("sqlite", func.likelihood(_OF_SESSION, literal_column("0.0001"))),
            ("postgresql", _OF_SESSION),
        )
    }
)
