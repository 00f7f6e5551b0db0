"""The wheel, installed in a clean environment, works outside any checkout."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tradebook import DatabaseManager

FILLS = "symbol,action,quantity,price,order_id\nAAPL,BUY,100,150.25,o-1\nAAPL,SELL,40,151,o-2\n"


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([*command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # Not isolated: the test environment has setuptools, and no index is needed.
    build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
    source = folder / "source"
    files = run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).split()
    for name in files:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, *build, cwd=source)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    tracked = run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).split()
    for name in tracked:
        if name.startswith("tradebook/"):
            assert name in held
        if name.startswith("alembic/"):
            assert name.replace("alembic/", "tradebook/migrations/", 1) in held
    assert not any(name.startswith(("tests/", "alembic/")) for name in held)


@pytest.mark.slow
@pytest.mark.full
def test_the_installed_wheel_initialises_imports_and_verifies(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    # What the test environment has installed serves as the wheel's dependencies.
    site = run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=tmp_path).strip()
    zipfile.ZipFile(wheel).extractall(site)
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (Path(site) / "dependencies.pth").write_text("\n".join(dependencies))
    where = run(python, "-c", "import tradebook; print(tradebook.__file__)", cwd=tmp_path)
    assert where.startswith(str(environment))
    (tmp_path / "fills.csv").write_text(FILLS)
    tradebook = [python, "-c", "from tradebook.entrypoints.cli import main; main()"]
    database = ["--database", f"sqlite:///{tmp_path}/book.db"]
    run(*tradebook, "init", *database, cwd=tmp_path)
    run(*tradebook, "import", "fills.csv", *database, cwd=tmp_path)
    [position] = json.loads(run(*tradebook, "positions", "--json", *database, cwd=tmp_path))[
        "positions"
    ]
    assert (position["symbol"], position["quantity"]) == ("AAPL", "60")
    assert "proven" in run(*tradebook, "verify", *database, cwd=tmp_path)


def imported_by(code: str) -> set[str]:
    report = f"{code}\nimport sys; print(sorted(sys.modules))"
    return set(ast.literal_eval(run(sys.executable, "-c", report, cwd=ROOT)))


HEAVY = ["sqlalchemy", "psycopg2", "asyncpg", "aiosqlite", "alembic", "typer", "rich", "pandas"]
OPTIONAL = [
    "hypothesis",
    "opentelemetry",
    "pandas",
    "prometheus_client",
    "pyarrow",
    "rich",
    "typer",
]
"""Packages of the extras and of the command line, which a manager does without."""


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import tradebook", HEAVY),
        ("from tradebook import Trade, Position, TradebookError, handlers", HEAVY),
        ("import tradebook.entrypoints.cli", ["sqlalchemy", "psycopg2", "alembic", "pandas"]),
        ("from tradebook import DatabaseManager", OPTIONAL),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code: str, absent: Sequence[str]) -> None:
    assert imported_by(code).isdisjoint(absent)


ONE_TRADE = """
from tradebook import DatabaseManager
with DatabaseManager({url!r}) as manager:
    manager.record_trade(symbol="AAPL", action="BUY", quantity=1, price=1)
"""


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.full)])
def test_a_trade_is_booked_without_what_other_programs_need(
    kind: str, request: pytest.FixtureRequest
) -> None:
    made = request.getfixturevalue("sqlite_url" if kind == "sqlite" else "new_database")
    url = made if isinstance(made, str) else made().render_as_string(hide_password=False)
    with DatabaseManager(url) as manager:
        manager.upgrade()
    assert imported_by(ONE_TRADE.format(url=url)).isdisjoint(OPTIONAL)


def test_an_entity_is_configured_without_those_that_are_not_used() -> None:
    code = (
        "from tradebook import DatabaseManager, Trade; from tradebook.adapters import orm;"
        "Trade(symbol='AAPL', action='BUY', quantity=1, price=1);"
        "print([mapper.class_.__name__ for mapper in orm.mapped if mapper.configured])"
    )
    assert run(sys.executable, "-c", code, cwd=ROOT) == "['Trade']\n"


def test_every_public_name_loads() -> None:
    import tradebook

    for name in tradebook.__all__:
        assert getattr(tradebook, name) is not None
    assert set(tradebook.__all__) <= set(dir(tradebook))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = tradebook.nonsense
