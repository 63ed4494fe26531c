"""The tables around what happened: events, what jobs logged, and totals for metrics."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    Table,
    Text,
    text,
)

from vibe_tasks.store.scaling_tables import metadata  # with these, all tables are known
from vibe_tasks.store.schema import Json, Sequence

__all__ = ["event_rules", "events", "job_logs", "metadata", "metric_marks", "metric_totals"]

events = Table(
    "events",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=True),
    Column("source_app", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("hook_event_type", Text, nullable=False),
    Column("payload", Json, nullable=False),
    Column("chat", Json),
    Column("summary", Text),
    Column("model_name", Text),
    # Milliseconds since 1970, as whoever sent it says.
    Column("timestamp", BigInteger, nullable=False),
    # The check belongs to the column: SQLite could not drop the column otherwise.
    Column(
        "priority",
        Integer,
        CheckConstraint("priority BETWEEN 0 AND 3", name="event_priority"),
        nullable=False,
        server_default=text("0"),
    ),
    # Why it has this priority.
    Column("priority_metadata", Json),
    # Fields of whoever sent it that have no column of their own.
    Column("extra", Json),
    # When it came, by the ledger's clock; NULL: before there was this column.
    Column("received_at", Double),
    # A client resumes after the last id it saw: an id must never come back.
    sqlite_autoincrement=True,
)
# On SQLite claims wait while an index is written, and a session's ids are in the one below too.
_OF_SESSION = Index(
    "idx_events_session", events.c.session_id, events.c.id, info={"only": "postgresql"}
)
_OF_SESSION.ddl_if(dialect="postgresql")
Index("idx_events_source", events.c.source_app)
# With the id in them the newest are found without a look at the rows, as payloads may be large;
# SQLite's have it anyway.
_WITH_ID: Any = {"postgresql_include": ["id"]}
Index("idx_events_priority", events.c.priority.desc(), events.c.timestamp.desc(), **_WITH_ID)
Index(
    "idx_events_session_priority",
    events.c.session_id,
    events.c.priority.desc(),
    events.c.timestamp.desc(),
    **_WITH_ID,
)
Index(
    "idx_events_type_priority",
    events.c.hook_event_type,
    events.c.priority.desc(),
    events.c.timestamp.desc(),
    **_WITH_ID,
)

# What was set for events while all runs; what has no row is as the settings say.
event_rules = Table(
    "event_rules",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Json, nullable=False),
    Column("updated_at", Double, nullable=False),
)

# What a job said while it ran, in pieces of some lines; each line is a JSON object.
job_logs = Table(
    "job_logs",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("lines", Json, nullable=False),
)
Index("idx_job_logs_at", job_logs.c.at)

# Sums over all history: counters for metrics that no restart and no retention takes back.
metric_totals = Table(
    "metric_totals",
    metadata,
    Column("name", Text, primary_key=True),
    Column("labels", Text, primary_key=True),
    Column("value", Double, nullable=False),
)

# Up to which row of its source each kind of total has been summed.
metric_marks = Table(
    "metric_marks",
    metadata,
    Column("source", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)
