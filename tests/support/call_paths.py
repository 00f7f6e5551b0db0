"""Count the files of the package whose functions one call enters, with a profiler hook."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import tradebook

PACKAGE = Path(tradebook.__file__).parent


def files_entered(call: Callable[[], object]) -> list[str]:
    """Return the files of `tradebook` in which `call` runs a function, sorted, relative to the package.

    Call it once before, so that nothing is imported and no statement is compiled for the first time.
    """
    entered: set[str] = set()

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code.co_name != "<module>":
            entered.add(frame.f_code.co_filename)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(before)
    package = f"{PACKAGE}/"
    return sorted(file.removeprefix(package) for file in entered if file.startswith(package))
