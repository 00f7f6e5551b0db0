"""The columns of every entity: the same fields for tables, `--json` and `export`.

They are the entity's own fields, then what is derived from them, so that a new field of an entity appears
everywhere. Here stand only the headers that differ from a field's name.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final, get_args, get_type_hints

from attrs import evolve

from tradebook.config.environment import Setting
from tradebook.domain.alerts import Alert
from tradebook.domain.attribution import AttributionRow
from tradebook.domain.balances import AssetEntry, BalanceDifference
from tradebook.domain.cash import CashFlow
from tradebook.domain.equity import EquityPoint
from tradebook.domain.portfolio import Portfolio
from tradebook.domain.statements import PositionDifference
from tradebook.entrypoints.cli.output import field_names
from tradebook.entrypoints.cli.tables import Column, Kind
from tradebook.service_layer.queries.portfolio import CashBalance

_HEADERS: Final = {
    "address": "from",
    "alert_type": "type",
    "at": "when (UTC)",
    "bust_reason": "reason",
    "busted_by": "by",
    "current_price": "price",
    "entity": "record",
    "execution_id": "execution",
    "key": "which",
    "marked_at": "priced (UTC)",
    "net_pnl": "net P&L",
    "occurred_at": "when (UTC)",
    "order_id": "order",
    "realized_pnl": "realized",
    "text": "what",
    "unrealized_pnl": "unrealized",
}
_HEADERS_OF: Final[dict[type, dict[str, str]]] = {
    Alert: {"timestamp": "raised (UTC)"},
    EquityPoint: {"time": "time (UTC)"},
    Portfolio: {
        "realized_pnl": "realized P&L",
        "timestamp": "taken (UTC)",
        "unrealized_pnl": "unrealized P&L",
    },
    Setting: {"source": "from"},
}
_PROSE: Final = frozenset(
    ("bust_reason", "field", "key", "message", "reason", "resolution", "source", "text", "value")
)
_GAINS: Final = (
    (AttributionRow, "net_after_costs"),
    (CashBalance, "balance"),
    (CashFlow, "amount"),
)
_AMOUNTS: Final = frozenset(
    [
        "cash_balance",
        "cash_flow",
        "cost",
        "expectancy",
        "external",
        "external_flows",
        "fee",
        "fees",
        "gross_exposure",
        "income",
        "market_value",
        "net_exposure",
        "positions_value",
        "total_value",
        "trading",
        "turnover",
    ]
)
_EXACT: Final = (AssetEntry, BalanceDifference, PositionDifference)
"""Records whose numbers are compared digit by digit."""


@cache
def columns_of(entity: Any) -> dict[str, Column]:
    """Return every column of an entity, or of another record, by field name."""
    hints = get_type_hints(entity)
    headers = _HEADERS | _HEADERS_OF.get(entity, {})
    return {
        name: Column(
            headers.get(name) or name.replace("_at", " (UTC)").replace("_", " "),
            name,
            _kind(entity, name, hints.get(name, Decimal)),
        )
        for name in field_names(entity)
    }


def select(entity: Any, names: str, *, spare: str = "") -> list[Column]:
    """Select columns of an entity for a table.

    Args:
        entity: the class of the records.
        names: field names in the order of the table, separated by blanks.
        spare: those of them that a narrow terminal may leave out, the last one first.
    """
    ranks = {name: rank for rank, name in enumerate(spare.split(), 1)}
    columns = columns_of(entity)
    return [evolve(columns[name], spare=ranks.get(name, 0)) for name in names.split()]


def _kind(entity: Any, name: str, hint: Any) -> Kind:
    if name.endswith("_pnl") or (entity, name) in _GAINS:
        return Kind.GAIN
    if name in _PROSE:
        return Kind.PROSE
    types = get_args(hint) or (hint,)
    if datetime in types:
        return Kind.TIME
    if not {Decimal, int}.intersection(types):
        return Kind.NAME
    if entity in _EXACT:
        return Kind.EXACT
    return Kind.AMOUNT if name in _AMOUNTS else Kind.NUMBER
