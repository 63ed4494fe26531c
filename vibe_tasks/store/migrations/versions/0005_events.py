"""Events with priorities, what jobs log, trace context, totals for metrics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

JSON_VALUE = sa.JSON().with_variant(sa.Text(), "sqlite")

LEVELS = {
    1: ("Notification", "Stop", "SubagentStop", "UserPromptSubmit"),
    2: ("ESCALATED", "FILE_FAILED", "JOB_DEAD", "PLAN_FAILED", "TASK_DEAD"),
    3: ("BREAKER_CLOSED", "BREAKER_OPENED", "SCALED"),
}
"""The rules of this version, written out: a migration does the same for ever."""

BACKFILLED = '{"rule":"backfill"}'

INDEXES = {
    "idx_events_priority": (),
    "idx_events_session_priority": ("session_id",),
    "idx_events_type_priority": ("hook_event_type",),
}

KEPT = "vibe_tasks.kept"
"""Where an older version keeps what it has no columns for: a key of the payload; with it the
payload itself where that is no object."""

BATCH = 1_000
"""Events in memory at once; a payload may be large."""


def upgrade() -> None:
    op.add_column("jobs", sa.Column("trace", sa.Text(), nullable=True))
    _upgrade_events()
    op.create_table(
        "event_rules",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", JSON_VALUE, nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "job_logs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("lines", JSON_VALUE, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "attempt", "seq"),
    )
    op.create_index("idx_job_logs_at", "job_logs", ["at"])
    op.create_table(
        "metric_totals",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels"),
    )
    op.create_table(
        "metric_marks",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source"),
    )


def downgrade() -> None:
    for name in ("metric_marks", "metric_totals", "job_logs", "event_rules"):
        op.drop_table(name)
    _downgrade_events()
    op.drop_column("jobs", "trace")


def _upgrade_events() -> None:
    priority = "priority INTEGER DEFAULT 0 NOT NULL"
    check = "CONSTRAINT event_priority CHECK (priority BETWEEN 0 AND 3)"
    op.execute(f"ALTER TABLE events ADD COLUMN {priority} {check}")
    for name in ("priority_metadata", "extra"):
        op.add_column("events", sa.Column(name, JSON_VALUE, nullable=True))
    op.add_column("events", sa.Column("received_at", sa.Double(), nullable=True))
    for level, kinds in LEVELS.items():
        ranked = sa.text(
            "UPDATE events SET priority = :level, priority_metadata = :why"
            " WHERE hook_event_type IN :types"
        ).bindparams(sa.bindparam("types", expanding=True))
        given = {"level": level, "why": BACKFILLED, "types": list(kinds)}
        op.get_bind().execute(ranked, given)
    _change_payloads(f"payload LIKE '%{KEPT}%'", _taken_back)
    for name, first in INDEXES.items():
        order = [sa.text("priority DESC"), sa.text("timestamp DESC")]
        op.create_index(name, "events", [*first, *order], postgresql_include=["id"])
    op.create_index("idx_events_source", "events", ["source_app"])


def _downgrade_events() -> None:
    for name in (*INDEXES, "idx_events_source"):
        op.drop_index(name, "events")
    as_backfilled = " OR ".join(
        f"(priority = {level} AND hook_event_type IN ({_literals(kinds)}))"
        for level, kinds in LEVELS.items()
    )
    named = _literals(kind for kinds in LEVELS.values() for kind in kinds)
    as_backfilled += f" OR (priority = 0 AND hook_event_type NOT IN ({named}))"
    _change_payloads(
        f"extra IS NOT NULL OR payload LIKE '%{KEPT}%' OR NOT ({as_backfilled})"
        " OR priority_metadata LIKE '%sent%'",
        _kept,
    )
    for name in ("received_at", "extra", "priority_metadata", "priority"):
        op.drop_column("events", name)


def _literals(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _change_payloads(where: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Give these events the columns that `change` makes of a row, a batch at a time.

    JSON columns are texts on both sides.
    """
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        for name in ("payload", "priority_metadata"):
            where = where.replace(f"{name} LIKE", f"CAST({name} AS text) LIKE")
    names = ("payload", "extra", "priority", "priority_metadata")
    columns = ", ".join(
        name if name == "priority" else f"CAST({name} AS text) AS {name}" for name in names
    )
    batch = sa.text(
        f"SELECT id, {columns} FROM events WHERE id > :after AND ({where})"  # noqa: S608 - ours
        f" ORDER BY id LIMIT {BATCH}"
    )
    after = 0
    while rows := connection.execute(batch, {"after": after}).mappings().all():
        changed = [{"row": row["id"], **change(dict(row))} for row in rows]
        sets = ", ".join(
            f"{name} = CAST(:{name} AS {_kind_of(connection, name)})"
            for name in changed[0]
            if name != "row"
        )
        connection.execute(sa.text(f"UPDATE events SET {sets} WHERE id = :row"), changed)  # noqa: S608 - ours
        after = rows[-1]["id"]


def _kind_of(connection: sa.Connection, name: str) -> str:
    if name == "priority":
        return "integer"
    return "json" if connection.dialect.name == "postgresql" else "text"


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    """The payload with what the older schema has no columns for."""
    payload = json.loads(row["payload"])
    kept = {
        "priority": row["priority"],
        "priority_metadata": json.loads(row["priority_metadata"] or "null"),
        "extra": json.loads(row["extra"] or "null"),
    }
    if not isinstance(payload, dict) or KEPT in payload:
        kept["payload"], payload = payload, {}
    return {"payload": json.dumps({**payload, KEPT: kept})}


def _taken_back(row: dict[str, Any]) -> dict[str, Any]:
    """The columns of which `_kept` made a payload; the row as it is where it did not."""
    payload = json.loads(row["payload"])
    if not isinstance(payload, dict) or not _is_ours(payload.get(KEPT)):
        return {name: row[name] for name in ("payload", "extra", "priority", "priority_metadata")}
    kept = payload.pop(KEPT)
    return {
        "payload": json.dumps(kept.get("payload", payload)),
        "extra": _json_or_none(kept["extra"]),
        "priority": kept["priority"],
        "priority_metadata": _json_or_none(kept["priority_metadata"]),
    }


def _is_ours(kept: Any) -> bool:
    """Whether `_kept` made this: anybody may have put something under the same key."""
    return (
        isinstance(kept, dict)
        and kept.keys() - {"payload"} == {"priority", "priority_metadata", "extra"}
        and type(kept["priority"]) is int
        and 0 <= kept["priority"] <= 3
    )


def _json_or_none(value: Any) -> str | None:
    return None if value is None else json.dumps(value)
