"""Building blocks of the tables: columns of each type, and keys that contain the account."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    MetaData,
    Table,
    Text,
    text,
)

from tradebook.adapters.types import AccountKey, EnumText, ExactDecimal, Id, Json, UtcDateTime

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""The tables of the book, as an application may use them: `metadata.create_all(engine)` makes a throw-away
database on an engine of its own, and `sqlalchemy.orm.Session(engine)` reads and adds entities there.

Such a session refuses, when it flushes, the changes of records that `get_session()` refuses. Other than
the sessions of `get_session()` and of a unit of work it leaves no events, is not bound to one account,
and lets statements on entities (`update(Trade)`) and SQLAlchemy's bulk methods pass unchecked. On
SQLite an engine of the application's own cannot order, compare or sum exact decimals, and says so.
"""


def record_table(name: str, *items: Any) -> Table:
    """Make a table with the columns that every record has, and those given."""
    return Table(
        name,
        metadata,
        Column("account", Text, nullable=False),
        Column("id", Id, Identity(), nullable=False),
        Column("created_at", UtcDateTime, nullable=False),
        Column("updated_at", UtcDateTime, nullable=False),
        *items,
        AccountKey("account", "id"),
    )


def _columns(kind: Any) -> Callable[..., list[Column[Any]]]:
    def columns(*names: str, nullable: bool = False) -> list[Column[Any]]:
        return [Column(name, kind, nullable=nullable) for name in names]

    return columns


text_columns: Final = _columns(Text)
decimal_columns: Final = _columns(ExactDecimal)
time_columns: Final = _columns(UtcDateTime)
json_columns: Final = _columns(Json)
integer_columns: Final = _columns(BigInteger)


def enum_column(
    name: str, kind: type[StrEnum], *, nullable: bool = False
) -> tuple[Column[Any], CheckConstraint]:
    """Make a column of an enumeration, and the CHECK that lists its members."""
    members = ", ".join(f"'{member}'" for member in kind)
    return (
        Column(name, EnumText(kind), nullable=nullable),
        CheckConstraint(f"{name} IN ({members})", name=name),
    )


def foreign_key(column: str, table: str) -> ForeignKeyConstraint:
    """Make a foreign key to a record of the same account."""
    return ForeignKeyConstraint(["account", column], [f"{table}.account", f"{table}.id"])


def index_where(name: str | None, condition: str, *columns: str, unique: bool = False) -> Index:
    """Make an index of the rows that meet a condition."""
    where = text(condition)
    return Index(name, *columns, unique=unique, postgresql_where=where, sqlite_where=where)


def unique_if_set(table: str, *columns: str) -> Index:
    """Make a unique key of a table's rows in which the last of the columns is not NULL."""
    name = "_".join(("uq", table, *columns))
    return index_where(name, f"{columns[-1]} IS NOT NULL", *columns, unique=True)
