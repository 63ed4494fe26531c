"""Tables for running a ledger for years: archived jobs, what people did, facts about the ledger."""

from __future__ import annotations

from sqlalchemy import Column, Double, Index, Table, Text, text

from vibe_tasks.store.event_tables import metadata  # with these, all tables are known
from vibe_tasks.store.schema import Json, Sequence

__all__ = ["audit", "jobs_archive", "ledger_facts", "metadata"]

# Jobs that ended long ago: what lists and filters ask for in columns, the whole row as one value.
jobs_archive = Table(
    "jobs_archive",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("plan_id", Text),
    Column("task_id", Text),
    Column("created_at", Double, nullable=False),
    Column("status_updated_at", Double, nullable=False),
    Column("archived_at", Double, nullable=False),
    Column("row", Json, nullable=False),
)
Index("idx_jobs_archive_ended", jobs_archive.c.status_updated_at)
_OF_PLAN = text("plan_id IS NOT NULL")
Index(
    "idx_jobs_archive_plan",
    jobs_archive.c.plan_id,
    jobs_archive.c.task_id,
    sqlite_where=_OF_PLAN,
    postgresql_where=_OF_PLAN,
)

# What people did: who, what, when, from where. Written in the transaction of what was done.
audit = Table(
    "audit",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("role", Text),
    Column("source", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text),
    Column("details", Json),
    # An entry's number never comes back: who has read up to one misses none.
    sqlite_autoincrement=True,
)
Index("idx_audit_time", audit.c.at)
Index("idx_audit_target", audit.c.target, audit.c.id)

# Facts about the ledger itself, by name: such as which programs can work on it.
ledger_facts = Table(
    "ledger_facts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

OWN_PREFIX = "copy."
"""What the facts of a copy under way begin with; such facts belong to their database alone."""

COPY_FROM = f"{OWN_PREFIX}from"
"""The fact of a copy that is not finished: where it comes from, without a password."""

MOVED_TO = "moved_to"
"""The fact of a ledger that was left: its new address, without a password."""

COPY_LOG = "copy_changes"
"""A table that is there only while the ledger is being copied; see `copying.change_log`."""
