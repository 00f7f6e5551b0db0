"""The Dockerfile and docker-compose.yml, which CI does not run: what they name exists here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from typer.main import get_command

from tradebook.config import variables_help
from tradebook.entrypoints.cli import app

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def accepts(arguments: list[str]) -> bool:
    """Whether the command line takes these, without doing anything."""
    command: Any = get_command(app)
    while arguments and hasattr(command, "commands") and arguments[0] in command.commands:
        command, arguments = command.commands[arguments[0]], arguments[1:]
    options = {name for option in command.params for name in option.opts}
    return all(given in options for given in arguments if given.startswith("-")) and (
        not hasattr(command, "commands")
    )


def test_every_command_of_the_containers_exists() -> None:
    given = [service["command"] for service in COMPOSE["services"].values() if "command" in service]
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


def test_ports_are_open_on_this_machine_only() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_what_the_image_is_built_from_is_there() -> None:
    kept = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE)
    assert [name for name in kept if not (ROOT / name).exists()] == []
    assert {"tradebook", "alembic", "setup.cfg", "pyproject.toml"} <= set(kept)
