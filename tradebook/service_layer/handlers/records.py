"""Direct edits of records of any kind: create, update and delete; trades are booked by their own handlers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from itertools import groupby
from typing import Any, Final, TypeVar, cast

import attrs

from tradebook.domain.agents import AgentDecision
from tradebook.domain.alerts import RESOLUTION, Alert
from tradebook.domain.cash import Account, CashFlow
from tradebook.domain.edit_rules import (
    check_changes,
    check_consistent,
    check_ledger_state,
    check_new,
    check_removal,
)
from tradebook.domain.edits import deleted
from tradebook.domain.entity import DEFAULT_ACCOUNT, Entity, differences, same
from tradebook.domain.errors import InvalidInput, InvalidTransition, NotFound, StaleRecord
from tradebook.domain.events import RecordUpdated
from tradebook.domain.plain_values import entries, is_instance
from tradebook.domain.portfolio import Portfolio
from tradebook.domain.positions import Position
from tradebook.domain.trades import Trade, TradeStatus
from tradebook.domain.validation import argument, record_id
from tradebook.service_layer.gc_pause import no_collecting
from tradebook.service_layer.handlers._common import (
    add_account,
    confirm,
    open_account,
    require_counting,
)
from tradebook.service_layer.handlers.agents import decide
from tradebook.service_layer.handlers.booking import record_entries, record_trade
from tradebook.service_layer.handlers.positions import update_position
from tradebook.service_layer.handlers.trade_terms import (
    ALONE,
    ListEntry,
    TradeTerms,
    valid_order_id,
)
from tradebook.service_layer.handlers.trades import cancel_trade, reject_trade
from tradebook.service_layer.instrumentation import ALERTS, increment
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

E = TypeVar("E", bound=Entity)

_BOOKKEEPING: Final = ("id", "account", "created_at", "updated_at", "version", "signals")
"""Fields that the book sets by itself."""


def create(uow: AbstractUnitOfWork, entity: E) -> E:
    """Record a new entity; repeated with the same identity and terms, it changes nothing.

    An EXECUTED trade is booked and moves its position, as `record_trade` does; a PENDING one is an
    order. A position can be created flat. A portfolio that the caller builds has `source="external"`.

    Args:
        uow: the unit of work.
        entity: stays as it is (`Book.create` sets its id).

    Returns:
        The recorded entity: another object.

    Raises:
        InvalidInput: a field that only a handler sets has a value, or the account is another.
        DuplicateRecord: its identity is taken by a record with other terms.
    """
    return _create_each(uow, [entity], [ALONE])[0]


def bulk_create(uow: AbstractUnitOfWork, entities: Iterable[E]) -> list[E]:
    """Record many entities of any kinds, all or none, each as `create` does.

    Returns:
        The recorded entities, in the order given.

    Raises:
        TradebookError: as `create`, with the `index` of the refused entity, and the `order_id` of a trade; then
            leave the unit of work without committing.
    """
    given = argument("entities", entries, entities)
    return _create_each(uow, given, map(_place_of, range(len(given)), given))


def _place_of(index: int, entity: object) -> ListEntry:
    is_trade = is_instance(entity, Trade)
    order_id = valid_order_id(cast("Trade", entity).order_id) if is_trade else None
    return ListEntry("entities", index, order_id)


def _create_each(uow: AbstractUnitOfWork, given: list[E], places: Iterable[ListEntry]) -> list[E]:
    trades: list[tuple[Trade, ListEntry]] = []
    others: list[tuple[E, ListEntry]] = []
    for entity, place in zip(given, places, strict=True):
        with place:
            if isinstance(_entity(uow, entity), Trade):
                check_ledger_state(entity)
            else:
                check_new(entity, uow.max_ahead)
        (trades if isinstance(entity, Trade) else others).append((entity, place))  # type: ignore[arg-type]
    terms = [_terms(trade) for trade, _ in trades]
    recorded = record_entries(uow, terms, [place for _, place in trades])
    booked = iter(cast("list[E]", recorded.trades))
    created = iter(_create_all(uow, others))
    return [next(booked if isinstance(entity, Trade) else created) for entity in given]


def update(uow: AbstractUnitOfWork, entity: E) -> E:
    """Record the changes that were made to an entity since it was read.

    A pending trade set to EXECUTED is booked as by `execute_trade`, set to CANCELLED or REJECTED it ends as by those
    handlers.
    Of a position only the mark can change.

    Args:
        uow: the unit of work.
        entity: as read, with its changes.

    Returns:
        The record as stored now: another object.

    Raises:
        NotFound: there is no such record in this account.
        StaleRecord: another writer changed it since it was read: read it again.
        InvalidTransition: the record is final, or only a handler may change this.
    """
    kind = type(_entity(uow, entity))
    entity.convert_fields()
    if isinstance(entity, Trade):
        return cast("E", _update_trade(uow, entity))
    # A position is not locked: all that can change is its mark, which disturbs no trade.
    stored = uow.records(kind).get(_id(entity), lock=kind is not Position)
    _require_fresh(entity, stored)
    changed = differences(stored, entity, _terms_of(kind))
    if not changed:
        return stored
    check_changes(entity, changed)
    if isinstance(entity, Position):
        names = {*changed, "current_price"} - {"mark_source"}  # what an edit sets is a quote
        mark = {name: getattr(entity, name) for name in names}
        return cast("E", update_position(uow, entity.symbol, mark))
    if isinstance(entity, AgentDecision):
        return cast("E", decide(uow, entity.id, entity.status))
    check_consistent(entity, uow.max_ahead)
    if isinstance(entity, Alert):
        _resolve(uow, cast("Alert", stored), entity, changed)
    _change(uow, stored, changed)
    return stored


def bulk_update(uow: AbstractUnitOfWork, entities: Iterable[E]) -> list[E]:
    """Record the changes of many entities, all or none, each as `update` does.

    Returns:
        The records as stored now, in the order given.

    Raises:
        TradebookError: as `update`; then leave the unit of work without committing.
    """
    given = argument("entities", entries, entities)
    # Lock records in one order, so that two batches cannot deadlock.
    order = sorted(range(len(given)), key=lambda i: _place(_entity(uow, given[i])))
    done = {index: update(uow, given[index]) for index in order}
    return [done[index] for index in range(len(given))]


def delete(uow: AbstractUnitOfWork, entity: Entity) -> None:
    """Delete a record; its values stay in an event.

    Raises:
        NotFound: there is no such record in this account.
        InvalidTransition: records of its kind or state are kept; the message names the alternative.
    """
    kind = type(_entity(uow, entity))
    check_removal(entity)
    stored = uow.records(kind).get(_id(entity), lock=True)
    if isinstance(stored, Trade):
        stored = _locked(uow, stored)
    check_removal(stored)
    gone = deleted(stored)
    uow.records(kind).remove(stored)
    uow.record(gone, stored)


def _entity(uow: AbstractUnitOfWork, entity: E) -> E:
    if not is_instance(entity, Entity):
        raise InvalidInput("entity", entity, "an entity such as a Trade or an Alert")
    if entity.account not in (uow.account, DEFAULT_ACCOUNT):
        raise InvalidInput("account", entity.account, f"{uow.account!r}, whose book this is")
    return entity


def _id(entity: Entity) -> int:
    if entity.id is None:
        raise InvalidInput("id", None, f"a {type(entity).__name__} that was recorded: create it")
    return argument("id", record_id, entity.id)


def _place(entity: Entity) -> tuple[str, str, int]:
    entity.convert_fields()
    symbol = entity.symbol if isinstance(entity, Trade) else ""
    return type(entity).__name__, symbol, _id(entity)


def _terms_of(kind: type[Entity]) -> list[str]:
    return [f.name for f in attrs.fields(kind) if f.name not in _BOOKKEEPING]


def _create_all(uow: AbstractUnitOfWork, entities: Iterable[tuple[E, ListEntry]]) -> list[E]:
    created: list[E] = []
    with no_collecting():
        for kind, alike in groupby(entities, lambda pair: type(pair[0])):
            new: list[E] = []
            places: list[ListEntry] = []
            for entity, place in alike:
                with place:
                    new.append(_copy(uow, entity))
                places.append(place)
            recorded = [_ADD[kind](uow, one) for one in new] if kind in _ADD else _add(uow, new)
            for kept, one, place in zip(recorded, new, places, strict=True):
                with place:
                    created.append(_confirmed(uow, kept, one))
    return created


def _confirmed(uow: AbstractUnitOfWork, recorded: E, new: E) -> E:
    """Return the recorded entity if its terms agree; an alert's key names a condition, so its may differ."""
    if recorded is not new and not isinstance(new, Alert):
        if isinstance(recorded, CashFlow):
            require_counting(uow, recorded)
        confirm(recorded, new, dict.fromkeys(_terms_of(type(new))), _identity(new))
    return recorded


def _copy(uow: AbstractUnitOfWork, entity: E) -> E:
    """Build a new entity from the given one, which a retry needs unchanged: a rollback leaves the id set."""
    kind = type(entity)
    _require_decision(uow, entity)
    values = {name: getattr(entity, name) for name in _terms_of(kind)}
    if isinstance(entity, AgentDecision):
        if "signals" not in vars(entity):
            raise InvalidInput("signals", "not loaded", "a decision as get_decision reads it")
        values["signals"] = [
            _create_all(uow, [(signal, ALONE)])[0]
            if signal.id is None
            else uow.signals.get(signal.id)
            for signal in entity.signals
        ]
    return kind(**values, account=uow.account, created_at=uow.now())


def _require_decision(uow: AbstractUnitOfWork, entity: Entity) -> None:
    """Raise NotFound for an unknown decision; the foreign key would name neither id nor account."""
    decision_id = getattr(entity, "decision_id", None)
    if decision_id is not None:
        uow.decisions.get(decision_id)


def _identity(entity: Entity) -> str:
    return repr(getattr(entity, "reference", None) or getattr(entity, "symbol", entity.account))


def _add(uow: AbstractUnitOfWork, new: list[Any]) -> list[Any]:
    if isinstance(new[0], CashFlow):
        open_account(uow)
    recorded = uow.records(type(new[0])).add_all(new)
    added = [one for one, kept in zip(new, recorded, strict=True) if kept is one]
    is_alert = isinstance(new[0], Alert)
    uow.record_all((one.raised() if is_alert else one.recorded(), one) for one in added)
    for one in added if is_alert else ():
        increment(ALERTS + one.severity)
    return recorded


def _open_position(uow: AbstractUnitOfWork, new: Position) -> Entity:
    position = uow.ledger.open(new.symbol, ()).position
    at = new.marked_at or uow.now()
    if new.current_price is not None and position.mark(new.current_price, at):
        uow.ledger.mark([position])
        new.marked_at, new.mark_source = position.marked_at, position.mark_source
    return position


def _keep_portfolio(uow: AbstractUnitOfWork, new: Portfolio) -> Entity:
    uow.portfolios.add(new)
    uow.record(new.taken(), new)
    return new


_ADD: Final[Mapping[type[Entity], Callable[[AbstractUnitOfWork, Any], Entity]]] = {
    Account: add_account,
    Portfolio: _keep_portfolio,
    Position: _open_position,
}


def _require_fresh(entity: Entity, stored: Entity) -> None:
    fresh = entity.updated_at == stored.updated_at
    if isinstance(entity, Position) and isinstance(stored, Position):
        read, now = entity.marked_at, stored.marked_at
        has_old_mark = now is not None and (read is None or read < now)
        fresh = same(entity.version, stored.version) and not has_old_mark
    if not fresh:
        raise StaleRecord(
            f"{type(stored).__name__} {stored.id} was changed by another writer since it was read; "
            "read it again, and change that"
        )


def _update_trade(uow: AbstractUnitOfWork, entity: Trade) -> Trade:
    stored = _locked(uow, uow.trades.get(_id(entity)))
    _require_fresh(entity, stored)
    changed = differences(stored, entity, _terms_of(Trade))
    if not changed:
        return stored
    if stored.status is not TradeStatus.PENDING:
        raise InvalidTransition(
            f"Trade {stored.id} is {stored.status} and never changes again ({', '.join(changed)} "
            "would); bust_trade or correct_trade puts a wrong one right"
        )
    check_changes(stored, changed)
    if entity.status in (TradeStatus.EXECUTED, TradeStatus.BUSTED):
        if entity.order_key != stored.order_key:
            raise InvalidInput("order_id", entity.order_id, "the order that it was recorded under")
        return record_trade(uow, **_terms(entity))
    changed.pop("status", None)
    _require_decision(uow, entity)
    _change(uow, stored, changed)
    if entity.status is TradeStatus.CANCELLED:
        return cancel_trade(uow, trade_id=stored.id)
    if entity.status is TradeStatus.REJECTED:
        return reject_trade(uow, trade_id=stored.id)
    return stored


def _terms(trade: Trade) -> TradeTerms:
    return cast("TradeTerms", {name: getattr(trade, name) for name in TradeTerms.__annotations__})


def _locked(uow: AbstractUnitOfWork, trade: Trade) -> Trade:
    """Lock a trade by its order in the ledger, since a fill of it may be booked concurrently."""
    for found in uow.ledger.open(trade.symbol, {trade.order_key}).trades:
        if found.id == trade.id:
            return found
    raise NotFound("Trade", trade.id, uow.account)


def _resolve(
    uow: AbstractUnitOfWork, stored: Alert, entity: Alert, changed: dict[str, tuple[object, object]]
) -> None:
    if stored.resolved or not entity.resolved:
        return
    if entity.resolution is None:
        raise InvalidInput("resolution", None, "what was done about the alert")
    for name in RESOLUTION:
        changed.pop(name, None)
    by, at = entity.resolved_by or uow.context.actor, entity.resolved_at or uow.now()
    uow.record(stored.resolve(entity.resolution, by=by, at=at), stored)


def _change(
    uow: AbstractUnitOfWork, stored: Entity, changed: Mapping[str, tuple[object, object]]
) -> None:
    if not changed:
        return
    for name, (_, value) in changed.items():
        setattr(stored, name, value)
    # Strictly increasing, also within one clock tick: `_require_fresh` compares it to find stale copies.
    stored.updated_at = max(uow.now(), stored.updated_at + timedelta(microseconds=1))
    changes = {name: [before, after] for name, (before, after) in changed.items()}
    uow.record(RecordUpdated(changes=changes), stored)
