"""Without the packages of an extra, everything that needs them says which extra installs them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from configparser import ConfigParser
from importlib.metadata import packages_distributions
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

import pytest
from attrs import evolve

from tests.support.checkout import ROOT
from tests.support.command_line import Command
from tradebook import DatabaseConfig, DatabaseManager, ExtraNotInstalled, Trade
from tradebook.entrypoints.cli.book.file_formats import records_of
from tradebook.entrypoints.cli.book.trade_text import TradeText
from tradebook.entrypoints.cli.book.venue_sources import elements
from tradebook.operations import metrics, tracing
from tradebook.operations.metrics.database import database_registry
from tradebook.operations.server.programs import wheel_programs
from tradebook.operations.server.sandbox import start_sandbox
from tradebook.operations.top import read_pools
from tradebook.venues.presets import Form

DEVELOPERS: Final = {"test", "integrations", "oracles", "typing", "bench", "audit", "mutants"}
"""Extras for work on tradebook itself, which nothing in the package imports."""


def seal_to(witness: str) -> Callable[[DatabaseManager], Any]:
    """Seal with a witness, which needs its library before anything is sealed."""

    def call(book: DatabaseManager) -> None:
        with DatabaseManager(evolve(book.config, seal_witness=witness)) as witnessed:
            witnessed.seal()

    return call


def a_workbook() -> BytesIO:
    """Return what is recognised as an Excel workbook."""
    with ZipFile(file := BytesIO(), "w") as archive:
        archive.writestr("xl/workbook.xml", "")
    return file


IBKR: Final = Form(name="flex", columns=["a"], entries=[], source="xml", elements=["b"])
Calls = list[Callable[[DatabaseManager], Any]]
CALLS: Final[dict[str, Calls]] = {
    "alpaca": [],  # its client is given
    "arrow": [
        lambda book: book.to_arrow(Trade),
        lambda book: book.arrow_batches(Trade),
        lambda book: list(records_of(TradeText("t.parquet", BytesIO(b"PAR1")))),
    ],
    "ccxt": [],  # its exchanges are given: `tradebook.venues.ccxt` imports its errors alone, where they are there
    "excel": [lambda book: list(records_of(TradeText("t.xlsx", a_workbook())))],
    "fsspec": [seal_to("memory://w")],
    "git": [seal_to("git:///w")],
    "ibkr": [],  # its fills are given
    "otel": [tracing.instrument, lambda book: tracing.AgentActionExporter(book)],
    "prometheus": [
        metrics.instrument,
        lambda book: database_registry(book._container.engine()),
        lambda book: read_pools("http://localhost:1/metrics"),
    ],
    "rfc3161": [seal_to("rfc3161+http://localhost/?ca=a&folder=b")],
    "sandbox": [lambda book: wheel_programs(), lambda book: start_sandbox(Path("none"))],
    "testing": [],  # its modules are imported by name: see the test of imports
    "xml": [lambda book: list(elements(IBKR, TradeText("t.xml", BytesIO(b"<a/>"))))],
}
"""For each extra the calls that need it."""

COMMANDS: Final = {
    "alpaca": [],
    "arrow": ["export trades.arrow", "export trades.parquet"],
    "ccxt": [],
    "excel": [],
    "fsspec": [],
    "git": [],
    "ibkr": [],
    "otel": [],
    "prometheus": [
        "metrics --once",
        "metrics --json",
        "metrics --port 1",
        "top --once --app http://127.0.0.1:1/",
    ],
    "rfc3161": [],
    "sandbox": ["sandbox start here"],
    "testing": [],
    "xml": [],
}
"""For each extra the commands that need it."""


def extras() -> dict[str, list[str]]:
    """Return the modules of each extra of setup.cfg, but those for developers."""
    declared = ConfigParser(interpolation=None)
    declared.read(ROOT / "setup.cfg")
    modules = packages_distributions()
    found = {}
    for name, text in declared["options.extras_require"].items():
        wanted = {
            line.split(";")[0].split(">")[0].strip().lower().replace("_", "-")
            for line in text.splitlines()
            if line.strip() and not line.startswith(("#", "%"))
        }
        found[name] = sorted(
            module
            for module, distributions in modules.items()
            if {each.lower().replace("_", "-") for each in distributions} & wanted
        )
    return {name: each for name, each in found.items() if name not in DEVELOPERS}


EXTRAS: Final = extras()


def test_every_extra_has_its_calls_here() -> None:
    assert EXTRAS.keys() == CALLS.keys() == COMMANDS.keys()
    assert all(EXTRAS.values())


def uninstall(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each import of an extra's modules fail, also of those that another test imported."""
    for module in EXTRAS[extra]:
        imported = [name for name in sys.modules if name.startswith(f"{module}.")]
        for name in [module, *imported]:
            monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize(("extra", "call"), [(e, c) for e, calls in CALLS.items() for c in calls])
def test_a_call_without_its_extra_names_it(
    extra: str, call: Callable[[DatabaseManager], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    uninstall(extra, monkeypatch)
    with (
        DatabaseManager(DatabaseConfig(path=":memory:")) as book,
        pytest.raises(ExtraNotInstalled, match=rf"pip install 'tradebook\[{extra}\]'") as refused,
    ):
        call(book)
    assert refused.value.extra == extra
    assert isinstance(refused.value, ImportError)


@pytest.mark.parametrize(
    ("extra", "command"), [(e, c) for e, all_ in COMMANDS.items() for c in all_]
)
def test_a_command_without_its_extra_names_it(
    extra: str, command: str, sqlite_book: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    uninstall(extra, monkeypatch)
    assert f"pip install 'tradebook[{extra}]'" in Command(sqlite_book).refused(*command.split())


IMPORT_ALL = """
import pkgutil, sys
from importlib import import_module
sys.modules.update(dict.fromkeys({modules}))
import tradebook
from tradebook import ExtraNotInstalled
for module in pkgutil.walk_packages(tradebook.__path__, "tradebook.", onerror=lambda name: None):
    if module.name.startswith("tradebook.migrations"):
        continue
    try:
        import_module(module.name)
    except ExtraNotInstalled as error:
        print(module.name, error.extra)
"""


def test_only_the_modules_for_tests_need_an_extra_to_be_imported() -> None:
    code = IMPORT_ALL.format(modules=[m for modules in EXTRAS.values() for m in modules])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    refused = {line for line in done.stdout.splitlines() if ".strategies." not in line}
    assert refused == {"tradebook.testing.plugin testing", "tradebook.testing.strategies testing"}
