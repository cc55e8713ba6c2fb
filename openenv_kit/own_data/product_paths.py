"""Reads and extends the variable PRODUCTS, and finds the environment of a product file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

from openenv_kit.errors import ConfigurationError
from openenv_kit.variables import PRODUCTS_VARIABLE

PRODUCT_FILE_PATTERN = "*.toml"
"""Pattern of product files, for folders in PRODUCTS."""
MAX_PRODUCT_FILE_BYTES = 1 << 20
"""Maximum number of bytes that are read from a file to find the name of its environment."""


def iter_product_paths(variable: str) -> Iterator[Path]:
    """Yield the distinct files that PRODUCTS lists, and the `*.toml` files of listed folders."""
    seen = set()
    for part in filter(None, variable.split(os.pathsep)):
        path = Path(part)
        for file in sorted(path.glob(PRODUCT_FILE_PATTERN)) if path.is_dir() else [path]:
            location = file.resolve()
            if location not in seen:
                seen.add(location)
                yield file


def add_path_to_variable(variable: str, path: Path) -> str:
    """Return the value of PRODUCTS with a file appended, unless it is already listed.

    Raises:
        ConfigurationError: the path contains the separator of the variable.
    """
    location = str(path.resolve())
    if os.pathsep in location:
        raise ConfigurationError(
            f"The path of {path.name} contains {os.pathsep!r}, the separator of paths in "
            f"{PRODUCTS_VARIABLE}; move the file to another folder."
        )
    listed = [part for part in variable.split(os.pathsep) if part]
    return os.pathsep.join(dict.fromkeys((*listed, location)))


def read_environment_name(path: Path) -> str | None:
    """Return the name of the environment that a product file belongs to; None if it is unreadable.

    A folder may contain products of several environments. Apart from this name, the structure of a
    product file depends on its environment.
    """
    try:
        with path.open("rb") as file:
            content = tomllib.loads(file.read(MAX_PRODUCT_FILE_BYTES).decode())
    except (OSError, ValueError, RecursionError):
        return None
    name = content.get("environment")
    return name if isinstance(name, str) else None
