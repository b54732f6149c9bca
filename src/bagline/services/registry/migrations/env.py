"""Alembic's entry: runs on the connection that `Database.migrate` hands over."""

from alembic import context

from bagline.services.registry import deletion_tables  # noqa: F401 (more tables)
from bagline.services.registry.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
