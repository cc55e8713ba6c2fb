"""A file system of a few megabytes that a test can fill."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Disk:
    """A mounted file system.

    Attributes:
        path: where it is mounted.
    """

    path: Path

    @property
    def filler(self) -> Path:
        """Return the path of the file that fills the disk."""
        return self.path / "filler"

    def fill(self) -> None:
        """Fill all free space."""
        with self.filler.open("ab", buffering=0) as file:
            for block in (1 << 20, 1 << 16, 1 << 12):
                with contextlib.suppress(OSError):
                    while file.write(b"\0" * block):
                        pass
        found = os.statvfs(self.path)
        assert found.f_bavail == 0

    def free(self) -> None:
        """Remove the file that fills the disk."""
        self.filler.unlink()


@contextlib.contextmanager
def small_disk(path: Path, size: int) -> Iterator[Disk]:
    """Mount a tmpfs of this size for a block; skip the test if that is not allowed."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "tmpfs", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount program")
    if done.returncode:
        pytest.skip(f"a tmpfs may not be mounted here: {done.stderr.strip()}")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
