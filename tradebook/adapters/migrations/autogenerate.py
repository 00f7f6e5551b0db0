"""Autogeneration of revisions: adds the CHECKs, which Alembic does not compare, and writes online DDL.

A generated revision calls `tradebook.adapters.migrations.online_ddl` where Alembic would write `op.add_column` or
`op.create_index`, so that it can run while other programs trade.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import render_op_text
from alembic.operations import MigrationScript, ops
from alembic.runtime.migration import MigrationContext
from alembic.util import msg
from sqlalchemy import CheckConstraint

from tradebook.adapters.migrations.drift import compare, found_and_expected
from tradebook.adapters.orm import metadata


class _OnlineOp(ops.MigrateOperation):
    """A call of `online_ddl`: its text, or the column for which Alembic renders one."""

    def __init__(self, call: str | ops.AddColumnOp) -> None:
        self.call = call

    def to_diff_tuple(self) -> tuple[str, str]:
        """Return what `alembic check` prints."""
        call = self.call
        return "change", call if isinstance(call, str) else f"add_column({call.column!r})"


@renderers.dispatch_for(_OnlineOp)
def _render(autogen: AutogenContext, op: _OnlineOp) -> str:
    autogen.imports.add("from tradebook.adapters.migrations import online_ddl")
    call = op.call if isinstance(op.call, str) else render_op_text(autogen, op.call)
    return f"online_ddl.{call.removeprefix('op.')}"


def complete_revision(
    context: MigrationContext, _revision: Any, scripts: list[MigrationScript]
) -> None:
    """Rewrite a generated revision; discard it where nothing differs. Alembic calls this hook."""
    script = scripts[0]
    upgrade, downgrade = script.upgrade_ops, script.downgrade_ops
    if upgrade is None or downgrade is None or context.connection is None:
        return
    created = {op.table_name for op in upgrade.ops if isinstance(op, ops.CreateTableOp)}
    upgrade.ops = list(_online(upgrade.ops, created))
    downgrade.ops = list(_online(downgrade.ops, created))
    for difference in compare(*found_and_expected(context.connection)):
        if difference.kind == "check":
            table, name = difference.table, difference.name
            # PostgreSQL's definition is `CHECK (...)`, with NOT VALID after it where it is not validated.
            definition = (difference.found or "").removesuffix(" NOT VALID")
            found = definition.removeprefix("CHECK ") or None
            expected = _declared_condition(table, name)
            upgrade.ops += _replace_check(table, name, found, expected)
            downgrade.ops[:0] = _replace_check(table, name, expected, found)
    # `alembic check` runs this hook too, without a message; it reports an empty revision by itself.
    if not upgrade.ops and script.message is not None:
        scripts.clear()
        if context.config is not None:
            msg("nothing differs: no revision is written", **context.config.messaging_opts)


def _online(
    operations: Iterable[ops.MigrateOperation], created: set[str]
) -> Iterator[ops.MigrateOperation]:
    """Rewrite changes of existing tables as calls of `online_ddl`; tables that are created have no users yet."""
    for op in operations:
        if isinstance(op, ops.ModifyTableOps):
            is_new = op.table_name in created
            yield from op.ops if is_new else map(_rewritten, op.ops)
        else:
            yield op


def _rewritten(op: ops.MigrateOperation) -> ops.MigrateOperation:
    match op:
        case ops.AddColumnOp():
            return _OnlineOp(op)
        case ops.DropColumnOp():
            return _OnlineOp(f"drop_column({op.table_name!r}, {op.column_name!r})")
        case ops.CreateIndexOp():
            columns = [str(getattr(column, "name", column)) for column in op.columns]
            where = op.kw.get("postgresql_where")
            unique = ", unique=True" if op.unique else ""
            condition = "" if where is None else f", where={str(where)!r}"
            arguments = f"{op.index_name!r}, {op.table_name!r}, {columns!r}{unique}{condition}"
            return _OnlineOp(f"create_index({arguments})")
        case ops.DropIndexOp():
            return _OnlineOp(f"drop_index({op.index_name!r}, {op.table_name!r})")
        case _:
            return op


def _replace_check(
    table: str, name: str, before: str | None, after: str | None
) -> Iterator[ops.MigrateOperation]:
    if before is not None:
        yield _OnlineOp(f"drop_check({table!r}, {name!r})")
    if after is not None:
        yield _OnlineOp(f"add_check({table!r}, {name!r}, {after!r})")


def _declared_condition(table: str, name: str) -> str | None:
    """Return a CHECK's condition as the table's declaration spells it; None where it declares none."""
    for constraint in metadata.tables[table].constraints:
        if isinstance(constraint, CheckConstraint) and constraint.name == name:
            return str(constraint.sqltext)
    return None
