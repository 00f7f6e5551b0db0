"""What tests need for servers is gone when they are over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.checkout import ROOT

MAKING = """
import os
from tests.support.servers import give_runtime_folder
give_runtime_folder()
folder = os.environ["XDG_RUNTIME_DIR"]
assert os.path.isdir(folder)
give_runtime_folder()
print(os.environ["XDG_RUNTIME_DIR"], folder)
"""


def test_a_runtime_folder_is_made_once_and_removed_at_the_end(tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", MAKING],
        env={**variables, "TMPDIR": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(set(done.stdout.split())) == 1
    assert list(tmp_path.iterdir()) == []
