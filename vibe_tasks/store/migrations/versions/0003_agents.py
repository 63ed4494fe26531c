"""Agents: breakers, result cache, usage and budgets, handlers of events, remote repositories."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

JSON_VALUE = sa.JSON().with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    op.add_column("plans", sa.Column("remote", sa.Text(), nullable=True))
    op.create_table(
        "breakers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("open_until", sa.Double(), nullable=True),
        sa.Column("successes", sa.Integer(), nullable=False),
        sa.Column("times_opened", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('closed', 'open', 'half_open')", name="breaker_state"),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "breaker_calls",
        sa.Column("breaker", sa.Text(), nullable=False),
        sa.Column("slot", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["breaker"], ["breakers.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("breaker", "slot"),
    )
    op.create_table(
        "breaker_trials",
        sa.Column("breaker", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["breaker"], ["breakers.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("breaker", "holder"),
    )
    op.create_table(
        "result_cache",
        sa.Column("cache", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("value", JSON_VALUE, nullable=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("held_until", sa.Double(), nullable=True),
        sa.Column("tag", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("used_at", sa.Double(), nullable=False),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.CheckConstraint("status IN ('making', 'ready')", name="cache_status"),
        sa.PrimaryKeyConstraint("cache", "key"),
    )
    op.create_index("idx_cache_used", "result_cache", ["cache", "used_at"])
    op.create_index("idx_cache_expires", "result_cache", ["cache", "expires_at"])
    op.create_index("idx_cache_tag", "result_cache", ["tag"])
    op.create_table(
        "cache_counts",
        sa.Column("cache", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("cache", "name"),
    )
    op.create_table(
        "agent_usage",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=True),
        sa.Column("task_id", sa.Text(), nullable=True),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", sa.Double(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("cached", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "attempt"),
    )
    op.create_index("idx_usage_plan", "agent_usage", ["plan_id", "task_id"])
    op.create_table(
        "budgets",
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("usd", sa.Double(), nullable=True),
        sa.Column("tokens", sa.BigInteger(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.CheckConstraint("scope IN ('plan', 'task', 'agent')", name="budget_scope"),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("plan_id", "scope", "name"),
    )
    op.create_table(
        "event_handlers",
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("handler", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("time_limit", sa.Double()),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("event_type", "handler"),
    )


def downgrade() -> None:
    op.drop_table("event_handlers")
    op.drop_table("budgets")
    op.drop_table("agent_usage")
    op.drop_table("cache_counts")
    op.drop_table("result_cache")
    op.drop_table("breaker_trials")
    op.drop_table("breaker_calls")
    op.drop_table("breakers")
    op.drop_column("plans", "remote")
