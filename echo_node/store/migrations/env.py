"""Run by Alembic, in the transaction that :meth:`Database.migrate` has begun."""

from alembic import context

from echo_node.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
