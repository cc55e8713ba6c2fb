"""Products by name, which resets can refer to, and the reading of the reset argument `product`."""

from __future__ import annotations

from collections.abc import Mapping

from metric_tracker_rl.products.field_reader import build_refusal
from metric_tracker_rl.products.parse_product import parse_product
from metric_tracker_rl.products.product import Product
from openenv_kit.errors import require_name

NAMED_PRODUCTS: dict[str, Product] = {}
"""Products that this process offers by name."""


def resolve_product_argument(value: object) -> Product | None:
    """Return the product of a reset.

    Args:
        value: the name of a product of this process, a mapping with the structure of a product
            file, a product, or None for no product.

    Raises:
        UnknownNameError: this process has no product of that name.
        ProductRefused: the mapping is no valid product, or the value is of another type.
    """
    if value is None or isinstance(value, Product):
        return value
    if isinstance(value, str):
        return NAMED_PRODUCTS[require_name("product", value, NAMED_PRODUCTS)]
    if isinstance(value, Mapping):
        return parse_product(value)
    raise build_refusal("product", value, "the name of a product, or a product as an object")
