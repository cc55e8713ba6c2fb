"""Loads the products of a server, which may serve several environments."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from openenv_kit.environment import Environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.own_data.product_argument import load_product_file
from openenv_kit.own_data.product_paths import read_environment_name
from openenv_kit.variables import PRODUCTS_VARIABLE


def load_product_files(environments: Sequence[Environment], paths: Iterable[Path]) -> None:
    """Load product files, and check those that the variable PRODUCTS already lists.

    The files are added to the variable, so that worker processes have the same products.

    Args:
        environments: environments of the server, starting with the one at the root.
        paths: product files. A file of another environment is loaded for the first environment,
            which rejects it with an error message.

    Raises:
        ConfigurationError: a file cannot be used. The message names it.
    """
    by_name = {environment.name: environment for environment in environments}
    for path in paths:
        name = read_environment_name(path)
        try:
            load_product_file(by_name.get(name or "", environments[0]), path)
        except ConfigurationError as error:
            raise ConfigurationError(f"--product {path}: {error}") from None
    if not os.environ.get(PRODUCTS_VARIABLE):
        return  # Avoids the import of the environments' support for products.
    for environment in environments:
        if environment.own_data is not None:
            environment.own_data.require_usable_products()
