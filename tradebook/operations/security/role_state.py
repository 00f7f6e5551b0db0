"""FIXME."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen


@frozen
class Found:
    """What there is.

    Attributes:
        database, schema: where the book is.
        user: who asks.
        is_superuser: whether that one may do anything.
        roles: the roles that there are, each with the attributes that none of ours may have.
        tables: the book's tables that there are, each with its owner.
        secured: those that row security is on for.
        policies: (table, policy) that there are.
        members: (role, group) of which it is a member, but for the one who asks.
        triggers: what guards booked trades.
        has_access: whether there is a table of who sees which account.
        settings: the server's, as they are.
    """

    database: str
    schema: str
    user: str
    is_superuser: bool
    roles: Mapping[str, Sequence[str]]
    tables: Mapping[str, str]
    secured: frozenset[str]
    policies: frozenset[tuple[str, str]]
    members: Sequence[tuple[str, str]]
    triggers: frozenset[str]
    has_access: bool
    settings: Mapping[str, str]
