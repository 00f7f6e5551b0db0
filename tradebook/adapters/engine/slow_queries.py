"""Statements and plans without the values in them."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import attrs
from attrs import define, field, frozen
from sqlalchemy import Engine, event

from tradebook.adapters import loggers
from tradebook.config import DatabaseConfig
from tradebook.service_layer.call_context import current_actor, current_correlation_id
from tradebook.service_layer.instrumentation import current_call

MASK: Final = "?"
_LONGEST: Final = 4_000

_TEXT: Final = re.compile(r"[eExXbB]?'(?:[^']|'')*(?:'|$)")
_DOLLARS: Final = re.compile(r"\$(\w*)\$.*?(?:\$\1\$|$)", re.DOTALL)
_NUMBER: Final = re.compile(r"(?<![\w$:.])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b")
# What a plan says of itself: its numbers are no values.
_FIGURES: Final = re.compile(r"\((?:cost|actual|rows|width|slots)[^)]*\)|\(~?\d+ rows?\)")


def masked(statement: str) -> str:
    """SQL with `?` for every value that is written in it, in one line, cut to a length for logs.

    Placeholders (`$1`, `:name`, `%(name)s`) stay.
    """
    text = " ".join(_values_masked(statement).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def masked_plan(lines: list[str]) -> list[str]:
    """The lines of a plan, with `?` for the values of conditions; costs and row counts stay."""
    return [_masked_line(line) for line in lines]


def _masked_line(line: str) -> str:
    figures = _FIGURES.findall(line)
    rest = _values_masked(_FIGURES.sub("\0", line))
    for figure in figures:
        rest = rest.replace("\0", figure, 1)
    return rest


def _values_masked(text: str) -> str:
    for value in (_TEXT, _DOLLARS, _NUMBER):
        text = value.sub(MASK, text)
    return text


_BEGUN: Final = "_tradebook_slow_since"
_MOST_WAITING: Final = 100
"""Statements whose plan may wait to be made; further ones are logged without."""
_EXPLAINED: Final = re.compile(
    r"\s*\(*\s*(select|with|insert|update|delete|values)\b", re.IGNORECASE
)
_PREPARE: Final = re.compile(r"PREPARE (\w+) AS (.*)", re.DOTALL)
_EXECUTE: Final = re.compile(r"EXECUTE (\w+)")
_NUMBERED: Final = re.compile(r"\$(\d+)")
_LIMIT_MILLISECONDS: Final = 2_000


@frozen
class _Slow:
    """One statement that took too long.

    Attributes:
        statement: as it was sent.
        text, parameters: the same as psycopg2 and SQLite's driver take it, which ask for the plan.
    """

    statement: str
    text: str
    parameters: Any
    seconds: float
    failed: bool
    about: dict[str, object]


_Waiting = queue.SimpleQueue[_Slow | None]


NewEngine = Callable[[DatabaseConfig], Engine]


def log_slow_queries(
    engine: Engine, config: DatabaseConfig, account: str, new_engine: NewEngine
) -> None:
    """Log statements that take longer than `config.slow_query_seconds`, with their plans.

    Args:
        engine: the engine to watch, sync or the one below an asyncio engine.
        config: of the engine's database; plans are asked for on a connection of their own.
        account: named in each line of the log.
        new_engine: makes the engine that asks for plans.
    """
    _SlowQueries(config, account, engine.dialect.driver, new_engine).attend(engine)


@define(eq=False)
class _SlowQueries:
    config: DatabaseConfig
    account: str
    driver: str
    new_engine: NewEngine
    _prepared: dict[str, str] = field(factory=dict)
    _explainer: _Explainer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._explainer = _Explainer(self.config, self.new_engine)

    def attend(self, engine: Engine) -> None:
        event.listen(engine, "before_cursor_execute", _begin)
        event.listen(engine, "after_cursor_execute", self._executed)
        event.listen(engine, "handle_error", self._failed)
        event.listen(engine, "engine_disposed", lambda _engine: self._explainer.finish())

    def _executed(
        self, _c: object, _cursor: object, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        prepared = _PREPARE.match(statement)
        if prepared:
            self._prepared[prepared[1]] = prepared[2]
        self._look(statement, parameters, context, many=many)

    def _failed(self, failure: Any) -> None:
        """One that was cancelled took the longest."""
        if failure.execution_context is not None and failure.statement is not None:
            self._look(
                failure.statement, failure.parameters, failure.execution_context, failed=True
            )

    def _look(
        self,
        statement: str,
        parameters: Any,
        context: Any,
        *,
        many: bool = False,
        failed: bool = False,
    ) -> None:
        begun = getattr(context, _BEGUN, None)
        seconds = 0.0 if begun is None else time.perf_counter() - begun
        if begun is None or seconds < (self.config.slow_query_seconds or 0):
            return
        given, text = parameters[0] if many else parameters, statement
        executed = _EXECUTE.match(statement)
        if executed and executed[1] in self._prepared:
            statement = self._prepared[executed[1]]
        if statement != text or self.driver == "asyncpg":
            given = {f"p{n}": value for n, value in enumerate(given or (), 1)}
            text = _as_psycopg2_takes_it(statement)
        self._explainer.add(_Slow(statement, text, given, seconds, failed, self._about()))

    def _about(self) -> dict[str, object]:
        """Who calls, as far as that is known here."""
        call = current_call.get()
        return {
            "handler": call.handler if call else "",
            "account": self.account,
            "actor": (call.actor if call else "") or current_actor.get(),
            "correlation_id": (call.correlation_id if call else "") or current_correlation_id.get(),
        }


def _as_psycopg2_takes_it(statement: str) -> str:
    """A statement with `$1` for its first value."""
    return _NUMBERED.sub(r"%(p\1)s", statement.replace("%", "%%"))


def _begin(
    _c: object, _cursor: object, _statement: str, _p: object, context: Any, _many: object
) -> None:
    setattr(context, _BEGUN, time.perf_counter())


class _Explainer:
    """A thread that asks for plans; it is there while there is something to explain."""

    def __init__(self, config: DatabaseConfig, new_engine: NewEngine) -> None:
        self._new_engine = new_engine
        self._config = attrs.evolve(
            config,
            slow_query_seconds=None,
            echo=False,
            pool_size=1,
            max_overflow=0,
            statement_timeout=_LIMIT_MILLISECONDS,
            lock_timeout=_LIMIT_MILLISECONDS,
        )
        self._changing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._waiting: _Waiting = queue.SimpleQueue()

    def add(self, slow: _Slow) -> None:
        """Log it, with its plan where there is one."""
        if not loggers.SLOW_QUERIES.isEnabledFor(loggers.SLOW):
            return
        if _EXPLAINED.match(slow.statement) is None or self._waiting.qsize() >= _MOST_WAITING:
            _write(slow, None)
            return
        with self._changing:
            if self._thread is None:
                self._waiting = queue.SimpleQueue()
                self._thread = threading.Thread(
                    target=self._work,
                    args=(self._waiting,),
                    name="tradebook-slow-queries",
                    daemon=True,
                )
                self._thread.start()
            self._waiting.put(slow)

    def finish(self) -> None:
        """Wait until everything is logged."""
        with self._changing:
            thread, self._thread = self._thread, None
            self._waiting.put(None)
        if thread is not None:
            thread.join()

    def _work(self, waiting: _Waiting) -> None:
        engine = self._new_engine(self._config)
        try:
            while (slow := waiting.get()) is not None:
                _write(slow, _plan_of(engine, slow))
        finally:
            engine.dispose()


def _plan_of(engine: Engine, slow: _Slow) -> list[str] | None:
    """Its plan; None where the server gives none, for whatever reason."""
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    try:
        with engine.connect() as connection:
            rows = connection.exec_driver_sql(explain + slow.text, slow.parameters or None)
            return masked_plan([str(row[-1]) for row in rows])
    except Exception:  # the log must not fail where the statement did not
        return None


def _write(slow: _Slow, plan: list[str] | None) -> None:
    statement = masked(slow.statement)
    took = "failed after" if slow.failed else "took"
    about = loggers.about(
        summary=f"a statement {took} {slow.seconds:.3f} s",
        seconds=round(slow.seconds, 6),
        statement=statement,
        plan=plan,
        failed=slow.failed or None,
        **slow.about,
    )
    lines: Callable[[list[str]], str] = "\n  ".join
    shown = lines(["", *plan]) if plan else ""
    loggers.SLOW_QUERIES.log(
        loggers.SLOW,
        "a statement %s %.3f s: %s%s",
        took,
        slow.seconds,
        statement,
        shown,
        extra=about,
    )
