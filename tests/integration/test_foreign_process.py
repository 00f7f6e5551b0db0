"""A process with SQLAlchemy models, sessions and settings of its own, which importing tradebook does not change."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import URL

# One program, run twice: it does the same with and without tradebook, and prints what it saw.
PROGRAM = """
import decimal, gc, json, logging, pickle, sys, warnings

from sqlalchemy import Engine, Numeric, QueuePool, create_engine, func, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, Session, configure_mappers, mapped_column, sessionmaker
from sqlalchemy.sql import functions

decimal.getcontext().prec = 17
warnings.filterwarnings("ignore", message="of the application")
logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
gc.set_threshold(321, 12, 13)


def settings():
    loggers = {name: logging.getLogger(name) for name in ("", "sqlalchemy", "sqlalchemy.engine", "asyncio")}
    context = decimal.getcontext()
    return {
        "collector": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count(), len(gc.callbacks)),
        "loggers": {n: (l.level, l.propagate, l.disabled, repr(l.handlers)) for n, l in loggers.items()},
        "decimals": repr(context) + repr(decimal.DefaultContext),
        "warnings": [repr(entry) for entry in warnings.filters],
        "hooks": [repr(hook) for hook in (sys.excepthook, sys.unraisablehook, sys.displayhook)],
    }


before = settings()
with_tradebook, url = sys.argv[1] == "with", sys.argv[2]
if with_tradebook:
    import tradebook
    from tradebook import AsyncDatabaseManager, DatabaseManager, Trade, metadata
    import tradebook.entrypoints.cli

after = settings()


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    amount: Mapped[decimal.Decimal] = mapped_column(Numeric(20, 4))


configure_mappers()
if with_tradebook:  # a book of its own works in the same process
    with DatabaseManager("sqlite://") as book:
        book.record_trade(symbol="X", action="BUY", quantity=1, price="0.1")
        assert book.get_recent_trades()[0].price == decimal.Decimal("0.1")
        assert pickle.loads(pickle.dumps(book.get_recent_trades()[0])).symbol == "X"

engine = create_engine(url)
aggregates = [f(Note.amount) for f in (func.sum, func.min, func.max, func.avg, func.total, func.count)]
compiled = [str(select(a).compile(engine)) for a in [*aggregates, func.sum(Note.id), func.lower(Note.text)]]
Base.metadata.drop_all(engine)
Base.metadata.create_all(engine)
seen = []
new_session = sessionmaker(engine)
with new_session() as session:
    note = Note(id=7, text="a", amount=decimal.Decimal("9.5"))
    session.add_all([note, Note(id=8, text="b", amount=decimal.Decimal("10.25"))])
    session.commit()
    note.text = "changed"
    session.execute(update(Note).where(Note.id == 8).values(text="c"))
    session.commit()
    texts = session.scalars(select(Note.text).order_by(Note.id)).all()
    numbers = [str(n) for n in session.execute(select(*(a for a in aggregates if a.name != "total"))).one()]
    session.refresh(note)
    sent = pickle.dumps(note)
    session.delete(note)
    session.commit()
    left = session.scalar(select(func.count()).select_from(Note))
again = pickle.loads(sent)
hooks = {
    "listeners": {
        kind.__name__: [n for n in kind.dispatch._event_names if list(getattr(kind.dispatch, n)._clslevel.get(kind, ()))]
        for kind in (Session, Mapper, Engine, QueuePool)
    },
    "compile": [
        "_compiler_dispatcher" in vars(kind)
        for kind in (functions.sum, functions.min, functions.max, functions.Function, functions.FunctionElement)
    ],
    "state": repr(Note.__dict__.get("_sa_instance_state")),
    "reduce": Note.__reduce_ex__ is object.__reduce_ex__,
    "dialect": engine.dialect.statement_compiler.__module__,
}
Base.metadata.drop_all(engine)
engine.dispose()
results = {"compiled": compiled, "texts": texts, "numbers": numbers, "left": left, "hooks": hooks}
print(json.dumps({"changed": [k for k in before if before[k] != after[k]], "later": settings() == before,
    "pickled": [again.id, again.text, str(again.amount)], **results}))
"""


def run(how: str, url: str) -> dict[str, Any]:
    """Return what the program saw, once `with` tradebook in the process or `without`."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, how, url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_models_and_sessions_of_the_application_work_as_without_tradebook(
    kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        url = "sqlite://"
    else:
        server: URL = request.getfixturevalue("new_database")()
        url = server.render_as_string(hide_password=False)
    alone, together = run("without", url), run("with", url)
    assert together == alone
    assert together["changed"] == []
    assert together["later"]
    assert together["texts"] == ["changed", "c"]
    assert together["pickled"] == [7, "changed", "9.5000"]
    assert not any(together["hooks"]["listeners"].values())
    assert not any(together["hooks"]["compile"])
