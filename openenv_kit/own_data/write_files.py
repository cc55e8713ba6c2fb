"""Writes the output files of an import and never leaves an incomplete file."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from openenv_kit.errors import ConfigurationError

MAX_NAME_CHARACTERS = 40
PUBLIC_MODE = 0o644
PRIVATE_MODE = 0o600
"""Permissions of files that contain the user's real numbers: readable by the owner only."""


@dataclass(frozen=True)
class OutputFile:
    """A file to write.

    Attributes:
        path: path of the file.
        text: content.
        mode: Unix permissions.
    """

    path: Path
    text: str
    mode: int = PUBLIC_MODE


def build_product_name(table: Path) -> str:
    """Derive the name of a product from the file name of its table.

    Raises:
        ConfigurationError: the file name contains no letter or digit.
    """
    stem = table.name.removesuffix(".gz").rsplit(".", 1)[0]
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")[:MAX_NAME_CHARACTERS].strip("_")
    if not name:
        raise ConfigurationError(f"No product name can be derived from {table.name}; pass --name.")
    return name


def refuse_existing_files(paths: Sequence[Path]) -> None:
    """Raise an error if one of the files already exists.

    Raises:
        ConfigurationError: a file exists.
    """
    existing = [path.name for path in paths if path.exists()]
    if existing:
        verb = "exists" if len(existing) == 1 else "exist"
        raise ConfigurationError(
            f"{' and '.join(existing)} already {verb}; pass --force to overwrite, or --out."
        )


def refuse_overwriting_inputs(outputs: Sequence[Path], inputs: Iterable[Path]) -> None:
    """Refuse to overwrite an input file, even through a link or with `--force`.

    Args:
        outputs: files to write.
        inputs: files that the command reads.

    Raises:
        ConfigurationError: an output is the same file as an input.
    """
    existing_inputs = [path for path in inputs if path.exists()]
    for output in outputs:
        for source in existing_inputs:
            if output.exists() and output.samefile(source):
                raise ConfigurationError(
                    f"{output.name} would overwrite the input {source.name}; pass another file "
                    "with --out."
                )


def write_files(files: Sequence[OutputFile]) -> None:
    """Write each file to a temporary file in the same folder, then rename all of them.

    Raises:
        OSError: a file cannot be written or renamed. If writing failed, no target was changed.
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
