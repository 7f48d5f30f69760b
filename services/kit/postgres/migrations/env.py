"""Alembic environment shared by all services: one schema with its version table, on an open connection."""

from __future__ import annotations

from alembic import context

SCHEMA = context.config.attributes["schema"]

context.configure(
    connection=context.config.attributes["connection"],
    version_table="alembic_version",
    version_table_schema=SCHEMA,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
