"""The tables around scaling: what was decided, and the rules that were changed while all runs."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Double, Index, Integer, Table, Text

from vibe_tasks.store.agent_tables import metadata  # with these, all tables are known
from vibe_tasks.store.schema import Json, Sequence

__all__ = ["metadata", "scale_decisions", "scaling_rules"]

scale_decisions = Table(
    "scale_decisions",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("lane", Text, nullable=False),
    Column("provisioner", Text, nullable=False),
    Column("before", Integer, nullable=False),
    Column("target", Integer, nullable=False),
    # What the provisioner made of it; NULL until it has answered.
    Column("applied", Integer),
    Column("reason", Text, nullable=False),
    Column("figures", Json, nullable=False),
    Column("error", Text),
)
Index("idx_scale_lane", scale_decisions.c.lane, scale_decisions.c.id)

# What was set for a lane while all runs; NULL: as the settings say.
scaling_rules = Table(
    "scaling_rules",
    metadata,
    Column("lane", Text, primary_key=True),
    Column("min_size", Integer),
    Column("max_size", Integer),
    Column("up_depth", Integer),
    Column("down_depth", Integer),
    Column("up_age", Double),
    Column("down_after", Double),
    CheckConstraint("min_size >= 0 AND max_size >= 1", name="scaling_bounds"),
)
