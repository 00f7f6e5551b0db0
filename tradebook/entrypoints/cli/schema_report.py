"""The result of `db check` and of `verify --schema`."""

from __future__ import annotations

from collections.abc import Sequence

from tradebook.adapters.migrations.drift import Difference
from tradebook.entrypoints.cli.messages import counted, first_of


def schema_document(differences: Sequence[Difference]) -> dict[str, object]:
    """Return what `--json` says of the schema."""
    return {"sound": not differences, "differences": differences}


def schema_lines(differences: Sequence[Difference]) -> list[str]:
    """Return a line for each of the first differences, with what to do about it."""
    if not differences:
        return ["every table is as it should be"]
    count = counted(len(differences), "difference")
    shown = [f"{difference} ({difference.fix})" for difference in differences]
    return [f"{count} from what this version expects:", *first_of(shown)]
