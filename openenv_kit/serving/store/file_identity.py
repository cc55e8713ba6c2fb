"""Which file a path leads to, so that another one in its place is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from openenv_kit.serving.store.interface import StoreReplacedError


class FileIdentity(NamedTuple):
    """Which file a path leads to."""

    device: int
    inode: int

    @classmethod
    def from_path(cls, path: str) -> FileIdentity:
        """Return the identity of the file at a path; a FileNotFoundError where there is none."""
        found = Path(path).stat()
        return cls(found.st_dev, found.st_ino)

    def require_same_file(self, path: str) -> None:
        """Raise a StoreReplacedError where a path leads to another file.

        SQLite would go on writing to a deleted file, and what was acknowledged would be lost with
        the process.
        """
        try:
            found = FileIdentity.from_path(path)
        except FileNotFoundError:
            raise StoreReplacedError("was deleted") from None
        if found != self:
            raise StoreReplacedError("was replaced")
