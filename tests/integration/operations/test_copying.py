"""Copies of a book between SQLite and PostgreSQL: every row as it is, all of them or none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    URL,
    Boolean,
    Column,
    Connection,
    PrimaryKeyConstraint,
    Table,
    Text,
    create_engine,
    insert,
    select,
    text,
)

from tests.support.command_line import Command
from tests.support.servers import configured, create_database
from tests.support.toured_books import take_tour
from tradebook import (
    DatabaseConfig,
    DatabaseManager,
    DatabaseUnavailable,
    InvalidInput,
    NotPermitted,
    OperationFailed,
    SchemaNotReady,
    WouldOverwrite,
)
from tradebook.adapters.columns import decimal_columns, integer_columns, json_columns, time_columns
from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.engine.postgresql_copy import unescaped
from tradebook.adapters.orm import metadata
from tradebook.domain.canonical_json import canonical_bytes
from tradebook.operations import table_lines
from tradebook.operations.copying import copy_book
from tradebook.operations.schema_check import check_schema

ODD: Final = "é\\N \b\f\v\r\n\t\x1f\x7f\u2028 'quoted' \"twice\" \\"
DETAILS: Final = {
    "zz": 1,
    "a": [1e-7, -0.0, 1.5, 10**30, None, True],
    "é": {"bb": ODD, "a": {}, "B": "0.00000010"},
    ODD: "\\u0000 is no float",
}
EMPTY: Final = dict.fromkeys(metadata.tables, 0)


@pytest.fixture(scope="module")
def filled(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with two accounts, a row in every table, and text that COPY escapes."""
    path = shutil.copy(migrated_file, tmp_path_factory.mktemp("filled") / "book.db")
    for account in ("main", "Zürich"):
        with DatabaseManager(f"sqlite:///{path}", account) as book:
            take_tour(book)
            book.record_signal("AAPL", "BUY", source=ODD, details=DETAILS)
            for number in range(table_lines._FIRST_ROWS):
                book.record_signal(f"S{number}", "BUY", strength=Decimal(number) / 8)
            book.seal()
            book.raise_alert("after the seal", "INFO", message=ODD)
    return Path(path)


@pytest.fixture
def original(filled: Path, tmp_path: Path) -> DatabaseConfig:
    """A copy of that file."""
    return DatabaseConfig(path=shutil.copy(filled, tmp_path / "original.db"))


@pytest.fixture
def file(tmp_path: Path) -> Callable[[], DatabaseConfig]:
    """Makes configurations of files that do not exist."""
    return lambda: DatabaseConfig(path=tmp_path / f"{uuid4().hex}.db")


@pytest.fixture
def server(postgresql: URL, migrated_database: str) -> Callable[[], DatabaseConfig]:
    """Makes databases on the server, with the tables of a book."""
    return lambda: configured(create_database(postgresql, f"db{uuid4().hex}", migrated_database))


def content(config: DatabaseConfig) -> dict[str, list[Any]]:
    """Every row of every table, as the column types read it, in the form that seals hash."""
    with engine_for(config) as engine, engine.connect() as connection:
        return {
            table.name: sorted(map(canonical_bytes, connection.execute(select(table)).mappings()))
            for table in metadata.sorted_tables
        }


def sizes(config: DatabaseConfig) -> dict[str, int]:
    return {name: len(rows) for name, rows in content(config).items()}


def test_a_book_goes_to_postgresql_and_back_with_every_digit(
    original: DatabaseConfig,
    new_database: Callable[[], URL],
    server: Callable[[], DatabaseConfig],
    file: Callable[[], DatabaseConfig],
) -> None:
    configs = [original, configured(new_database()), server(), file(), file()]
    copies = [copy_book(source, target) for source, target in pairwise(configs)]

    assert all(copied.proven for copied in copies)
    expected = content(original)
    assert 0 not in sizes(original).values()
    for config in configs[1:]:
        assert content(config) == expected
    for copied in copies:
        assert {table.name: table.rows for table in copied.tables} == sizes(original)
        assert [each.account for each in copied.accounts] == ["Zürich", "main"]
        assert all(each.seals and each.seals.seals for each in copied.accounts)
    # From one kind to the other the hashes are those of one form, whichever way it goes.
    assert copies[0].tables == copies[2].tables
    assert copies[0].tables != copies[1].tables


@pytest.mark.parametrize("kind", ["file", "server"])
def test_a_copy_is_a_book_that_goes_on(
    original: DatabaseConfig, kind: str, request: pytest.FixtureRequest
) -> None:
    with (
        engine_for(original) as engine,
        engine.begin() as connection,
    ):  # ids that are gone stay gone
        connection.exec_driver_sql("UPDATE sqlite_sequence SET seq = 7000 WHERE name = 'alerts'")
    target = request.getfixturevalue(kind)()
    copy_book(original, target, prove=False)

    with engine_for(target) as engine, engine.connect() as connection:
        last = connection.execute(text("SELECT max(id) FROM trades")).scalar_one()
    with DatabaseManager(target) as book:
        trade = book.record_trade(symbol="AAPL", action="BUY", quantity=1, price=2, order_id="next")
        assert trade.id > last
        assert book.raise_alert("next", "INFO").id == 7001
        assert book.seal().events
        assert book.verify().proven
        assert book.check_seals().sound
    with engine_for(target) as engine:
        assert check_schema(engine) == ()


@pytest.mark.parametrize(("source", "target"), [("file", "server"), ("server", "file")])
def test_a_table_that_is_added_later_is_copied_too(
    source: str, target: str, request: pytest.FixtureRequest
) -> None:
    configs = [request.getfixturevalue(kind)() for kind in (source, target)]
    for config in configs:
        with DatabaseManager(config) as book:
            book.upgrade()
    added = Table(
        "added_later",
        metadata,
        Column("name", Text, nullable=False),
        *decimal_columns("amount"),
        *time_columns("at", nullable=True),
        *json_columns("notes"),
        Column("flag", Boolean, nullable=False),
        *integer_columns("number"),
        Column("account", Text, nullable=False),
        PrimaryKeyConstraint("account", "name", "number"),
    )
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    names = ["é", "a b", "aB", "ab", "Ab", "-", "\\", "\t", *map(str, range(300))]
    rows = [
        {
            "account": "main",
            "name": name,
            "number": -number,
            "amount": Decimal(number) / 7 if number else Decimal("1E+30"),
            "at": at + timedelta(microseconds=number) if number % 2 else None,
            "notes": DETAILS,
            "flag": bool(number % 2),
        }
        for number, name in enumerate(names)
    ]
    try:
        for config in configs:
            with engine_for(config) as engine:
                added.create(engine)
        with engine_for(configs[0]) as engine, engine.begin() as connection:
            connection.execute(insert(added), rows)
        copied = copy_book(*configs)
        assert content(configs[0]) == content(configs[1])
    finally:
        metadata.remove(added)
    assert {table.name: table.rows for table in copied.tables} == {**EMPTY, "added_later": 308}


@pytest.mark.parametrize("kind", ["file", "server"])
def test_an_interrupted_copy_leaves_the_target_empty(
    original: DatabaseConfig, kind: str, request: pytest.FixtureRequest
) -> None:
    target = request.getfixturevalue(kind)()
    for stage in (0.2, 0.7):  # while it is written, and while it is read back

        def interrupt(done: int, total: int, stage: float = stage) -> None:
            if done > stage * total:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            copy_book(original, target, report=interrupt)
        assert sizes(target) == EMPTY
        with engine_for(target) as engine:
            assert check_schema(engine) == ()
    assert copy_book(original, target).proven


@pytest.mark.parametrize("kind", ["file", "server"])
def test_what_is_not_read_back_as_it_was_is_not_kept(
    original: DatabaseConfig,
    kind: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = request.getfixturevalue(kind)()
    lines: Any = table_lines.SqliteLines if kind == "file" else table_lines.PostgresqlLines
    write = lines.write
    for change in (
        lambda page: page.replace(b"AAPL", b"AAPM"),
        lambda page: page[: page.rindex(b"\n", 0, -1) + 1],  # without its last row
    ):

        def changed(self: Any, table: Table, page: bytes, change: Any = change) -> None:
            write(self, table, change(page) if table.name == "signals" else page)

        monkeypatch.setattr(lines, "write", changed)
        with pytest.raises(OperationFailed, match=r"signals .* not the original"):
            copy_book(original, target)
        assert sizes(target) == EMPTY


def test_a_book_that_is_not_empty_is_refused(
    original: DatabaseConfig,
    file: Callable[[], DatabaseConfig],
    server: Callable[[], DatabaseConfig],
) -> None:
    for target in (file(), server()):
        with DatabaseManager(target) as book:
            book.upgrade()
            alert = book.raise_alert("mine", "INFO")
        with pytest.raises(WouldOverwrite, match="has rows: copy into an empty database"):
            copy_book(original, target)
        with DatabaseManager(target) as book:
            assert [each.id for each in book.get_unresolved_alerts()] == [alert.id]


def test_a_target_in_use_is_refused(
    original: DatabaseConfig,
    own_postgresql_book: URL,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table_lines, "_LOCK_MILLISECONDS", 10)
    target = configured(own_postgresql_book)
    with DatabaseManager(target).get_session() as session:
        session.execute(text("SELECT count(*) FROM seals"))
        with pytest.raises(WouldOverwrite, match=r"the target is in use .*stop what uses it"):
            copy_book(original, target)
    assert sizes(target) == EMPTY


def test_the_same_database_and_one_in_memory_are_refused(
    original: DatabaseConfig, file: Callable[[], DatabaseConfig], own_postgresql_book: URL
) -> None:
    path = Path(str(original.path))
    same = DatabaseConfig(path=path.parent / "." / ".." / path.parent.name / path.name)
    server = configured(own_postgresql_book)
    for source, target in ((original, same), (server, evolve(server, password="other"))):
        with pytest.raises(InvalidInput, match="another database than the one to copy"):
            copy_book(source, target)
    for pair in ((original, DatabaseConfig.from_url("sqlite://")), (configured("sqlite://"), same)):
        with pytest.raises(InvalidInput, match="a file or a server"):
            copy_book(*pair)
    missing, target = file(), file()
    with pytest.raises(DatabaseUnavailable, match="there is no file"):
        copy_book(missing, target)
    assert not Path(str(target.path)).exists()


def test_a_schema_of_another_revision_is_refused(
    original: DatabaseConfig, own_postgresql_book: URL
) -> None:
    server = configured(own_postgresql_book)
    with engine_for(server) as engine, engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))
    for source, target in ((original, server), (server, original)):
        with pytest.raises(SchemaNotReady, match=r"/db\w+\S*: .*revision 0002.*`tradebook db up"):
            copy_book(source, target)
    assert sizes(server) == EMPTY


def test_a_role_that_sees_a_part_or_owns_nothing_is_refused(
    own_postgresql_book: URL, file: Callable[[], DatabaseConfig]
) -> None:
    admin, role = configured(own_postgresql_book), f"r{uuid4().hex}"
    with engine_for(admin) as engine, engine.begin() as connection:
        for statement in (
            f"CREATE ROLE {role} LOGIN",
            f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
            "ALTER TABLE signals ENABLE ROW LEVEL SECURITY",
        ):
            connection.execute(text(statement))
    bot = evolve(admin, username=role)
    with pytest.raises(NotPermitted, match="row-level security applies to this role on signals"):
        copy_book(bot, file())
    source = file()
    with DatabaseManager(source) as book:
        book.raise_alert("mine", "INFO")
    with pytest.raises(
        NotPermitted, match=r"this role does not own accounts, .*the role that does"
    ):
        copy_book(source, bot)
    assert sizes(admin) == EMPTY
    assert copy_book(source, admin).proven


def test_what_the_original_does_not_prove_is_copied_and_said(
    original: DatabaseConfig, file: Callable[[], DatabaseConfig]
) -> None:
    with engine_for(original) as engine, engine.begin() as connection:
        connection.execute(text("UPDATE positions SET fees = '99' WHERE account = 'main'"))
        connection.execute(text("UPDATE events SET actor = 'x' WHERE id = 1"))
    target = file()
    tradebook = Command(str(original.url))
    copied = tradebook("copy", "--to", str(target.url))
    assert copied.exit_code == 1
    assert "every table is equal to its original" in copied.stdout
    assert "account main, as in the original:" in copied.stdout
    assert "fees" in copied.stdout
    assert "Event 1 was changed" in " ".join(copied.stdout.split())
    assert content(target) == content(original)


def test_the_command_copies_and_says_what(
    original: DatabaseConfig, file: Callable[[], DatabaseConfig], own_postgresql_book: URL
) -> None:
    server, url = configured(own_postgresql_book), str(original.url)
    tradebook = Command(str(server.url))
    document = tradebook.json("copy", "--from", url)
    assert document["to"] == server.safe_url
    assert document["proven"]
    assert {table["name"] for table in document["tables"]} == metadata.tables.keys()
    assert [each["proven"] for each in document["accounts"]] == [True, True]
    assert "has rows: copy into an empty" in tradebook.refused("copy", "--from", url)
    back = file()
    said = tradebook("copy", "--to", str(back.url), "--quick").stdout
    assert "copied: 2 accounts, 22 trades, " in said
    assert "proven" not in said
    assert sizes(back) == sizes(original)
    assert "--from URL, --to URL or both" in tradebook.refused("copy", exit_code=2)


JSON_TEXT: Final = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=8
)
VALUES: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | JSON_TEXT,
    lambda some: st.lists(some, max_size=4) | st.dictionaries(JSON_TEXT, some, max_size=6),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def connection(postgresql: URL) -> Iterator[Connection]:
    engine = create_engine(postgresql)
    with engine.connect() as made:
        yield made
    engine.dispose()


@settings(deadline=None)
@given(value=VALUES)
def test_json_is_written_as_postgresql_writes_it(connection: Connection, value: Any) -> None:
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        cursor.execute("SELECT CAST(CAST(%s AS jsonb) AS text)", (json.dumps(value),))
        [(stored,)] = cursor.fetchall()
    assert unescaped(table_lines._json_field(json.dumps(value))) == stored
    assert unescaped(table_lines._json_field(stored)) == stored
