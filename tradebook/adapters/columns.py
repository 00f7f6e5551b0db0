"""What the tables are made of: the columns of every record, and keys that contain the account."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    ForeignKeyConstraint,
    Identity,
    Index,
    MetaData,
    Table,
    Text,
    event,
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

_WHERE: Final = "where"


def record_table(name: str, *items: Any) -> Table:
    """A table with what every record has."""
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


def text_column(name: str, *, nullable: bool = False) -> Column[Any]:
    """Text."""
    return Column(name, Text, nullable=nullable)


def decimal_column(name: str, *, nullable: bool = False) -> Column[Any]:
    """An exact decimal."""
    return Column(name, ExactDecimal, nullable=nullable)


def time_column(name: str, *, nullable: bool = False) -> Column[Any]:
    """An instant in UTC."""
    return Column(name, UtcDateTime, nullable=nullable)


def json_column(name: str, *, nullable: bool = False) -> Column[Any]:
    """JSON."""
    return Column(name, Json, nullable=nullable)


def whole_column(name: str, *, nullable: bool = False) -> Column[Any]:
    """A whole number."""
    return Column(name, BigInteger, nullable=nullable)


def choice_column(name: str, kind: type[StrEnum]) -> tuple[Column[Any], CheckConstraint]:
    """A member of a string enumeration, and the CHECK that lists the members."""
    members = ", ".join(f"'{member}'" for member in kind)
    return (
        Column(name, EnumText(kind), nullable=False),
        CheckConstraint(f"{name} IN ({members})", name=name),
    )


def refers_to(column: str, table: str) -> ForeignKeyConstraint:
    """To a record of the same account."""
    return ForeignKeyConstraint(["account", column], [f"{table}.account", f"{table}.id"])


def unique_where(name: str, condition: str, *columns: str) -> Index:
    """A unique key of the rows that meet a condition."""
    return _where(Index(name, *columns, unique=True), condition)


def index_where(name: str, condition: str, *columns: str) -> Index:
    """An index of the rows that meet a condition."""
    return _where(Index(name, *columns), condition)


def _where(index: Index, condition: str) -> Index:
    index.info[_WHERE] = text(condition)
    event.listen(index, "before_create", _say_on_creation)
    return index


def say_where(table: Table, dialect: str) -> None:
    """Say the conditions of a table's indexes in the words of a dialect.

    As arguments of `Index` they would import the dialects that they name, whichever is used.
    """
    for index in table.indexes:
        if _WHERE in index.info:
            _say(index, dialect)


def _say(index: Index, dialect: str) -> None:
    index.dialect_kwargs[f"{dialect}_where"] = index.info[_WHERE]


def _say_on_creation(index: Index, connection: Connection, **_options: Any) -> None:
    _say(index, connection.dialect.name)
