"""`venues`: the presets that `import --from` knows."""

from __future__ import annotations

from typing import Annotated

import typer

from tradebook.entrypoints.cli.common import without
from tradebook.entrypoints.cli.messages import say
from tradebook.entrypoints.cli.options import CommandContext
from tradebook.venues.presets import Preset, all_presets, find_preset


@without(database="it reads no book", account="it reads no book")
def venues(
    context: CommandContext,
    name: Annotated[
        str | None, typer.Argument(help="One of them, or the path of a file (./my.toml).")
    ] = None,
) -> None:
    """List the venues and programs whose files `import --from` reads.

    For each: the kinds of files and how to get them; what is left out, and
    where the format is documented, with its name. A file of your own adds one,
    as does an installed package, see docs/venues.md.

      tradebook venues
      tradebook venues kraken
    """
    presets = all_presets() if name is None else [find_preset(name)]
    document = {"venues": [_described(each) for each in presets]}
    if context.as_json:
        context.answer(document)
        return
    for preset in presets:
        say(f"{preset.name}: {preset.title}")
        for form in preset.forms:
            say(f"  reads {form.name}")
        if name is not None:
            say(f"  get it: {preset.exported}")
            for each in preset.missing:
                say(f"  leaves out: {each}")
            for each in preset.documented:
                say(f"  documented: {each}")


def _described(preset: Preset) -> dict[str, object]:
    return {
        "name": preset.name,
        "title": preset.title,
        "reads": [form.name for form in preset.forms],
        "exported": preset.exported,
        "leaves_out": list(preset.missing),
        "documented": list(preset.documented),
    }
