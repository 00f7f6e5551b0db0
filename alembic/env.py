"""Alembic's environment for tradebook's migrations.

The package passes the connection to use in the configuration's attributes. The stock `alembic` command has none, and
connects to `-x url=...`, to `sqlalchemy.url` of alembic.ini, or to the database that the environment variables name
(`tradebook config` shows them).
"""

from __future__ import annotations

from typing import Any

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.runtime.migration import MigrationInfo
from sqlalchemy import Connection
from sqlalchemy.schema import SchemaItem

from tradebook.adapters import orm, types
from tradebook.adapters.engine.factory import make_engine
from tradebook.adapters.migrations.autogenerate import complete_revision
from tradebook.adapters.migrations.lock import migration_lock
from tradebook.adapters.migrations.revisions import ReportLine
from tradebook.config import DatabaseEnvironment


def include_object(
    _item: SchemaItem, name: str | None, kind: str, reflected: bool, _compared_to: object
) -> bool:
    """Exclude the account key from comparison: on SQLite it is a unique constraint, in the tables the primary key."""
    is_account_key = kind == "unique_constraint" and str(name).startswith("pk_")
    return not (reflected and is_account_key)


def render_item(kind: str, item: Any, autogen: AutogenContext) -> str | bool:
    """Render the package's own column types by their names in a generated revision."""
    if kind == "primary_key" and isinstance(item, types.AccountKey):
        autogen.imports.add("from tradebook.adapters import types")
        columns = ", ".join(repr(column.name) for column in item.columns)
        return f"types.AccountKey({columns}, name={item.name!r})"
    if kind != "type":
        return False
    if isinstance(item, types.EnumText):
        return "sa.Text()"
    if type(item).__module__ == types.__name__:
        autogen.imports.add("from tradebook.adapters import types")
        return f"types.{type(item).__name__}()"
    return False


def run(connection: Connection, report: ReportLine) -> None:
    """Run the migrations, each in its own transaction on PostgreSQL, all in one on SQLite."""
    with migration_lock(connection, report):
        context.configure(
            connection=connection,
            target_metadata=orm.metadata,
            include_object=include_object,
            render_item=render_item,
            transactional_ddl=True,
            transaction_per_migration=True,
            process_revision_directives=complete_revision,
            on_version_apply=lambda step, **_: report(_step_text(step)),
            # SQLite has no identity columns (an id is the rowid), so each would be reported as a change.
            compare_server_default=connection.dialect.name != "sqlite",
        )
        with context.begin_transaction():
            context.run_migrations()


def _step_text(step: MigrationInfo) -> str:
    """Write a step as text, such as `up to 0002: corrections and seals`."""
    if step.is_upgrade:
        return f"up to {step.up_revision_id}: {step.up_revision.doc}"
    return f"down from {step.up_revision_id}: {step.up_revision.doc}"


report = context.config.attributes.get("report") or (lambda _line: None)
given = context.config.attributes.get("connection")
if context.is_offline_mode():
    raise SystemExit("tradebook's migrations need a connection: run them without --sql")
if given is not None:
    run(given, report)
else:
    url = context.get_x_argument(as_dictionary=True).get("url")
    url = url or context.config.get_main_option("sqlalchemy.url") or None
    engine = make_engine(DatabaseEnvironment(url=url).current)
    with engine.connect() as own:
        run(own, report)
    engine.dispose()
