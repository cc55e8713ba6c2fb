"""Writes the files of an import, so that no file is ever half-written."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openenv_kit.errors import ConfigurationError

MAX_NAME_CHARACTERS = 40
PUBLIC_MODE = 0o644
PRIVATE_MODE = 0o600
"""Mode of files with real numbers, which only the owner may read."""


@dataclass(frozen=True)
class OutputFile:
    """A file to write.

    Attributes:
        path: where to write.
        text: content.
        mode: permissions.
    """

    path: Path
    text: str
    mode: int = PUBLIC_MODE


def build_product_name(table: Path) -> str:
    """Return the name of a product from the name of its table's file.

    Raises:
        ConfigurationError: no letter or digit is left.
    """
    stem = table.name.removesuffix(".gz").rsplit(".", 1)[0]
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")[:MAX_NAME_CHARACTERS].strip("_")
    if not name:
        raise ConfigurationError(f"{table.name} gives no name for the product; pass --name.")
    return name


def refuse_existing_files(paths: Sequence[Path]) -> None:
    """Refuse to overwrite a file.

    Raises:
        ConfigurationError: a file exists.
    """
    existing = [path.name for path in paths if path.exists()]
    if existing:
        verb = "exists" if len(existing) == 1 else "exist"
        raise ConfigurationError(
            f"{' and '.join(existing)} already {verb}; pass --force to overwrite, or --out."
        )


def write_files(files: Sequence[OutputFile]) -> None:
    """Write temporary files beside the targets, then rename all of them.

    Raises:
        OSError: a file cannot be written; then no target was changed, unless a rename failed.
    """
    temporary: list[Path] = []
    try:
        for file in files:
            with tempfile.NamedTemporaryFile(
                "w",
                dir=file.path.parent,
                prefix=f".{file.path.name}.",
                delete=False,
                encoding="utf-8",
                newline="\n",
            ) as stream:
                temporary.append(Path(stream.name))
                stream.write(file.text)
                stream.flush()
                os.fsync(stream.fileno())
                os.fchmod(stream.fileno(), file.mode)
        for file, written in zip(files, temporary, strict=True):
            written.replace(file.path)
    finally:
        for written in temporary:
            written.unlink(missing_ok=True)
