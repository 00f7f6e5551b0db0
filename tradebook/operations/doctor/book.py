"""Checks of the book itself: what nobody tampered with, and what follows from the trades."""

from __future__ import annotations

from collections.abc import Iterator

from tradebook.domain.errors import NotPermitted
from tradebook.operations.doctor.checks import Finding, PartProgress, green, red, yellow
from tradebook.service_layer.book import Book


def audit_trail(book: Book, progress: PartProgress) -> Iterator[Finding]:
    """Whether the chain of seals holds, and how much of the trail it covers."""
    yield from _if_seen("audit trail", _audit_trail(book, progress))


def proof(book: Book, progress: PartProgress) -> Iterator[Finding]:
    """Whether all that is stored follows from the trades."""
    yield from _if_seen("verify", _proof(book, progress))


def _if_seen(check: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Of an account that row security hides nothing is known, good or bad."""
    try:
        yield from findings
    except NotPermitted as error:
        yield yellow(check, str(error), "let `tradebook doctor` connect as the auditor")


def _audit_trail(book: Book, progress: PartProgress) -> Iterator[Finding]:
    checked = book.check_seals(progress=lambda done, total: progress("audit trail", done, total))
    if not checked.sound:
        first = checked.findings[0]
        what = f"{len(checked.findings):,} findings, the first: {first.entity} {first.key} {first.what}"
        fix = "`tradebook audit check` lists them; treat it as an incident before anything else"
        yield red("audit trail", what, fix)
    elif checked.unsealed:
        what = (
            f"{checked.unsealed:,} of {checked.events + checked.unsealed:,} events are not sealed"
        )
        yield yellow("audit trail", what, "run `tradebook audit seal` by a timer, every hour, say")
    else:
        yield green(
            "audit trail", f"{checked.events:,} events in {checked.seals:,} seals, all sound"
        )


def _proof(book: Book, progress: PartProgress) -> Iterator[Finding]:
    result = book.verify(progress=lambda done, total: progress("verify", done, total))
    if result.proven:
        what = f"to the last digit: {result.trades:,} trades, {result.positions:,} positions"
        yield green("verify", what)
    else:
        what = f"{len(result.differences):,} differences between what is stored and what follows"
        fix = "`tradebook verify` lists them; `tradebook rebuild` puts them right"
        yield red("verify", what, fix)
