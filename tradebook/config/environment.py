"""`DatabaseEnvironment`: the configuration that a preset and the environment's variables make."""

from __future__ import annotations

import os
from collections.abc import Mapping

from attrs import fields, frozen
from typing_extensions import override

from tradebook.config.database import DatabaseConfig
from tradebook.config.secrets import Secret, hide_traceback
from tradebook.config.variables import EMBEDDED, Settings, check_preset, variable_of
from tradebook.domain.entity import DEFAULT_ACCOUNT, DEFAULT_BASE_CURRENCY


@frozen
class Setting:
    """One field of the configuration in force.

    Attributes:
        field: its name in `DatabaseConfig`, or of an argument of the manager.
        value: as text; passwords masked.
        source: the variable, preset or option that it comes from, or `default`.
    """

    field: str
    value: str
    source: str


class DatabaseEnvironment:
    """Chooses the configuration: `development`, `testing`, `production` or `embedded`.

    From strongest to weakest: `url`, `TRADEBOOK_DATABASE_URL`, `TRADEBOOK_DB_*`, the preset, the
    defaults. `DATABASE_URL` counts where nothing else locates the database, and never in testing.

    Args:
        name: of the environment; `TRADEBOOK_ENV` when left out, else `embedded`.
        url: of the database, or the path of a SQLite file; stronger than every variable.
        environ: the variables.

    Raises:
        InvalidInput: naming the variable, its value and what is accepted.
    """

    @hide_traceback
    def __init__(
        self,
        name: str | None = None,
        *,
        url: str | os.PathLike[str] | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Read the variables and choose the environment."""
        self._current: DatabaseConfig | None = None
        self._settings = Settings(environ, url)
        if name is None:
            self.name = self._settings.preset
        else:
            self.name = check_preset(name or EMBEDDED, called="name")

    @override
    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    @hide_traceback
    def current(self) -> DatabaseConfig:
        """The configuration in force; the same object until another environment is set."""
        if self._current is None:
            self._current = self._settings.resolve(self.name).build(DatabaseConfig)
        return self._current

    @property
    def account(self) -> str | None:
        """The account that TRADEBOOK_ACCOUNT names; None where it is not set."""
        return self._settings.name("account")

    @property
    def base_currency(self) -> str | None:
        """The base currency that TRADEBOOK_BASE_CURRENCY names; None where it is not set."""
        return self._settings.name("base_currency")

    def set_environment(self, name: str) -> None:
        """Choose the environment by name.

        Raises:
            InvalidInput: no environment has this name; the message lists them.
        """
        self.name = check_preset(name, called="name")
        self._current = None

    @hide_traceback
    def explained(self) -> list[Setting]:
        """List every field in force, with the variable, preset or option that it comes from."""
        config, sources = self.current, self._settings.resolve(self.name).sources
        database = [
            Setting(f.name, _readable(getattr(config, f.name)), sources.get(f.name, "default"))
            for f in fields(DatabaseConfig)
            if f.repr
        ]
        book = {
            "account": (self.account, DEFAULT_ACCOUNT),
            "base_currency": (self.base_currency, DEFAULT_BASE_CURRENCY),
        }
        return database + [
            Setting(name, value or default, variable_of(name) if value else "default")
            for name, (value, default) in book.items()
        ]


def _readable(value: object) -> str:
    if isinstance(value, Secret):
        return value.shown
    if isinstance(value, tuple):
        return ", ".join(map(_readable, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_readable(text)}" for name, text in value.items())
    return "" if value is None else str(value)
