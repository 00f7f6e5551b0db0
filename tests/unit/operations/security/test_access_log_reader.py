"""Parsing of the server's log: valid and invalid lines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tradebook import InvalidInput
from tradebook.operations.security.access_log_reader import (
    AccessFilter,
    AccessKind,
    parse_accesses,
    read_files,
)

LINE = {
    "timestamp": "2026-11-25 21:00:01.234 UTC",
    "user": "tradebook_writer",
    "dbname": "book",
    "pid": 77,
    "remote_host": "10.0.0.5",
    "application_name": "bot",
    "error_severity": "LOG",
    "message": "statement: SELECT 1",
}


def line(**changes: Any) -> bytes:
    return json.dumps({**LINE, **changes}).encode()


def kinds(*lines: bytes) -> list[str]:
    return [each.kind for each in parse_accesses(lines, AccessFilter())]


def test_a_statement_is_told_from_what_stands_before_it() -> None:
    [access] = parse_accesses([line()], AccessFilter())
    assert access.at == datetime(2026, 11, 25, 21, 0, 1, 234000, UTC)
    assert (access.kind, access.text, access.process) == (AccessKind.STATEMENT, "SELECT 1", 77)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("connection authorized: user=a database=b", "connect"),
        ("disconnection: session time: 0:00:01", "disconnect"),
        ("execute <unnamed>: SELECT $1", "statement"),
        ("AUDIT: SESSION,1,1,WRITE,INSERT,,,INSERT INTO trades", "audit"),
    ],
)
def test_each_kind_is_known_by_how_it_begins(message: str, kind: str) -> None:
    assert kinds(line(message=message)) == [kind]


def test_other_matters_are_passed_over() -> None:
    assert kinds(line(message="checkpoint starting: time"), line(state_code="42P01")) == [
        "statement"
    ]
    anonymous = {name: value for name, value in LINE.items() if name != "user"}
    assert kinds(json.dumps(anonymous).encode()) == []


def test_a_line_that_is_no_json_is_passed_over() -> None:
    assert kinds(line()[:40], b"", b"[]", b"7", b"\xff", line()) == ["statement"]


def test_a_time_of_an_unknown_zone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="log_timezone = 'UTC'"):
        kinds(line(timestamp="2026-11-25 21:00:01.234 CET"))


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    for name, text in (("b.json", "SELECT 2"), ("a.json", "SELECT 1"), ("c.log", "SELECT 3")):
        (tmp_path / name).write_bytes(line(message=f"statement: {text}", session_id="s") + b"\n")
    found = [each.text for each in parse_accesses(read_files(tmp_path), AccessFilter())]
    assert found == ["SELECT 1", "SELECT 2"]


def test_a_log_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="a file that can be read"):
        list(read_files(tmp_path / "nothing.json"))


@pytest.mark.parametrize(
    "wanted",
    [
        AccessFilter(role="other"),
        AccessFilter(kind=AccessKind.AUDIT),
        AccessFilter(database="other"),
        AccessFilter(since=datetime(2026, 11, 25, 21, 0, 2, tzinfo=UTC)),
        AccessFilter(until=datetime(2026, 11, 25, 21, 0, 1, tzinfo=UTC)),
    ],
)
def test_what_is_not_wanted_is_left_out(wanted: AccessFilter) -> None:
    assert list(parse_accesses([line()], wanted)) == []
