"""Products of a server, which may serve several environments."""

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
    """Add product files to the products of a server, and check those of the variable PRODUCTS.

    Worker processes inherit the variable, so they have the same products.

    Args:
        environments: environments of the server, starting with the one at the root.
        paths: product files. A file that names none of the environments is loaded for the first
            one, which refuses it with a message.

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
        return  # nothing of an environment's support is imported
    for environment in environments:
        if environment.own_data is not None:
            environment.own_data.require_usable_products()
