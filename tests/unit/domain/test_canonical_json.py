"""The one form in bytes of a record's values: hashes that were written down must come out again."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest

from tradebook import TradeAction
from tradebook.domain.canonical_json import canonical_bytes, digest

NOON_IN_TOKYO = datetime(2026, 3, 2, 12, tzinfo=timezone(timedelta(hours=9)))


@pytest.mark.parametrize(
    ("given", "form"),
    [
        ("a", '"a"'),
        ("Grüße", '"Grüße"'),
        (TradeAction.BUY, '"BUY"'),
        (7, "7"),
        (True, "true"),
        (None, "null"),
        (NOON_IN_TOKYO, '"2026-03-02T03:00:00.000000+00:00"'),
        (Decimal("1.50"), '"1.5"'),
        (Decimal("1E+3"), '"1000"'),
        (0.5, "0.5"),
        (-0.0, "0.0"),
        (b"\x00\xff", '"00ff"'),
        ({"b": Decimal(1), "a": {"d": 1, "c": 2}}, '{"a":{"c":2,"d":1},"b":"1"}'),
        (OrderedDict(b=1, a=2), '{"a":2,"b":1}'),
        ([Decimal("1.0"), (2, b"\x01")], '["1",[2,"01"]]'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
    ],
    ids=lambda value: str(value)[:20].replace("\\", ""),
)
def test_every_kind_of_value_has_one_form(given: Any, form: str) -> None:
    assert canonical_bytes({"value": given}) == f'{{"value":{form}}}'.encode()


def test_the_order_of_names_does_not_matter_and_their_values_do() -> None:
    assert (
        canonical_bytes({"a": 1, "b": 2}) == canonical_bytes({"b": 2, "a": 1}) == b'{"a":1,"b":2}'
    )
    assert digest({"a": 1}) != digest({"a": 2})


@pytest.mark.usefixtures("far_from_utc")
def test_the_form_of_a_time_is_the_same_on_every_machine() -> None:
    assert canonical_bytes({"at": NOON_IN_TOKYO}) == b'{"at":"2026-03-02T03:00:00.000000+00:00"}'


def test_half_a_pair_of_surrogates_has_a_form_too() -> None:
    assert canonical_bytes({"a": "\ud800"}) == b'{"a":"\xed\xa0\x80"}'


def test_the_digest_is_the_sha_256_of_the_form() -> None:
    values = {"at": datetime(2026, 3, 2, tzinfo=UTC), "price": Decimal("150.25")}

    assert digest(values) == sha256(canonical_bytes(values)).digest()
