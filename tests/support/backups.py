"""Writers that record when each trade was acknowledged, and a replacement for the tool age."""

from __future__ import annotations

import shutil
import sys
import threading
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pyrage

from tradebook import DatabaseConfig, DatabaseManager, TradebookError

_AGE = """\
#!{python}
import sys
import pyrage

mode, *options = sys.argv[1:]
pairs = list(zip(options[::2], options[1::2]))
data = sys.stdin.buffer.read()
try:
    if mode == "--encrypt":
        keys = [pyrage.x25519.Recipient.from_str(key) for option, key in pairs if option == "-r"]
        result = pyrage.encrypt(data, keys)
    else:
        keys = [pyrage.x25519.Identity.from_str(open(name).read().strip()) for _, name in pairs]
        result = pyrage.decrypt(data, keys)
except Exception as error:
    sys.exit(f"age: error: {{error}}")
for start in range(0, len(result), 4096):  # at once, a full disk cuts the output off without an error
    sys.stdout.buffer.write(result[start : start + 4096])
"""


class Writers:
    """Threads that book trades, each under an order id of its own, until the block ends.

    Attributes:
        started: when each order was sent.
        acknowledged: when each was known to be booked.
    """

    def __init__(self, config: DatabaseConfig, threads: int = 2) -> None:
        self.started: dict[str, datetime] = {}
        self.acknowledged: dict[str, datetime] = {}
        self._book = DatabaseManager(config)
        self._ending = threading.Event()
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._write, args=(number,)) for number in range(threads)
        ]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._book.close()

    def go_on(self, trades: int = 5) -> None:
        """Wait until so many more are acknowledged."""
        with self._changed:
            wanted = len(self.acknowledged) + trades
            assert self._changed.wait_for(lambda: len(self.acknowledged) >= wanted, timeout=60)

    def acknowledged_before(self, moment: datetime) -> set[str]:
        """Return the orders that were acknowledged up to a moment."""
        with self._changed:
            return {order for order, at in self.acknowledged.items() if at <= moment}

    def sent_after(self, moment: datetime) -> set[str]:
        """Return the orders that were sent after a moment."""
        return {order for order, at in list(self.started.items()) if at > moment}

    def _write(self, thread: int) -> None:
        for number in count():
            if self._ending.is_set():
                return
            order = f"{thread}-{number}"
            self.started[order] = datetime.now(UTC)
            try:
                self._book.record_trade(
                    symbol="AAPL", action="BUY", quantity=1, price=2, order_id=order
                )
            except TradebookError:  # the server was killed
                return
            with self._changed:
                self.acknowledged[order] = datetime.now(UTC)
                self._changed.notify_all()


def orders_in(config: DatabaseConfig) -> set[str]:
    """Verify a book, and return the order ids of all its trades."""
    with DatabaseManager(config) as book:
        assert book.verify().proven
        found: set[str] = set()
        page: Any = book.get_trades(limit=1000)
        while True:
            found |= {trade.order_id for trade in page}
            if page.after is None:
                return found
            page = book.get_trades(limit=1000, after=page.after)


def age_tool(folder: Path) -> tuple[str, Path]:
    """Provide an `age` in a folder for PATH; return a public key and the file of its secret key.

    Where age is not installed, a script with the library pyrage does the same.
    """
    if shutil.which("age") is None:
        script = folder / "age"
        script.write_text(_AGE.format(python=sys.executable))
        script.chmod(0o755)
    identity = pyrage.x25519.Identity.generate()
    secret = folder / "secret.txt"
    secret.write_text(f"{identity}\n")
    return str(identity.to_public()), secret
