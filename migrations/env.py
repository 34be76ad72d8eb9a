"""Alembic's entry: runs the revisions on the connection that `indexer.database.migrate` gives it."""

from alembic import context
from sqlalchemy import text

from indexer.tables import Table

# Any fixed number: two migrations at once must wait for each other.
MIGRATION_LOCK = 0x676C_7970_6873

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Table.metadata, transactional_ddl=True)
with context.begin_transaction():
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    context.run_migrations()
