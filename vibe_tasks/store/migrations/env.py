"""Runs migrations on the connection that `store.upgrade` hands over.

Each version is one transaction, on SQLite too, whose DDL is transactional once the driver
does not commit by itself: a migration that dies half way leaves the old schema as it was.
"""

from __future__ import annotations

from alembic import context

from vibe_tasks.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
