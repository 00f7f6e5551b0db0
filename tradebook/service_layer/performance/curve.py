"""`EquityCurve`: the points of an account and of its groups, also as columns of Arrow and pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from tradebook.domain.equity import AMOUNTS, Basis, EquityBy, EquityPoint
from tradebook.service_layer.ports.columns import import_pyarrow
from tradebook.service_layer.queries.arrow import Decimals, number_column

if TYPE_CHECKING:
    import pyarrow


@frozen(kw_only=True)
class EquityCurve:
    """An equity curve.

    Attributes:
        account: the account.
        currency: its base currency, in which all amounts are.
        basis: the records that count at a time.
        by: the kind of groups; None where the curve is of the account alone.
        points: of the account, by time.
        groups: those of each group from its first trade or cash flow on, by name and time. At each time their total
            values add up to the account's, to the last digit. What belongs to no group, such as deposits, is in the
            group `none`.
    """

    account: str
    currency: str
    basis: Basis
    by: EquityBy | None
    points: tuple[EquityPoint, ...]
    groups: tuple[EquityPoint, ...] = ()

    def to_arrow(self, decimals: Decimals = "exact") -> pyarrow.Table:
        """Return the points as an Arrow table: those of the groups, or of the account where there are none.

        Args:
            decimals: the form of numbers, as for `Book.to_arrow`.

        Returns:
            The columns time (UTC, microseconds), group (text, "" for the account), and each amount of `EquityPoint`.

        Raises:
            ExtraNotInstalled: pyarrow is missing: install `tradebook[arrow]`.
            InvalidInput: a number does not fit into its column; "text" takes every number.
        """
        arrow = import_pyarrow()
        rows = self.points if self.by is None else self.groups
        columns: dict[str, Any] = {
            "time": arrow.array([row.time for row in rows], arrow.timestamp("us", tz="UTC")),
            "group": arrow.array([row.group for row in rows], arrow.string()),
        }
        for name in AMOUNTS:
            values = (getattr(row, name) for row in rows)
            columns[name] = number_column(name, values, decimals)
        return arrow.table(columns)

    def to_pandas(self) -> Any:
        """Return `to_arrow` with the nearest floats as a pandas DataFrame, indexed by time; pandas must be installed."""
        return self.to_arrow("float").to_pandas().set_index("time")
