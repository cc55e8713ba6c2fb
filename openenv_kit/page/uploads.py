"""Uploaded recordings: a folder of their own, of bounded size, emptied of old files.

A recording is deleted once it is read. One left over, because it was never opened or the process
died, is removed before the next upload.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openenv_kit.errors import echo

FOLDER_VARIABLE = "GRADIO_TEMP_DIR"
MAX_AGE_S = 600.0
MAX_BYTES = 64_000_000
MAX_FILES = 256
MAX_AT_ONCE = 4


class Uploads:
    """The folder that Gradio writes uploads to.

    Args:
        folder: must exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._taking = 0

    def has_room(self) -> bool:
        """Whether one more upload may be taken, once old files and empty folders are removed."""
        oldest, sizes = time.time() - MAX_AGE_S, []
        for each in sorted(self.folder.rglob("*"), reverse=True):
            # Another worker may have been faster, and a folder need not be empty.
            with contextlib.suppress(OSError):
                found = each.lstat()
                if found.st_mtime <= oldest:
                    each.rmdir() if each.is_dir() else each.unlink()
                elif each.is_file():
                    sizes.append(found.st_size)
        return self._taking < MAX_AT_ONCE and len(sizes) < MAX_FILES and sum(sizes) < MAX_BYTES

    @contextlib.contextmanager
    def taking(self) -> Iterator[None]:
        """While an upload is being written."""
        self._taking += 1
        try:
            yield
        finally:
            self._taking -= 1

    def holds(self, path: str) -> bool:
        """Whether a path leads to an uploaded file."""
        try:
            real = Path(path).resolve()
            return real.is_file() and real.is_relative_to(self.folder.resolve())
        except (OSError, ValueError):
            return False


def own_folder() -> Path:
    """This user's folder for uploads; makes it, and points Gradio to it.

    One folder for all processes of a user, so that a later one removes what a killed one left.
    It lies inside the folder that the owner chose for Gradio, if any, because everything in it
    gets removed.
    """
    name = f"metric_tracker_uploads_{os.getuid()}"
    base = Path(os.environ.get(FOLDER_VARIABLE) or tempfile.gettempdir())
    folder = base if base.name.startswith(name) else base / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        # Another user's folder of that name: they could read recordings, or plant files.
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    os.environ[FOLDER_VARIABLE] = str(folder)
    return folder


def foreign_file(said: Any, uploads: Uploads) -> str | None:
    """The first file in a request that is not one of the uploads, shortened for an error.

    Gradio would fetch a file whose path is an address.
    """
    rest = [said]
    while rest:
        each = rest.pop()
        if isinstance(each, dict):
            if "path" in each and "meta" in each and not uploads.holds(str(each["path"])):
                return echo(each["path"])
            rest.extend(each.values())
        elif isinstance(each, list):
            rest.extend(each)
    return None
