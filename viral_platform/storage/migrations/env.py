"""Alembic's entry: runs the migrations on the connection that `schema.py` hands in."""

from alembic import context

from viral_platform.storage.tables import SCHEMA, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
    include_name=lambda name, type_, _parents: type_ != "schema" or name == SCHEMA,
)
with context.begin_transaction():
    context.run_migrations()
