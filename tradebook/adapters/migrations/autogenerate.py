"""Generated revisions: CHECKs, which Alembic does not compare, and changes that others can trade through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import render_op_text
from alembic.operations import MigrationScript, ops
from alembic.runtime.migration import MigrationContext
from alembic.util import msg
from sqlalchemy import CheckConstraint

from tradebook.adapters.migrations.drift import Difference, compare, descriptions
from tradebook.adapters.orm import metadata

_Ops: TypeAlias = list[ops.MigrateOperation]


class Change(ops.MigrateOperation):
    """A call of `tradebook.adapters.migrations.online_ddl`: what it does can be done while others trade, and twice."""

    def __init__(self, call: str | Callable[[AutogenContext], str]) -> None:
        self._call = call

    def rendered(self, autogen: AutogenContext) -> str:
        """As the revision has it."""
        return self._call if isinstance(self._call, str) else self._call(autogen)

    def to_diff_tuple(self) -> tuple[str, str]:
        """For `alembic check`."""
        return "change", str(self._call)


@renderers.dispatch_for(Change)
def _render_change(autogen: AutogenContext, change: Change) -> str:
    autogen.imports.add("from tradebook.adapters import changes")
    return f"changes.{change.rendered(autogen)}"


def complete(context: MigrationContext, _revision: Any, scripts: list[MigrationScript]) -> None:
    """Alembic's hook: make a generated revision one of ours; where nothing differs, none."""
    script = scripts[0]
    upgrade, downgrade = script.upgrade_ops, script.downgrade_ops
    if upgrade is None or downgrade is None or context.connection is None:
        return
    made = {op.table_name for op in upgrade.ops if isinstance(op, ops.CreateTableOp)}
    upgrade.ops = list(_flattened(upgrade.ops, made))
    downgrade.ops = list(_flattened(downgrade.ops, made))
    found, expected = descriptions(context.connection)
    for difference in compare(found, expected):
        if difference.kind == "check":
            upgrade.ops += _checks(difference, forth=True)
            downgrade.ops[:0] = _checks(difference, forth=False)
    if (
        not upgrade.ops and script.message is not None
    ):  # `alembic check` wants to see that it is empty
        scripts.clear()
        if context.config is not None:
            msg("nothing differs: no revision is written", **context.config.messaging_opts)


def _flattened(given: _Ops, made: set[str]) -> Iterator[ops.MigrateOperation]:
    for op in given:
        if isinstance(op, ops.ModifyTableOps):
            ours = op.table_name not in made
            yield from (_ours(inner) if ours else inner for inner in op.ops)
        else:
            yield op


def _ours(op: ops.MigrateOperation) -> ops.MigrateOperation:
    match op:
        case ops.AddColumnOp():
            return Change(lambda autogen: render_op_text(autogen, op).removeprefix("op."))
        case ops.DropColumnOp():
            return Change(f"drop_column({op.table_name!r}, {op.column_name!r})")
        case ops.CreateIndexOp():
            return Change(_index(op))
        case ops.DropIndexOp():
            return Change(f"drop_index({op.index_name!r}, {op.table_name!r})")
        case _:
            return op


def _index(op: ops.CreateIndexOp) -> str:
    columns = [str(getattr(column, "name", column)) for column in op.columns]
    where = op.kw.get("postgresql_where")
    unique = ", unique=True" if op.unique else ""
    condition = "" if where is None else f", where={str(where)!r}"
    return f"create_index({op.index_name!r}, {op.table_name!r}, {columns!r}{unique}{condition})"


def _checks(difference: Difference, *, forth: bool) -> _Ops:
    """From what the database has to what the tables of the code have, or back."""
    table, name = difference.table, difference.name
    there, wanted = _condition(difference.found), _of_the_code(table, name)
    before, after = (there, wanted) if forth else (wanted, there)
    calls: _Ops = []
    if before is not None:
        calls.append(Change(f"drop_check({table!r}, {name!r})"))
    if after is not None:
        calls.append(Change(f"add_check({table!r}, {name!r}, {after!r})"))
    return calls


def _of_the_code(table: str, name: str) -> str | None:
    """A CHECK as the code has it, not as a database writes it."""
    constraints = metadata.tables[table].constraints
    checks = (each for each in constraints if isinstance(each, CheckConstraint))
    return next((str(check.sqltext) for check in checks if check.name == name), None)


def _condition(definition: str | None) -> str | None:
    """PostgreSQL says `CHECK ((...))`."""
    if definition is None:
        return None
    return definition.removesuffix(" NOT VALID").removeprefix("CHECK ")
