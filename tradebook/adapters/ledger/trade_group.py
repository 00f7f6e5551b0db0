"""Many new trades with their positions, events and decisions, written together in one transaction.

On PostgreSQL in one statement: it checks all that the statement of a single trade checks, for each symbol on its
own, and passes over the trades of a symbol where a check fails. On SQLite the statements of single trades follow
each other in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import starmap
from json import dumps
from json.encoder import encode_basestring_ascii as quoted
from operator import itemgetter
from typing import Any, Final

from attrs import frozen
from sqlalchemy import BigInteger, Column, Dialect
from typing_extensions import override

from tradebook.adapters.engine.postgresql_copy import is_taken
from tradebook.adapters.ledger.autocommit import Sender
from tradebook.adapters.ledger.decision_sql import CAN_BE_TAKEN, changed_fields
from tradebook.adapters.ledger.prepared_statement import prepared_statement
from tradebook.adapters.ledger.single_trade import Values, new_mark, write_trade
from tradebook.adapters.ledger.trade_sql import CHANGED, MOVED, OPENED, TOLD, Columns, TradeSql
from tradebook.adapters.orm import events, positions, trades
from tradebook.adapters.types import ExactDecimal, Json, UtcDateTime
from tradebook.domain.events import TradeRecorded
from tradebook.domain.fills import VARYING, Booking, SharedValues
from tradebook.domain.positions import INSTRUMENT
from tradebook.domain.trades import TRADE_COLUMNS, Trade
from tradebook.service_layer.call_context import CallContext

_MOVED_AGAIN: Final = tuple(name for name in MOVED if name not in INSTRUMENT)
"""The columns of a position that a booking sets after the first one, which fixes the symbol's constants."""


@frozen
class GroupedTrade:
    """A new trade that is written with others.

    Attributes:
        opened: the position's fields before it.
        settled: the same after it.
        booking: the trade.
        texts: its `texts_of`.
        context: of the call.
        event: the trade's event without the ids, its payload a `JsonText`.
    """

    opened: Values
    settled: Values
    booking: Booking
    texts: tuple[str, ...]
    context: CallContext
    event: Values


SymbolTrades = Sequence[GroupedTrade]
"""Trades of one symbol in the order of their booking, at least one: each on the position that the one before left."""
Ids = list[int | None]


def write_group(sender: Sender, groups: Sequence[SymbolTrades]) -> list[Ids]:
    """Write the trades of several symbols, each symbol's all or none.

    Args:
        sender: a connection that commits what is sent in one transaction: on PostgreSQL each statement.
        groups: a symbol occurs once, and so does an undecided decision.

    Returns:
        The ids of each group's trades; None for those that are not written, because a check failed.
    """
    if sender.dialect.name == "sqlite":
        return [[_write_one(sender, each) for each in group] for group in groups]
    if len(groups) == 1 and len(groups[0]) == 1:
        return [[_write_one(sender, groups[0][0])]]
    grouped = [each for group in groups for each in group]
    with_decisions = any(each.booking.trade["decision_id"] is not None for each in grouped)
    statement = _statement(sender.dialect, with_decisions)
    try:
        written = statement.write(sender, groups, grouped)
    except Exception as error:
        if not is_taken(error):
            raise
        written = statement.write_what_is_new(sender, groups, grouped)
    numbers = iter(range(len(grouped)))
    return [[written.get(next(numbers)) for _ in group] for group in groups]


def _write_one(sender: Sender, each: GroupedTrade) -> int | None:
    trade = each.booking.trade
    with_decision = trade["decision_id"] is not None
    ids = write_trade(
        sender,
        each.opened,
        each.settled,
        trade,
        each.event,
        with_decision=with_decision,
        prepared=True,
    )
    return None if ids is None else ids[0]


class _GroupStatement(TradeSql):
    """PostgreSQL's statement; its parameters are the account, the positions and the trades, these two as JSON.

    JSON is one parameter for any number of rows, and costs the client one template for each trade: 57 parameters
    of a trade take psycopg2 40 us.
    """

    def __init__(self, dialect: Dialect, *, with_decisions: bool) -> None:
        """Build the SQL for a dialect."""
        super().__init__(
            dialect,
            Columns("o_", positions, OPENED),
            Columns("p_", positions, _MOVED_AGAIN),
            Columns("t_", trades, TRADE_COLUMNS),
            Columns("e_", events, TOLD),
            with_decision=with_decisions,
        )
        self._shared = SharedValues()
        self._shared_encoders = [_encoder(trades.c[name]) for name in self._shared.columns]
        self._shared_texts: dict[tuple[Any, ...], str] = {}
        self._statement, self._checked = (
            prepared_statement(
                dialect,
                " ".join(self._text(with_decisions, look_up_fills=looks_up).split()),
                ("account", "positions", "trades"),
            )
            for looks_up in (False, True)
        )

    def write(
        self, sender: Sender, groups: Sequence[SymbolTrades], grouped: SymbolTrades
    ) -> dict[int, int]:
        """Write what can be written, and return the ids of the trades by their place.

        Where a fill is recorded already, the server's error for a unique key that is taken ends the statement.
        """
        parameters = self._parameters(groups, grouped)
        return _ids(self._statement.send(sender, parameters, prepared=True))

    def write_what_is_new(
        self, sender: Sender, groups: Sequence[SymbolTrades], grouped: SymbolTrades
    ) -> dict[int, int]:
        """Do the same, but look the fills up first, and pass over symbols in which one is recorded."""
        # Not prepared: a plan that is kept from when the table was small may read a whole index for each fill.
        parameters = self._parameters(groups, grouped)
        return _ids(self._checked.send(sender, parameters, prepared=False))

    def _parameters(
        self, groups: Sequence[SymbolTrades], grouped: SymbolTrades
    ) -> tuple[str, str, str]:
        account = grouped[0].booking.trade["account"]
        places = ",".join(map(_position_row, groups))
        given = ",".join(starmap(self._trade_row, enumerate(grouped)))
        return account, f"[{places}]", f"[{given}]"

    # The rows

    def _trade_row(self, number: int, each: GroupedTrade) -> str:
        trade, context = each.booking.trade, each.context
        key = self._shared.key(each.booking, context.at)
        shared = self._shared_texts.get(key)
        if shared is None:
            if len(self._shared_texts) >= _MAX_KEPT:
                self._shared_texts.clear()
            values = itemgetter(*self._shared.columns)(trade)
            shared = self._shared_texts[key] = _as_json(self._shared_encoders, values)
        action, quantity, price, fee, executed_at, sequence, realized_pnl = each.texts
        decision_id, details, booked_at = trade["decision_id"], trade["details"], trade["booked_at"]
        at = context.at.isoformat()
        booked = at if booked_at is context.at else booked_at.isoformat()
        return (
            f'[{number},"{at}",{quoted(context.actor)},{quoted(context.correlation_id)},'
            f"{each.event['payload']},"
            f"{'null' if decision_id is None else changed_fields(context.at)},"
            f'"{booked}","{booked}",{dumps(details) if details else "{}"},'
            f"{'null' if decision_id is None else decision_id},"
            f'{quoted(trade["order_id"])},{quoted(trade["execution_id"])},"{action}","{quantity}","{price}",'
            f'"{fee}","{executed_at}",{sequence},"{realized_pnl}",{shared}]'
        )

    # The SQL

    # Each look-up is one index scan by keys, whatever the planner's statistics: of the recorded fills as in
    # `_find_recorded` of the bulk ledger, of what is updated by an array of ids. Joined without it, all positions
    # of the account are read for each statement.
    def _text(self, with_decisions: bool, *, look_up_fills: bool) -> str:
        columns = ", ".join(self._trade.columns)
        values = ", ".join(self._placeholder(self._trade, name) for name in self._trade.columns)
        same_fill = " AND ".join(
            f"trade.{name} = given.t_{name}"
            for name in ("symbol", "venue", "order_id", "execution_id")
        )
        trade_given = f"trade JOIN given ON {same_fill}"
        refused = "status = 'PENDING'"
        if look_up_fills:
            refused = f"({refused} OR execution_id = given.t_execution_id)"
        moved = "FROM place JOIN accepted ON accepted.symbol = place.symbol"
        decision = undecidable = executed = ""
        if with_decisions:
            # After the positions, the order in which everything else locks the two.
            decision = f"""decision AS MATERIALIZED (
                SELECT given.number, locked.* FROM opened JOIN given ON given.t_symbol = opened.symbol
                CROSS JOIN LATERAL ({self.select_decision_sql()}
                    FOR NO KEY UPDATE OF agent_decisions SKIP LOCKED) AS locked),"""  # noqa: S608, ours
            undecidable = f"""UNION ALL SELECT given.t_symbol FROM given LEFT JOIN decision USING (number)
                WHERE given.t_decision_id IS NOT NULL AND (decision.id IS NULL OR NOT {CAN_BE_TAKEN})"""  # noqa: S608, ours
            decided = f"{trade_given} JOIN decision USING (number)"
            executed = f""",
                moved_decision AS ({self.execute_decision_sql("decision", f"FROM {decided}")}
                    AND agent_decisions.id = ANY (ARRAY(SELECT id FROM decision))),
                decision_event AS ({self.insert_decision_event_sql("trade.id", decided)})"""  # noqa: S608, ours
        return f"""
            WITH place AS MATERIALIZED ({_from_json(self._place_columns(), "$2::jsonb")}),
            given AS MATERIALIZED ({_from_json(self._given_columns(), "$3::jsonb")}),
            opened AS MATERIALIZED (SELECT place.symbol FROM place
                CROSS JOIN LATERAL (SELECT id FROM positions {self.is_as_opened} FOR UPDATE SKIP LOCKED) AS locked),
            {decision}
            refused AS MATERIALIZED (
                SELECT given.t_symbol AS symbol FROM given CROSS JOIN LATERAL (
                    SELECT * FROM trades WHERE account = {ACCOUNT} AND order_id = given.t_order_id
                        AND symbol IS NOT DISTINCT FROM given.t_symbol
                        AND venue IS NOT DISTINCT FROM given.t_venue AND {refused} OFFSET 0) AS recorded
                {undecidable}),
            accepted AS MATERIALIZED (
                SELECT symbol FROM opened WHERE symbol NOT IN (SELECT symbol FROM refused)),
            trade AS (INSERT INTO trades ({columns}) SELECT {values} FROM given
                JOIN accepted ON accepted.symbol = given.t_symbol ORDER BY given.number
                RETURNING id, symbol, venue, order_id, execution_id),
            moved AS ({self.update_position_sql(moved)} AND positions.id = ANY (ARRAY(SELECT o_id FROM place))),
            event AS ({self.insert_event_sql("trade.id", f"FROM {trade_given} ORDER BY given.number")})
            {executed}
            SELECT array_agg(given.number), array_agg(trade.id) FROM {trade_given}"""  # noqa: S608, ours

    @override
    def _placeholder(self, group: Columns, name: str) -> str:
        if name == "account":
            return ACCOUNT
        if group is self._event and name in _OF_EVENT:
            return _OF_EVENT[name]
        source = "given" if group is self._trade or group is self._event else "place"
        return f"{source}.{group.prefix}{name}"

    @override
    def _placeholder_of(self, parameter: str, kind: str) -> str:
        return f"given.{parameter}"

    @property
    @override
    def _is_position(self) -> str:
        return (
            f"WHERE positions.account = {ACCOUNT} AND positions.symbol = place.symbol "
            "AND positions.id = place.o_id"
        )

    def _place_columns(self) -> list[tuple[str, str]]:
        """Return the names and types of the values in a `_position_row`."""
        of_position = [
            *self._typed(self._opened, OPENED),
            *self._typed(self._position, _MOVED_AGAIN),
        ]
        return [("symbol", "TEXT"), *of_position]

    def _given_columns(self) -> list[tuple[str, str]]:
        """Return the names and types of the values in a row of `_trade_row`."""
        of_trade = self._typed(self._trade, (*VARYING, *self._shared.columns))
        of_event = self._typed(self._event, ("actor", "correlation_id", "payload"))
        created_at = self._typed(self._trade, ("created_at",))
        return [("number", "BIGINT"), *created_at, *of_event, (CHANGED, "JSONB"), *of_trade]

    def _typed(self, group: Columns, names: Sequence[str]) -> list[tuple[str, str]]:
        kind = self._dialect.type_compiler_instance.process
        return [(group.prefix + name, kind(group.table.c[name].type)) for name in names]


ACCOUNT: Final = "$1::text"
_MAX_KEPT: Final = 10_000
_OF_EVENT: Final = {
    **dict.fromkeys(("created_at", "updated_at", "occurred_at"), "given.t_created_at"),
    "event_type": f"'{TradeRecorded.__name__}'",
    "entity": f"'{Trade.__name__}'",
}
"""The values of an event that are not among those of the row."""


def _ids(row: Any) -> dict[int, int]:
    numbers, ids = row
    return dict(zip(numbers or (), ids or (), strict=True))


def _from_json(columns: Sequence[tuple[str, str]], rows: str) -> str:
    """Return the SELECT of the rows in a JSON array of arrays."""
    values = (
        f"(r -> {place}) AS {name}" if kind == "JSONB" else f"(r ->> {place})::{kind} AS {name}"
        for place, (name, kind) in enumerate(columns)
    )
    return f"SELECT {', '.join(values)} FROM jsonb_array_elements({rows}) AS r"  # noqa: S608, ours


_opened: Final = itemgetter("symbol", "id", "version", "updated_at")
_moved: Final = itemgetter(*_MOVED_AGAIN)


def _position_row(group: SymbolTrades) -> str:
    opened, settled = group[0].opened, group[-1].settled
    values = (*_opened(opened), *new_mark(opened, settled), *_moved(settled))
    return f"[{_as_json(_POSITION_ENCODERS, values)}]"


def _as_json(encoders: Iterable[Callable[[Any], str]], values: Iterable[Any]) -> str:
    """Encode values of columns as JSON: numbers that have any number of digits as text."""
    return ",".join(
        ["null" if v is None else encode(v) for encode, v in zip(encoders, values, strict=True)]
    )


def _encoder(column: Column[Any]) -> Callable[[Any], str]:
    kind = column.type
    if isinstance(kind, ExactDecimal):
        return '"{:f}"'.format
    if isinstance(kind, UtcDateTime):
        return lambda at: f'"{at.isoformat()}"'
    if isinstance(kind, Json):
        return lambda value: dumps(value) if value else "{}"
    return str if isinstance(kind, BigInteger) else quoted


_POSITION_ENCODERS: Final = [
    _encoder(positions.c[name])
    for name in (
        "symbol",
        "id",
        "version",
        "updated_at",
        "current_price",
        "marked_at",
        *_MOVED_AGAIN,
    )
]
_statements: Final[dict[tuple[str, bool], _GroupStatement]] = {}


def _statement(dialect: Dialect, with_decisions: bool) -> _GroupStatement:
    key = (dialect.driver, with_decisions)
    if key not in _statements:
        _statements[key] = _GroupStatement(dialect, with_decisions=with_decisions)
    return _statements[key]
