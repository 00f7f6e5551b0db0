"""Pages of records as columns of Apache Arrow, past the values of the drivers.

200,000 trades take 0.7 times as long as through ADBC, and a sixth of the processor time of rows that become columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Select, Text, type_coerce

from tradebook.adapters.engine.postgresql_copy import read_csv
from tradebook.domain.entity import Entity
from tradebook.service_layer.gc_pause import no_collecting
from tradebook.service_layer.ports.columns import (
    column_schema,
    field_types,
    import_pyarrow,
    table_of,
)

if TYPE_CHECKING:
    import pyarrow

_AS_IT_IS: Final = (bool, int, str)


def read_columns(
    connection: Connection, kind: type[Entity], statement: Select[Any], values: Mapping[str, Any]
) -> pyarrow.Table | None:
    """Return what a statement selects, the fields of a kind; None where Arrow cannot read a value."""
    read = _from_sqlite if connection.dialect.name == "sqlite" else _from_postgresql
    arrow = import_pyarrow()
    try:
        return read(connection, kind, statement, values)
    except (arrow.ArrowInvalid, arrow.ArrowTypeError, OverflowError):  # the last above 2 GB
        return None


def _from_postgresql(
    connection: Connection, kind: type[Entity], statement: Select[Any], values: Mapping[str, Any]
) -> pyarrow.Table:
    from pyarrow import csv

    rows, schema = read_csv(connection, statement, values), column_schema(kind)
    if not rows:
        return schema.empty_table()
    return csv.read_csv(
        import_pyarrow().BufferReader(rows),
        # One block: the parser refuses a row that is longer than two.
        read_options=csv.ReadOptions(
            use_threads=False, block_size=len(rows), column_names=schema.names
        ),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,  # the server quotes empty text, and leaves NULL bare
            true_values=["t"],
            false_values=["f"],
        ),
    )


def _from_sqlite(
    connection: Connection, kind: type[Entity], statement: Select[Any], values: Mapping[str, Any]
) -> pyarrow.Table:
    types = field_types(kind)
    columns = [
        column if types[column.name] in _AS_IT_IS else type_coerce(column, Text).label(column.name)
        for column in statement.selected_columns
    ]
    with no_collecting():
        rows = connection.execute(statement.with_only_columns(*columns), values).all()
    if not rows:
        return column_schema(kind).empty_table()
    arrow = import_pyarrow()
    found = [
        arrow.array(texts, arrow.string()).cast(arrow.timestamp("us")) if of is datetime else texts
        for of, texts in zip(types.values(), zip(*rows, strict=True), strict=True)
    ]
    return table_of(kind, found)
