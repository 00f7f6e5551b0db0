"""The option `--rate` of commands that convert currencies, and the error of a rate that was not given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tradebook.domain.errors import MissingRate, TradebookError
from tradebook.entrypoints.cli.options import named_values


def given_rates(given: list[str] | None, example: str = "EUR=1.08") -> dict[str, str] | None:
    """Parse the option as rates by currency; None where it is not given.

    Args:
        given: its values.
        example: of a value, for the refusal of another form.
    """
    return named_values(given, "--rate", f"CURRENCY=RATE, such as {example}") if given else None


@contextmanager
def missing_rate_names_option() -> Iterator[None]:
    """Name the option `--rate` in the error of a rate that was not given."""
    try:
        yield
    except MissingRate as missing:
        raise TradebookError(
            f"no rate from {missing.currency} to {missing.base_currency}; give what one "
            f"{missing.currency} is worth in {missing.base_currency}: "
            f"--rate {missing.currency}=NUMBER"
        ) from missing
