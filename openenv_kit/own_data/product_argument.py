"""Functions for the reset argument `product`: load product files and find a product by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openenv_kit.environment import Environment, find_environment_entry_points
from openenv_kit.errors import ConfigurationError, InvalidValueError
from openenv_kit.own_data.product_paths import read_environment_name
from openenv_kit.own_data.product_support import LoadedProduct
from openenv_kit.own_data.support import OwnDataSupport
from openenv_kit.reset_arguments import PRODUCT
from openenv_kit.splits import Splits


def require_own_data(environment: Environment) -> OwnDataSupport:
    """Return an environment's support for users' own tables.

    Raises:
        ConfigurationError: the environment does not support them.
    """
    if environment.own_data is None:
        raise ConfigurationError(
            f"{environment.name} does not support products from your own tables."
        )
    return environment.own_data


def load_product_file(environment: Environment, path: Path) -> LoadedProduct:
    """Make a product file available in this process and in the processes that it starts.

    Raises:
        ConfigurationError: the environment does not support products, or the file belongs to
            another environment or is invalid.
    """
    own_data = require_own_data(environment)
    name = read_environment_name(path)
    if name is not None and name != environment.name:
        is_installed = name in find_environment_entry_points()
        hint = f" Pass --environment {name}." if is_installed else ""
        raise ConfigurationError(
            f"{path.name} is a product of {name!r}; allowed: a product of {environment.name}.{hint}"
        )
    return own_data.load_product(path)


def get_product_reset_arguments(
    environment: Environment, product: Path | str | None
) -> dict[str, Any]:
    """Return the reset arguments that select a product; load its file if it is given by its path.

    Args:
        environment: environment of the product.
        product: path of a product file (option `--product`), name of a product that is available
            in this process, or None for no product.

    Returns:
        `{"product": NAME}`; empty without a product.

    Raises:
        ConfigurationError: no product has this name, or the file cannot be loaded.
    """
    if product is None:
        return {}
    if isinstance(product, Path):
        return {PRODUCT.name: load_product_file(environment, product).name}
    return {PRODUCT.name: require_own_data(environment).find_product(product).name}


def find_product_of_reset(
    environment: Environment, reset_arguments: Mapping[str, Any]
) -> LoadedProduct | None:
    """Return the product that reset arguments select; None if they select none.

    Raises:
        ConfigurationError: the product is unknown or invalid.
    """
    value = reset_arguments.get(PRODUCT.name)
    return None if value is None else require_own_data(environment).find_product(value)


def get_splits_of_reset(environment: Environment, reset_arguments: Mapping[str, Any]) -> Splits:
    """Return the splits of the product in the reset arguments, or else of the environment.

    Raises:
        ConfigurationError: the product is unknown, or is not a name.
    """
    value = reset_arguments.get(PRODUCT.name)
    if value is None:
        return environment.splits
    if not isinstance(value, str):
        raise InvalidValueError(PRODUCT.name, value, "the name of a product")
    return require_own_data(environment).get_product_splits(value)


def require_product_of_episode(
    environment: Environment,
    reset_arguments: Mapping[str, Any],
    reset_observation: Mapping[str, Any],
) -> LoadedProduct:
    """Return the product that an episode was generated from.

    Args:
        environment: environment of the episode.
        reset_arguments: arguments of the reset, with a product.
        reset_observation: observation of the reset. If it does not contain the product, as in a
            sealed episode, the product is taken from the arguments.

    Raises:
        ConfigurationError: the product is unknown.
    """
    own_data = require_own_data(environment)
    played = own_data.read_product_of_reset(reset_observation)
    return played or own_data.find_product(reset_arguments[PRODUCT.name])


def require_expected_product(
    environment: Environment,
    expected_digest: str | None,
    reset_observation: Mapping[str, Any],
) -> None:
    """Check that an episode was generated from the product that its player expects.

    A server may have a different product with the same name, for example from an earlier import.

    Args:
        environment: environment of the episode.
        expected_digest: digest of the expected product; None to skip the check.
        reset_observation: observation of the episode's reset.

    Raises:
        ConfigurationError: the episode belongs to another product. The message has both digests.
    """
    if expected_digest is None:
        return
    played = require_own_data(environment).read_product_of_reset(reset_observation)
    if played is None or played.digest != expected_digest:
        raise ConfigurationError(
            f"The episode was generated from {describe_product(played)}; expected: the digest "
            f"{expected_digest}. Use the same product file on both sides."
        )


def describe_product(product: LoadedProduct | None) -> str:
    """Return a phrase with the name and the digest of a product, for error messages."""
    if product is None:
        return "no product"
    return f"the product {product.name!r} with the digest {product.digest}"
