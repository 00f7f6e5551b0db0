"""Checks of the book itself: its audit trail, and that its stored state follows from the trades."""

from __future__ import annotations

from collections.abc import Iterator

from tradebook.domain.errors import NotPermitted
from tradebook.operations.doctor.checks import Finding, PartProgress, green, red, yellow
from tradebook.service_layer.book import Book


def check_book(book: Book, progress: PartProgress) -> Iterator[tuple[str, Iterator[Finding]]]:
    """Yield the name and the findings of each check of a book.

    A role from which row-level security hides the account gets a yellow finding: it can tell neither way.
    """
    for name, check in (("audit trail", _audit_trail), ("verify", _verify)):
        yield name, _if_visible(name, check(book, progress))


def _if_visible(name: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except NotPermitted as error:
        yield yellow(name, str(error), "run `tradebook doctor` as the auditor")


def _audit_trail(book: Book, progress: PartProgress) -> Iterator[Finding]:
    checked = book.check_seals(progress=lambda done, total: progress("audit trail", done, total))
    if not checked.sound:
        first = checked.findings[0]
        what = f"{len(checked.findings):,} findings, the first: {first.entity} {first.key} {first.what}"
        fix = "`tradebook audit check` lists them; treat it as an incident before anything else"
        yield red("audit trail", what, fix)
    elif checked.unsealed:
        events = checked.events + checked.unsealed
        what = f"{checked.unsealed:,} of {events:,} events are not sealed"
        yield yellow("audit trail", what, "run `tradebook audit seal` by a timer, such as hourly")
    else:
        what = f"{checked.events:,} events in {checked.seals:,} seals, all sound"
        yield green("audit trail", what)


def _verify(book: Book, progress: PartProgress) -> Iterator[Finding]:
    result = book.verify(progress=lambda done, total: progress("verify", done, total))
    if result.proven:
        what = f"to the last digit: {result.trades:,} trades, {result.positions:,} positions"
        yield green("verify", what)
    else:
        what = f"{len(result.differences):,} differences between what is stored and what follows"
        fix = "`tradebook verify` lists them; `tradebook rebuild` puts them right"
        yield red("verify", what, fix)
