"""Exceptions thrown into a thread, at any point of a call: they leave no lock of a symbol behind."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

import pytest

import tradebook
from tests.support.backends import in_full_runs
from tradebook import Alert, DatabaseManager, Trade, handlers

BUY: dict[str, Any] = {"symbol": "X", "action": "BUY", "quantity": 1, "price": 10}


OURS = (str(Path(tradebook.__file__).parent), contextlib.__file__, threading.__file__)


class Thrown(BaseException):
    """Thrown into a thread by another, as KeyboardInterrupt is by a signal."""


@pytest.fixture
def book(sqlite_book: str) -> Iterator[DatabaseManager]:
    with DatabaseManager(sqlite_book) as manager:
        manager.record_trade(**BUY)
        manager.record_trade(**BUY)
        yield manager


def lock_is_free(book: DatabaseManager) -> bool:
    """Return whether another thread gets the symbol's lock at once, and the slots of calls that write alone."""
    locks = [
        book._container.position_cache().entry("X").lock,
        *book._container.group_commit()._slots,
    ]

    def free(lock: Any) -> bool:
        return lock.acquire(timeout=0) and lock.release() is None

    with ThreadPoolExecutor(1) as other:
        return all(other.map(free, locks))


def test_an_exception_thrown_into_a_thread_that_waits_for_its_turn_leaves_the_lock_free(
    book: DatabaseManager,
) -> None:
    lock = book._container.position_cache().entry("X").lock
    waiting, ended = recording(book)
    assert lock.acquire(timeout=0)
    waiting.start()
    while not waits(waiting):
        pass
    throw_into(waiting)
    lock.release()
    waiting.join()
    assert [type(error) for error in ended] == [Thrown]
    assert lock_is_free(book)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # in a thread that starts
def test_an_exception_thrown_into_a_thread_that_waits_in_the_queue_harms_no_other(
    book: DatabaseManager,
) -> None:
    group = book._container.group_commit()
    slot = group._slots[0]
    waiting, ended = recording(book)
    lock = book._container.position_cache().entry("X").lock
    assert lock.acquire(timeout=0)
    assert slot.acquire(blocking=False)
    waiting.start()
    while not group.queue.waiting:
        pass
    throw_into(waiting)
    lock.release()
    slot.release()
    waiting.join()
    book.record_trade(**BUY)
    assert lock_is_free(book)
    assert book.verify().proven
    assert (
        len(ended) + book.count(Trade) >= 4
    )  # thrown into a wait of C, it arrives after the answer


def recording(book: DatabaseManager) -> tuple[threading.Thread, list[BaseException]]:
    """Return a thread that records a trade, and where it leaves an exception that was thrown into it."""
    ended: list[BaseException] = []

    def trade() -> None:
        try:
            book.record_trade(**BUY, order_id="waiting")
        except Thrown as thrown:
            ended.append(thrown)

    return threading.Thread(target=trade), ended


def throw_into(thread: threading.Thread) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Thrown)
    )


def waits(thread: threading.Thread) -> bool:
    """Return whether a thread is where the symbol's lock is acquired."""
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code.co_name == "_lock"


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # in weak references
@pytest.mark.parametrize("where", [in_full_runs("sqlite_book"), "postgresql_book"])
@pytest.mark.parametrize("in_queue", [False, True])
def test_an_exception_anywhere_in_a_call_leaves_the_lock_free_and_transactions_whole(
    where: str, in_queue: bool, request: pytest.FixtureRequest
) -> None:
    with DatabaseManager(request.getfixturevalue(where), uuid4().hex) as book:
        for _ in range(3):
            book.record_trade(**BUY)
        if in_queue:  # no call may write its trade itself
            book._container.group_commit()._slots.clear()
        attack(book)
        assert book.count(Alert) == 0
        assert book.count(Trade) > 4  # thrown after the COMMIT, it takes nothing back
        assert book.verify().proven


def attack(book: DatabaseManager) -> None:
    """Throw an exception at each point of a trade on the fast path in turn."""
    for number in count():
        try:
            throw_at(number, lambda n=number: book.record_trade(**BUY, order_id=f"o-{n}"))
        except Thrown:
            assert lock_is_free(book), f"thrown at point {number}"
        else:
            assert number > 50
            return
        with book.unit_of_work() as uow:
            handlers.raise_alert(uow, "drawdown", "INFO")


def throw_at(point: int, call: Any) -> None:
    """Call a function; raise `Thrown` at a point where Python raises what another thread threw.

    These are the beginning of a function, and the end of one written in C; those of SQLAlchemy are passed over.
    """
    passed = 0

    def raise_there(frame: FrameType, happening: str, _argument: object) -> None:
        nonlocal passed
        if happening in ("call", "c_return") and frame.f_code.co_filename.startswith(OURS):
            passed += 1
            if passed == point + 1:
                raise Thrown

    sys.setprofile(raise_there)
    try:
        call()
    finally:
        sys.setprofile(None)
