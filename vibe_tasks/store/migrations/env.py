"""Runs migrations on the connection that `store.upgrade` hands over.

All versions run in the caller's one transaction, on SQLite too, whose DDL is transactional
once the driver does not commit by itself: what dies half way leaves the schema as it was.
So a version must not switch `PRAGMA foreign_keys`, which SQLite ignores inside a transaction.
"""

from __future__ import annotations

from alembic import context

from vibe_tasks.store.operation_tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
