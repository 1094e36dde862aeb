"""Runs revisions on the connection that the caller opened; Alembic loads this file by its path."""

from alembic import context

from tacit.adapters.sql.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
