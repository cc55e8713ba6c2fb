"""Finds the product for a reset, either by its name in PRODUCTS or from its content.

PRODUCTS lists product files, or folders with product files, separated by `os.pathsep`. Child
processes inherit the variable, so workers and process pools have the same products.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from metric_tracker_rl.products.field_reader import ProductRefused
from metric_tracker_rl.products.parse_product import (
    MAX_PRODUCT_BYTES,
    parse_product,
    serialize_within_size_limit,
)
from metric_tracker_rl.products.product import ENVIRONMENT_NAME, Product
from metric_tracker_rl.products.product_file import read_product
from openenv_kit.byte_cache import ByteCache
from openenv_kit.errors import ConfigurationError, InvalidValueError, build_unknown_name_message
from openenv_kit.own_data.product_paths import (
    add_path_to_variable,
    iter_product_paths,
    read_environment_name,
)
from openenv_kit.variables import PRODUCTS_VARIABLE

INLINE_CACHE_BYTES = 16 << 20
"""Largest total memory of cached products that were passed in resets."""
PARSED_PRODUCT_BYTES = 4 * MAX_PRODUCT_BYTES
"""Estimated memory of a parsed product."""
VARIABLE_CACHE_SIZE = 8
HOW_TO_ADD_PRODUCTS = (
    "Pass `--product FILE` to the server or the command, or list the file in the variable "
    f"{PRODUCTS_VARIABLE}."
)

ProductInput: TypeAlias = str | Mapping[str, Any] | Product
"""A product's name, a mapping with its content, or the product itself."""


@dataclass(frozen=True)
class RegisteredProducts:
    """The products of the files in the variable PRODUCTS.

    Attributes:
        by_name: the products, sorted by name.
        problems: error messages about invalid files, and about products with the same name. Each
            message contains the names of the files.
    """

    by_name: Mapping[str, Product]
    problems: tuple[str, ...]


class UnknownProductError(ConfigurationError):
    """Raised if no product with the requested name is registered in this process."""

    def __init__(self, name: object, products: RegisteredProducts) -> None:
        message = build_unknown_name_message("product", name, products.by_name or ("none",))
        super().__init__(" ".join((message, HOW_TO_ADD_PRODUCTS, *products.problems)))


def get_registered_products() -> RegisteredProducts:
    """Return the products of the files that the environment variable PRODUCTS lists.

    The result is cached, so the files are not read again while the variable has the same value.
    """
    return _read_registered_products(os.environ.get(PRODUCTS_VARIABLE, ""))


def require_usable_product_files() -> None:
    """Raise an error unless all product files that the variable PRODUCTS lists can be used.

    Raises:
        ProductRefused: a file is invalid, or different products have the same name. The message
            contains the names of the files.
    """
    for problem in get_registered_products().problems:
        raise ProductRefused(problem)


def register_product_file(path: Path) -> Product:
    """Add a product file to the variable PRODUCTS of this process, and return its product.

    The product is also available in processes that this process starts afterwards.

    Raises:
        ProductRefused: the file is invalid, or another file has a product with the same name.
        ConfigurationError: the path contains the separator of the variable.
    """
    product = read_product(path)
    variable = add_path_to_variable(os.environ.get(PRODUCTS_VARIABLE, ""), path)
    _read_registered_products.cache_clear()  # The file may have changed since it was read.
    registered = _read_registered_products(variable)
    if registered.by_name.get(product.name) != product:
        raise ProductRefused(
            f"{path.name} contains the product {product.name!r}, but another file in "
            f"{PRODUCTS_VARIABLE} has a different product with this name; import one of the "
            "tables again with another --name."
        )
    os.environ[PRODUCTS_VARIABLE] = variable
    return product


def find_product(value: object) -> Product:
    """Return the product that the reset argument `product` selects.

    Args:
        value: name of a product of PRODUCTS, a mapping with the structure of the product file, or
            a product.

    Raises:
        UnknownProductError: no product has this name.
        ProductRefused: the mapping is too large or has an invalid value.
        InvalidValueError: the value is of another type.
    """
    if isinstance(value, Product):
        return value
    if isinstance(value, Mapping):
        return _find_inline_product(value)
    if not isinstance(value, str):
        raise InvalidValueError("product", value, "the name of a product, or the product itself")
    products = get_registered_products()
    if value not in products.by_name:
        raise UnknownProductError(value, products)
    return products.by_name[value]


_INLINE_PRODUCTS: ByteCache[str, Product] = ByteCache(
    INLINE_CACHE_BYTES, lambda _: PARSED_PRODUCT_BYTES
)


def _find_inline_product(content: Mapping[str, Any]) -> Product:
    """Parse a product that was passed as a mapping, or return it from a cache of parsed ones."""
    text = serialize_within_size_limit(content)
    key = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return _INLINE_PRODUCTS.get_or_create(key, lambda: parse_product(content))


@lru_cache(maxsize=VARIABLE_CACHE_SIZE)
def _read_registered_products(variable: str) -> RegisteredProducts:
    """Read the product files that a value of the variable PRODUCTS lists.

    Files that belong to other environments are skipped. If different products have the same name,
    none of them is returned, because the choice would depend on the order of the files.
    """
    files_by_name: dict[str, dict[Path, Product]] = {}
    problems = []
    for path in iter_product_paths(variable):
        if read_environment_name(path) not in (None, ENVIRONMENT_NAME):
            continue
        try:
            product = read_product(path)
        except ProductRefused as error:
            problems.append(f"{path.name}: {error}")
        else:
            files_by_name.setdefault(product.name, {})[path] = product
    by_name = {}
    for name, files in sorted(files_by_name.items()):
        product, *others = files.values()
        if all(other == product for other in others):
            by_name[name] = product
        else:
            paths = ", ".join(path.name for path in files)
            problems.append(f"{paths}: different products have the name {name!r}.")
    return RegisteredProducts(by_name, tuple(problems))
