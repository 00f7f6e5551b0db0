"""Disks that fill up, and files that take no writes: the real thing, where this machine may mount."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen


@frozen
class TinyDisk:
    """A disk in memory.

    Attributes:
        folder: where it is mounted.
    """

    folder: Path

    def leave(self, kilobytes: int) -> None:
        """Make it so large, or so small, that so much is free."""
        disk = os.statvfs(self.folder)
        used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize // 1024
        _run("mount", "-o", f"remount,size={used + kilobytes}k", self.folder)


@contextmanager
def tiny_disk(folder: Path, kilobytes: int) -> Iterator[TinyDisk]:
    """Mount one at a folder; afterwards what was on it is gone."""
    folder.mkdir(exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=755", "tmpfs", folder)
    try:
        yield TinyDisk(folder)
    finally:
        _run("umount", "-l", folder)


@contextmanager
def write_protected(path: Path) -> Iterator[None]:
    """Let nobody write a file or folder; root, who may do anything, finds it mounted read-only."""
    if os.geteuid() != 0:
        before = path.stat().st_mode
        path.chmod(before & ~0o222)
        yield
        path.chmod(before)
        return
    _run("mount", "--bind", path, path)
    try:
        _run("mount", "-o", "remount,ro,bind", path)
        yield
    finally:
        _run("umount", "-l", path)


@cache
def can_mount() -> bool:
    """Whether we may mount on this machine."""
    with TemporaryDirectory() as folder:
        try:
            with tiny_disk(Path(folder), 64):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


def can_write_protect() -> bool:
    """Whether permissions bind us, or we may mount."""
    return os.geteuid() != 0 or can_mount()


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)
