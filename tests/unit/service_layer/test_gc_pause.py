"""Pauses of the garbage collector end as they should."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tradebook.service_layer.gc_pause import no_collecting


def test_nothing_is_collected_inside_and_all_is_as_before_after_an_error() -> None:
    def fails() -> None:
        with no_collecting():
            assert not gc.isenabled()
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert gc.isenabled()


def test_pauses_of_several_threads_last_until_the_end_of_the_last_one() -> None:
    both, one_left = Barrier(2, timeout=30), Barrier(2, timeout=30)

    def short() -> None:
        with no_collecting():
            both.wait()
        one_left.wait()

    def long() -> bool:
        with no_collecting():
            both.wait()
            one_left.wait()
            return gc.isenabled()

    with ThreadPoolExecutor(2) as threads:
        threads.submit(short)
        assert not threads.submit(long).result()
    assert gc.isenabled()


def test_a_program_that_collects_nothing_goes_on_so() -> None:
    gc.disable()
    try:
        with no_collecting():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
