"""Identity of a file, used to detect when the file of a store is replaced."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from openenv_kit.serving.store.errors import StoreReplacedError


class FileIdentity(NamedTuple):
    """Device and inode number of a file."""

    device: int
    inode: int

    @classmethod
    def from_path(cls, path: str) -> FileIdentity:
        """Return the identity of the file at a path.

        Raises:
            FileNotFoundError: no file exists at the path.
        """
        status = Path(path).stat()
        return cls(status.st_dev, status.st_ino)

    def require_file_still_at_path(self, path: str) -> None:
        """Raise a StoreReplacedError if this file is no longer at the path.

        SQLite would continue to write to a deleted file, and acknowledged writes would be lost
        when the process ends.
        """
        try:
            identity = FileIdentity.from_path(path)
        except FileNotFoundError:
            raise StoreReplacedError("was deleted") from None
        if identity != self:
            raise StoreReplacedError("was replaced")
