"""A statement that is prepared on the connections of PostgreSQL: by asyncpg itself, for psycopg2 by PREPARE."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Dialect

from tradebook.adapters.engine.connect_errors import sqlstate
from tradebook.adapters.engine.poolers import POOLED
from tradebook.adapters.ledger.autocommit import Sender
from tradebook.adapters.ledger.pooled_statement import NOT_KEPT, fetch_pooled

PREPARED: Final = "tradebook_booking"
"""The beginning of the prepared statement's name. The rest is a hash of its text: behind a pooler, programs of several
versions share a connection of the server, and none may run another's text."""


class PreparedStatement:
    """A statement for asyncpg, which prepares statements itself.

    Attributes:
        text: with `$1::type` for each parameter.
        name: under which it is prepared.
    """

    def __init__(self, text: str, names: Sequence[str]) -> None:
        """Take the text, and a name for each parameter, in their order."""
        self.text = text
        self.name = f"{PREPARED}_{sha256(text.encode()).hexdigest()[:16]}"
        self._names = names

    def send(self, sender: Sender, values: tuple[Any, ...], *, prepared: bool) -> Any:
        """Send the statement, and return its first row, or None.

        Args:
            sender: the connection.
            values: of the parameters.
            prepared: leave it prepared on the connection. Only outside transactions: a pooler may give the next
                call another connection, and the failure of its EXECUTE would end the transaction.
        """
        if prepared and sender.pooled is not None:
            return fetch_pooled(sender.pooled, sender.info, self.name, self.text, values)
        return sender.send(self.text, values)


class Psycopg2Statement(PreparedStatement):
    """A statement for psycopg2, which does not prepare statements by itself."""

    def __init__(self, text: str, names: Sequence[str]) -> None:
        """Take the text, and a name for each parameter, in their order."""
        super().__init__(text, names)
        placeholders = [f"%({name})s" for name in names]
        self._plain = re.sub(r"\$(\d+)", lambda number: placeholders[int(number[1]) - 1], text)
        self._prepare = f"PREPARE {self.name} AS {text}"
        self._execute = f"EXECUTE {self.name} ({', '.join(['%s'] * len(names))})"
        self._can_prepare = True

    def send(self, sender: Sender, values: tuple[Any, ...], *, prepared: bool) -> Any:
        """Send the statement; see `PreparedStatement.send`."""
        if not (prepared and self._can_prepare):
            return self._send_plain(sender, values)
        if POOLED in sender.info:
            return self._send_pooled(sender, values)
        try:
            if self.name not in sender.info:
                sender.send(self._prepare, None)
                sender.info[self.name] = True
            return sender.send(self._execute, values)
        except Exception as error:
            # A pooler between us and the server runs each statement on another connection.
            if sqlstate(getattr(error, "orig", error)) in NOT_KEPT:
                self._can_prepare = False
            raise

    def _send_plain(self, sender: Sender, values: tuple[Any, ...]) -> Any:
        return sender.send(self._plain, dict(zip(self._names, values, strict=True)))

    def _send_pooled(self, sender: Sender, values: tuple[Any, ...]) -> Any:
        """Execute the statement on whichever connection of the server it meets, prepared there if need be.

        Where the name is missing or taken, nothing was written. A taken one has the same text:
        a program of the same version prepared it.
        """
        both = f"{self._prepare}; {self._execute}"
        for text in (self._execute, both) * 2:
            try:
                return sender.send(text, values)
            except Exception as error:
                if sqlstate(getattr(error, "orig", error)) not in NOT_KEPT:
                    raise
        return self._send_plain(sender, values)


def prepared_statement(dialect: Dialect, text: str, names: Sequence[str]) -> PreparedStatement:
    """Return the statement for a dialect's driver."""
    kind = Psycopg2Statement if dialect.driver == "psycopg2" else PreparedStatement
    return kind(text, names)
