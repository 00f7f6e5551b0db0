"""The mapping: nothing of an entity is silently not persisted, and no column is silently unused."""

from __future__ import annotations

import attrs
import pytest
from sqlalchemy import CheckConstraint, Index, UniqueConstraint, inspect
from sqlalchemy.orm import class_mapper

from tradebook import domain
from tradebook.adapters import orm
from tradebook.domain import (
    agents,
    alerts,
    cash,
    decision_inputs,
    events,
    imports,
    performance,
    portfolio,
    positions,
    seals,
    signals,
    trades,
)
from tradebook.domain.entity import Entity

orm.start_mappers()
ENTITIES = [
    agents.AgentAction,
    agents.AgentDecision,
    alerts.Alert,
    cash.Account,
    cash.CashFlow,
    decision_inputs.DecisionInput,
    events.Event,
    imports.Import,
    performance.PerformanceMetric,
    portfolio.Portfolio,
    portfolio.PortfolioPosition,
    positions.Position,
    seals.Seal,
    signals.Signal,
    trades.Trade,
]


def fields_of(entity: type[Entity]) -> set[str]:
    return {field.name for field in attrs.fields(entity)}


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_field_is_mapped_and_every_column_is_a_field(entity: type[Entity]) -> None:
    mapper = inspect(entity)
    mapped = {a.key for a in mapper.column_attrs} | {r.key for r in mapper.relationships}
    assert fields_of(entity) == mapped
    columns = {column.name for column in mapper.local_table.columns}
    assert columns == {a.key for a in mapper.column_attrs}


def test_every_entity_of_the_domain_is_in_this_test() -> None:
    assert {*ENTITIES} == {*Entity.__subclasses__()}
    assert {mapper.class_ for mapper in orm.mapped} == {*ENTITIES}
    assert domain is not None


@pytest.mark.parametrize("entity", ENTITIES)
def test_no_property_hides_a_column(entity: type[Entity]) -> None:
    for column in class_mapper(entity).local_table.columns:
        assert not isinstance(vars(entity).get(column.name), property)


def test_mapping_again_changes_nothing() -> None:
    before = list(orm.mapped)
    orm.start_mappers()
    assert list(orm.mapped) == before


def test_every_unique_key_contains_the_account_and_no_nullable_column_unguarded() -> None:
    for table in orm.metadata.tables.values():
        uniques = [c for c in table.constraints if isinstance(c, UniqueConstraint)]
        for unique in uniques:
            assert "account" in unique.columns, unique.name
            assert not any(column.nullable for column in unique.columns), unique.name
        for index in table.indexes:
            if index.unique:
                assert "account" in index.columns, index.name
        assert next(iter(table.primary_key.columns)).name == "account"
        for key in table.foreign_key_constraints:
            assert key.column_keys[0] == "account"


def test_no_column_of_positions_that_changes_is_indexed() -> None:
    table = orm.positions
    indexed = {column.name for index in table.indexes for column in index.columns}
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            indexed |= {column.name for column in constraint.columns}
    assert indexed == {"account", "symbol"}


def test_every_constraint_and_index_follows_the_naming_convention() -> None:
    kinds = {UniqueConstraint: "uq_", CheckConstraint: "ck_", Index: ("ix_", "uq_")}
    for table in orm.metadata.tables.values():
        for item in [*table.constraints, *table.indexes]:
            prefix = kinds.get(type(item))
            if prefix:
                assert str(item.name).startswith(prefix), item
