"""Product files of the variable PRODUCTS, and the environments that they belong to."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

from openenv_kit.errors import ConfigurationError
from openenv_kit.variables import PRODUCTS_VARIABLE

PRODUCT_FILE_PATTERN = "*.toml"
"""Pattern of the product files in a folder of PRODUCTS."""
MAX_PRODUCT_FILE_BYTES = 1 << 20
"""Largest file in which the name of the environment is looked up."""


def iter_product_paths(variable: str) -> Iterator[Path]:
    """Yield the distinct files of a value of PRODUCTS, in order; of a folder, its `*.toml`."""
    seen = set()
    for part in filter(None, variable.split(os.pathsep)):
        path = Path(part)
        for file in sorted(path.glob(PRODUCT_FILE_PATTERN)) if path.is_dir() else [path]:
            location = file.resolve()
            if location not in seen:
                seen.add(location)
                yield file


def add_path_to_variable(variable: str, path: Path) -> str:
    """Return the value of PRODUCTS with a further file, which is not added twice.

    Raises:
        ConfigurationError: the path contains the separator of the variable.
    """
    location = str(path.resolve())
    if os.pathsep in location:
        raise ConfigurationError(
            f"The path of {path.name} contains {os.pathsep!r}, which separates the files of "
            f"{PRODUCTS_VARIABLE}: move the file to another folder."
        )
    listed = [part for part in variable.split(os.pathsep) if part]
    return os.pathsep.join(dict.fromkeys((*listed, location)))


def read_environment_name(path: Path) -> str | None:
    """Return the name of the environment whose product a file contains; None if it cannot be read.

    Files of all environments may be in one folder, and only the environment itself can read the
    rest of its file.
    """
    try:
        with path.open("rb") as file:
            content = tomllib.loads(file.read(MAX_PRODUCT_FILE_BYTES).decode())
    except (OSError, ValueError, RecursionError):
        return None
    name = content.get("environment")
    return name if isinstance(name, str) else None
