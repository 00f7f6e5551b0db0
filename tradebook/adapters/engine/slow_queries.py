"""Log slow statements with their plans, without a value in either.

`masked` and `masked_plan` replace values by `?`. `log_slow_queries` times the statements of an engine; the plans
of slow ones are fetched on a connection and a thread of their own, so that no caller waits for them.
"""

from __future__ import annotations

import logging
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

_MASK: Final = "?"
_LONGEST: Final = 4_000
_VALUE: Final = (
    r"[eExXbB]?'(?:[^']|'')*(?:'|$)"  # text
    r"|\$(?P<tag>\w*)\$(?s:.*?)(?:\$(?P=tag)\$|$)"  # dollar-quoted text
    r"|(?<![\w$:.])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b"  # a number, but not $1 or p1
)
# The estimates and measures in a plan, whose numbers are no values of the statement.
_COSTS: Final = r"\((?:cost|actual|rows|width|slots)[^)]*\)|\(~?\d+ rows?\)"
_IN_STATEMENT: Final = re.compile(_VALUE)
_IN_PLAN: Final = re.compile(f"(?P<costs>{_COSTS})|{_VALUE}")

ACCOUNT: Final = "tradebook_account"
"""The option of an engine that names another account than the one its log was made for."""

_STARTED: Final = "_tradebook_slow_since"
_MOST_WAITING: Final = 100
"""Statements that may wait for their plan; further ones are logged without."""
_PLAN_MILLISECONDS: Final = 2_000
_EXPLAINED: Final = re.compile(
    r"\s*\(*\s*(select|with|insert|update|delete|values)\b", re.IGNORECASE
)
_PREPARE: Final = re.compile(r"PREPARE (\w+) AS (.*?)(?:; EXECUTE .*)?$", re.DOTALL)
_EXECUTE: Final = re.compile(r"EXECUTE (\w+)")
_NUMBERED: Final = re.compile(r"\$(\d+)")

NewEngine = Callable[[DatabaseConfig], Engine]


def masked(statement: str) -> str:
    """Return SQL with `?` for every literal, in one line, cut to 4,000 characters.

    Placeholders (`$1`, `:name`, `%(name)s`) stay.
    """
    text = " ".join(_IN_STATEMENT.sub(_MASK, statement).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def masked_plan(lines: list[str]) -> list[str]:
    """Return the lines of a plan with `?` for the values of conditions; costs and row counts stay."""
    return [_IN_PLAN.sub(lambda found: found["costs"] or _MASK, line) for line in lines]


@frozen
class _SlowStatement:
    """A statement that took too long; `text` and `parameters` are for the driver that fetches its plan."""

    statement: str
    text: str
    parameters: Any
    seconds: float
    failed: bool
    fields: dict[str, object]


def log_slow_queries(
    engine: Engine, config: DatabaseConfig, account: str, new_engine: NewEngine
) -> None:
    """Log the statements of an engine that take longer than `config.slow_query_seconds`, with their plans.

    Of an asyncio engine, `engine` is the sync one below it. `new_engine` makes the one that fetches plans.
    """
    log = _SlowQueryLog(config, account, engine.dialect.driver, new_engine)
    event.listen(engine, "before_cursor_execute", log.start)
    event.listen(engine, "after_cursor_execute", log.end)
    event.listen(engine, "handle_error", log.fail)
    event.listen(engine, "engine_disposed", log.finish)


@define(eq=False)
class _SlowQueryLog:
    """The listeners on one engine, and the thread that fetches plans while statements wait for theirs."""

    config: DatabaseConfig
    account: str
    driver: str
    new_engine: NewEngine
    _prepared: dict[str, str] = field(factory=dict)
    _lock: threading.Lock = field(factory=threading.Lock)
    _thread: threading.Thread | None = None
    _waiting: queue.SimpleQueue[_SlowStatement | None] = field(factory=queue.SimpleQueue)

    def start(
        self, _c: object, _cursor: object, _statement: str, _p: object, context: Any, _many: object
    ) -> None:
        setattr(context, _STARTED, time.perf_counter())

    def end(
        self, _c: object, _cursor: object, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        # Statements are prepared in SQL: an EXECUTE shows neither its text nor a plan of it.
        prepared = _PREPARE.match(statement)
        if prepared:
            self._prepared[prepared[1]] = prepared[2]
        self._measure(statement, parameters[0] if many else parameters, context)

    def fail(self, failure: Any) -> None:
        # `after_cursor_execute` is not called for a statement that timed out, the slowest of all.
        if failure.execution_context is not None and failure.statement is not None:
            context = failure.execution_context
            self._measure(failure.statement, failure.parameters, context, failed=True)

    def _measure(
        self, statement: str, parameters: Any, context: Any, *, failed: bool = False
    ) -> None:
        started = getattr(context, _STARTED, None)
        seconds = 0.0 if started is None else time.perf_counter() - started
        if started is None or seconds < (self.config.slow_query_seconds or 0):
            return
        text = statement
        executed = _EXECUTE.match(statement)
        if executed and executed[1] in self._prepared:
            statement = self._prepared[executed[1]]
        if statement != text or self.driver == "asyncpg":
            # Plans are fetched by psycopg2, which takes %(p1)s where these have $1.
            parameters = {f"p{n}": value for n, value in enumerate(parameters or (), 1)}
            text = _NUMBERED.sub(r"%(p\1)s", statement.replace("%", "%%"))
        call = current_call.get()
        fields: dict[str, object] = {
            "handler": call.handler if call else "",
            "account": context.execution_options.get(ACCOUNT, self.account),
            "actor": (call.actor if call else "") or current_actor.get(),
            "correlation_id": (call.correlation_id if call else "") or current_correlation_id.get(),
        }
        self._add(_SlowStatement(statement, text, parameters, seconds, failed, fields))

    def _add(self, slow: _SlowStatement) -> None:
        """Log a statement, once its plan is fetched."""
        if not loggers.SLOW_QUERIES.isEnabledFor(logging.WARNING):
            return
        if _EXPLAINED.match(slow.statement) is None or self._waiting.qsize() >= _MOST_WAITING:
            _write(slow, None)
            return
        with self._lock:
            if self._thread is None:
                # A queue for each thread: the one before may still be emptying its own.
                self._waiting = queue.SimpleQueue()
                self._thread = threading.Thread(
                    target=self._fetch_plans,
                    args=(self._waiting,),
                    name="tradebook-slow-queries",
                    daemon=True,
                )
                self._thread.start()
            self._waiting.put(slow)

    def finish(self, _engine: object) -> None:
        """Wait until every statement is logged, and end the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._waiting.put(None)
        if thread is not None:
            thread.join()

    def _fetch_plans(self, waiting: queue.SimpleQueue[_SlowStatement | None]) -> None:
        config = attrs.evolve(
            self.config,
            slow_query_seconds=None,  # or the EXPLAINs would be logged too
            echo=False,
            pool_size=1,
            max_overflow=0,
            statement_timeout=_PLAN_MILLISECONDS,
            lock_timeout=_PLAN_MILLISECONDS,
        )
        engine = self.new_engine(config)
        try:
            while (slow := waiting.get()) is not None:
                _write(slow, _fetch_plan(engine, slow))
        finally:
            engine.dispose()


def _fetch_plan(engine: Engine, slow: _SlowStatement) -> list[str] | None:
    """Return the plan of a statement; None where the server gives none."""
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    try:
        with engine.connect() as connection:
            rows = connection.exec_driver_sql(explain + slow.text, slow.parameters or None)
            return masked_plan([str(row[-1]) for row in rows])
    except Exception:  # whatever it is, the statement itself succeeded and must be logged
        return None


def _write(slow: _SlowStatement, plan: list[str] | None) -> None:
    statement = masked(slow.statement)
    took = "failed after" if slow.failed else "took"
    fields = loggers.about(
        summary=f"a statement {took} {slow.seconds:.3f} s",
        seconds=round(slow.seconds, 6),
        statement=statement,
        plan=plan,
        failed=slow.failed or None,
        **slow.fields,
    )
    shown = "".join(f"\n  {line}" for line in plan or ())
    loggers.SLOW_QUERIES.warning(
        "a statement %s %.3f s: %s%s", took, slow.seconds, statement, shown, extra=fields
    )
