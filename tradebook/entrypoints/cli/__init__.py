"""The `tradebook` command. Nothing here loads a database driver before a command needs one."""

from __future__ import annotations

from tradebook.entrypoints.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; exits with 0 when done, 1 when refused, 2 when used wrongly."""
    app(prog_name="tradebook")
