"""The Dockerfile and docker-compose.yml, which CI does not run: what they name exists here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import start_http_server

from tests.support.checkout import ROOT
from tradebook import DatabaseConfig, DatabaseManager
from tradebook.config import variables_help
from tradebook.entrypoints.cli.app import COMMANDS, load
from tradebook.operations.activity import monitoring_engine
from tradebook.operations.metrics.database import database_registry

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def accepts(arguments: list[str]) -> bool:
    """Whether the command line takes these, without doing anything."""
    if arguments[0] not in COMMANDS:
        return False
    command, arguments = load(arguments[0]), arguments[1:]
    while arguments and hasattr(command, "commands") and arguments[0] in command.commands:
        command, arguments = command.commands[arguments[0]], arguments[1:]
    options = {name for option in command.params for name in option.opts}
    return all(given in options for given in arguments if given.startswith("-")) and (
        not hasattr(command, "commands")
    )


def test_every_command_of_the_containers_exists() -> None:
    ours = [each for each in COMPOSE["services"].values() if each["image"] == "tradebook"]
    given = [service["command"] for service in ours if "command" in service]
    checks = re.findall(r'CMD \["tradebook", (.*)\]', DOCKERFILE)
    given += [re.findall(r'"([^"]+)"', check) for check in checks]
    assert len(given) == 3
    assert [command for command in given if not accepts(command)] == []
    assert not accepts(["db", "improve"])
    assert not accepts(["metrics", "--ports", "1"])


def test_every_variable_of_the_containers_is_read() -> None:
    known = set(re.findall(r"^(\w+):", variables_help(), flags=re.MULTILINE))
    given = COMPOSE["x-tradebook"]["environment"].keys()
    assert len(given) >= 5
    assert given <= known


def test_containers_are_not_root_and_say_whether_they_are_well() -> None:
    assert re.findall(r"^USER (\w+)", DOCKERFILE, flags=re.MULTILINE)[-1] == "tradebook"
    assert "HEALTHCHECK" in DOCKERFILE
    assert "healthcheck" in COMPOSE["services"]["postgres"]


def test_each_check_asks_what_its_container_does() -> None:
    postgres = COMPOSE["services"]["postgres"]["healthcheck"]
    assert {"--host", "127.0.0.1"} <= set(postgres["test"])
    assert "start_period" in postgres
    assert re.findall(r'CMD \["tradebook", (.*)\]', DOCKERFILE) == ['"db", "current"']


def test_the_exporter_is_well_while_its_database_answers(sqlite_url: str) -> None:
    kind, python, option, code = COMPOSE["services"]["metrics"]["healthcheck"]["test"]
    assert (kind, python, option) == ("CMD", "python", "-c")
    with DatabaseManager(sqlite_url) as book:
        book.upgrade()
    with monitoring_engine(DatabaseConfig.from_url(sqlite_url), "metrics") as engine:
        server, thread = start_http_server(0, "127.0.0.1", database_registry(engine))
        command = [sys.executable, "-c", code.replace(":9464/", f":{server.server_port}/")]
        well = subprocess.run(command, check=False)
        book_file = Path(sqlite_url.removeprefix("sqlite:///"))
        engine.dispose()
        book_file.write_bytes(b"no book" * 1000)
        ill = subprocess.run(command, check=False)
        server.shutdown()
        server.server_close()
        thread.join()
    assert (well.returncode, ill.returncode) == (0, 1)


def test_commands_have_the_programs_and_the_room_that_backups_take() -> None:
    major = re.findall(r"postgresql-client-(\d+)", DOCKERFILE)
    assert COMPOSE["services"]["postgres"]["image"] == f"postgres:{major[0]}"
    assert "WORKDIR /data" in DOCKERFILE
    assert COMPOSE["services"]["tradebook"]["volumes"] == ["files:/data"]
    assert "files" in COMPOSE["volumes"]
    assert COMPOSE["x-tradebook"]["tmpfs"] == ["/tmp"]


def test_ports_are_open_on_this_machine_only() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_what_the_image_is_built_from_is_there() -> None:
    kept = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE)
    assert [name for name in kept if not (ROOT / name).exists()] == []
    assert {"tradebook", "alembic", "setup.cfg", "pyproject.toml"} <= set(kept)
