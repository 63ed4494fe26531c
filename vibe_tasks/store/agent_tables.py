"""The tables around agents: votes, breakers, the result cache, usage and budgets, event handlers.

State that workers share is here and not in the broker: it survives a flush, and there is one thing
to back up.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from vibe_tasks.store.schema import Json, Sequence, metadata

__all__ = [
    "agent_outputs",
    "agent_usage",
    "breaker_calls",
    "breaker_trials",
    "breakers",
    "budgets",
    "cache_counts",
    "consensus_runs",
    "event_handlers",
    "metadata",
    "result_cache",
]

consensus_runs = Table(
    "consensus_runs",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=True),
    Column("spec_id", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("run_timestamp", BigInteger, nullable=False),
    Column("consensus_ok", Integer, nullable=False),
    Column("degraded", Integer, nullable=False, server_default=text("0")),
    Column("synthesis_json", Text),
    UniqueConstraint("spec_id", "stage", "run_timestamp", name="uq_consensus_run"),
)
Index("idx_consensus_spec_stage", consensus_runs.c.spec_id, consensus_runs.c.stage)
Index("idx_consensus_timestamp", consensus_runs.c.run_timestamp)

agent_outputs = Table(
    "agent_outputs",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=True),
    Column("run_id", Sequence, ForeignKey("consensus_runs.id", ondelete="CASCADE"), nullable=False),
    Column("agent_name", Text, nullable=False),
    Column("model_version", Text),
    Column("content", Text, nullable=False),
    Column("output_timestamp", BigInteger, nullable=False),
)
Index("idx_agent_outputs_run", agent_outputs.c.run_id)
Index("idx_agent_outputs_agent", agent_outputs.c.agent_name)

breakers = Table(
    "breakers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("changed_at", Double, nullable=False),
    # While open: from when on a few calls may try whether the other side answers again.
    Column("open_until", Double),
    Column("successes", Integer, nullable=False),
    Column("times_opened", Integer, nullable=False),
    Column("reason", Text),
    CheckConstraint("state IN ('closed', 'open', 'half_open')", name="breaker_state"),
)

# Calls of the last window, counted by slots of time: bounded, however many calls there are.
breaker_calls = Table(
    "breaker_calls",
    metadata,
    Column("breaker", Text, ForeignKey("breakers.name", ondelete="CASCADE"), primary_key=True),
    Column("slot", BigInteger, primary_key=True),
    Column("calls", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
)

# Who may try while the breaker is half open; one that dies leaves its place after a while.
breaker_trials = Table(
    "breaker_trials",
    metadata,
    Column("breaker", Text, ForeignKey("breakers.name", ondelete="CASCADE"), primary_key=True),
    Column("holder", Text, primary_key=True),
    Column("until", Double, nullable=False),
)

result_cache = Table(
    "result_cache",
    metadata,
    # Caches are bounded and counted one by one: agents' changes, and those of users' own code.
    Column("cache", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("value", Json),
    Column("size", Integer, nullable=False),
    # Who makes it; the others wait while this attempt holds its lease.
    Column("holder", Text),
    Column("held_until", Double),
    # What it belongs to, so that the results of work that came to nothing can be dropped.
    Column("tag", Text),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("used_at", Double, nullable=False),
    Column("hits", Integer, nullable=False),
    CheckConstraint("status IN ('making', 'ready')", name="cache_status"),
)
Index("idx_cache_used", result_cache.c.cache, result_cache.c.used_at)
Index("idx_cache_expires", result_cache.c.cache, result_cache.c.expires_at)
Index("idx_cache_tag", result_cache.c.tag)

cache_counts = Table(
    "cache_counts",
    metadata,
    Column("cache", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

agent_usage = Table(
    "agent_usage",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("plan_id", Text),
    Column("task_id", Text),
    Column("agent", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("session_id", Text),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_usd", Double, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("cached", Integer, nullable=False),
    Column("updated_at", Double, nullable=False),
)
Index("idx_usage_plan", agent_usage.c.plan_id, agent_usage.c.task_id)

budgets = Table(
    "budgets",
    metadata,
    Column("plan_id", Text, ForeignKey("plans.id", ondelete="CASCADE"), primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("usd", Double),
    Column("tokens", BigInteger),
    Column("seconds", Double),
    CheckConstraint("scope IN ('plan', 'task', 'agent')", name="budget_scope"),
)

event_handlers = Table(
    "event_handlers",
    metadata,
    Column("event_type", Text, primary_key=True),
    Column("handler", Text, primary_key=True),
    Column("lane", Text, nullable=False),
    Column("time_limit", Double),
    Column("created_at", Double, nullable=False),
)
