"""What a revision may do to PostgreSQL while others keep trading: the rules, applied to what it sent.

The first revision makes the schema, in a database that nobody uses yet; the rules hold from the second on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, event


class Sent(NamedTuple):
    """A statement, and which transaction it was in; None where it was one by itself."""

    sql: str
    transaction: int | None


@contextmanager
def statements_of(engine: Engine) -> Iterator[list[Sent]]:
    """Listens to what is sent by an engine on psycopg2."""
    heard: list[Sent] = []
    numbers, current = count(), [0]

    def begin(_connection: Connection) -> None:
        current[0] = next(numbers)

    def hear(connection: Any, _cursor: object, sql: str, *_: object) -> None:
        alone = connection.connection.driver_connection.autocommit
        heard.append(Sent(sql, None if alone else current[0]))

    event.listen(engine, "begin", begin)
    event.listen(engine, "before_cursor_execute", hear)
    yield heard
    event.remove(engine, "begin", begin)
    event.remove(engine, "before_cursor_execute", hear)


def broken_rules(sent: Sequence[Sent], in_use: Collection[str]) -> list[str]:
    """What the statements of a revision do that they may not, to tables that are in use before it."""
    found = []
    for statement in sent:
        sql = " ".join(statement.sql.split())
        for pattern, rule in _RULES:
            match = re.search(pattern, sql, re.IGNORECASE)
            if match and _concerns(sql, in_use):
                found.append(f"{rule}: {sql}")
    return found + list(_validated_too_early(sent)) + list(_waiting_for_long(sent, in_use))


_TABLE = re.compile(
    r"(?:ALTER TABLE|DROP TABLE|TRUNCATE|LOCK TABLE|LOCK|CLUSTER|VACUUM FULL|UPDATE|DELETE FROM|\bON|"
    r"REINDEX TABLE)(?: TABLE)?(?: IF EXISTS)?(?: ONLY)? \"?(\w+)",
    re.IGNORECASE,
)
_INDEX_OF = re.compile(
    r"(?:DROP|REINDEX) INDEX(?: CONCURRENTLY)?(?: IF EXISTS)? \"?(?:ix|uq)_(\w+)", re.I
)
_NOT_CONSTANT = (
    r"now\(|random\(|nextval\(|uuid|clock_timestamp|current_timestamp|statement_timestamp"
)
_ADD = r"^ALTER TABLE \S+ ADD (?:COLUMN )?(?!CONSTRAINT)"
_RULES = (
    (
        _ADD + r"(?!.*\bDEFAULT\b).*NOT NULL",
        "a new column is nullable or has a default, or who writes as before cannot",
    ),
    (_ADD + rf".*DEFAULT.*({_NOT_CONSTANT})", "a default is a constant, or every row is rewritten"),
    (
        _ADD + r".*\b(GENERATED|(BIG|SMALL)?SERIAL)\b",
        "a column that the server fills in rewrites every row",
    ),
    (
        _ADD + r".*\b(CHECK|REFERENCES|UNIQUE|PRIMARY KEY)\b",
        "a constraint is added after its column, NOT VALID or by an index",
    ),
    (r"^CREATE (UNIQUE )?INDEX (?!CONCURRENTLY)", "an index is made CONCURRENTLY"),
    (r"^DROP INDEX (?!CONCURRENTLY)", "an index is dropped CONCURRENTLY"),
    (r"^REINDEX (?!.*CONCURRENTLY)", "an index is made again CONCURRENTLY"),
    (
        r"ADD CONSTRAINT \S+ (CHECK|FOREIGN KEY)(?!.*NOT VALID$)",
        "a constraint is added NOT VALID, and validated in another transaction",
    ),
    (
        r"ADD CONSTRAINT \S+ (UNIQUE|PRIMARY KEY|EXCLUDE)(?! USING INDEX)",
        "a key is made of an index that was made CONCURRENTLY",
    ),
    (r"ALTER (COLUMN )?\S+ SET NOT NULL", "SET NOT NULL reads every row behind a lock"),
    (r"ALTER (COLUMN )?\S+ (SET DATA )?TYPE", "another type rewrites every row"),
    (r"\bDROP (COLUMN|TABLE)\b|\bRENAME\b", "what the version before reads stays, with its name"),
    (r"^(TRUNCATE|LOCK|CLUSTER|VACUUM FULL)\b", "nobody is kept from a table"),
    (r"^(UPDATE|DELETE FROM)(?!.*\bWHERE\b)", "not every row is changed at once"),
)  # fmt: skip


def _concerns(sql: str, in_use: Collection[str]) -> bool:
    """Whether a statement is about one of the tables; of an index that is dropped, its name says it."""
    dropped = _INDEX_OF.search(sql)
    if dropped:
        return any(f"{dropped[1]}_".startswith(f"{table}_") for table in in_use)
    found = _TABLE.search(sql)
    return found is not None and found[1] in in_use


def _validated_too_early(sent: Sequence[Sent]) -> Iterator[str]:
    added = {
        name: statement.transaction
        for statement in sent
        for name in re.findall(r"ADD CONSTRAINT (\S+)", statement.sql)
    }
    for statement in sent:
        for name in re.findall(r"VALIDATE CONSTRAINT (\S+)", statement.sql):
            if statement.transaction is not None and added.get(name) == statement.transaction:
                yield f"validating goes on in another transaction, without the lock: {statement.sql}"


def _waiting_for_long(sent: Sequence[Sent], in_use: Collection[str]) -> Iterator[str]:
    """A statement that locks waits for its lock for milliseconds only: others wait behind it."""
    timeout = 0
    for statement in sent:
        said = re.search(r"SET (?:LOCAL )?lock_timeout = (\d+)", statement.sql)
        if said:
            timeout = int(said[1])
        locks = re.match(r"ALTER TABLE(?!.* VALIDATE )|DROP TABLE", statement.sql)
        if locks and _concerns(statement.sql, in_use) and not 0 < timeout < 1000:
            yield f"a lock is waited for with a short lock_timeout: {statement.sql}"
