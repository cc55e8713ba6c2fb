"""Implements `ProductSupport`, the kit's interface to products, for the funnel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metric_tracker_rl.engine.configuration.product_splits import build_product_splits
from metric_tracker_rl.products.product import Product
from metric_tracker_rl.products.product_registry import (
    find_product,
    get_registered_products,
    register_product_file,
    require_usable_product_files,
)
from openenv_kit.own_data.product_support import (
    LoadedProduct,
    ProductLevelState,
    ProductSupport,
)
from openenv_kit.splits import Splits

if TYPE_CHECKING:
    from openenv_kit.trust.audit import Audit


class FunnelProducts(ProductSupport):
    """Products of the funnel; see `openenv_kit.own_data.product_support.ProductSupport`."""

    def load_product(self, path: Path) -> LoadedProduct:
        return _describe(register_product_file(path))

    def require_usable_products(self) -> None:
        require_usable_product_files()

    def list_product_names(self) -> Sequence[str]:
        return tuple(get_registered_products().by_name)

    def find_product(self, value: object) -> LoadedProduct:
        return _describe(find_product(value))

    def list_product_levels(self, value: object) -> Sequence[ProductLevelState]:
        return tuple(
            ProductLevelState(name, level.is_on, level.reason)
            for name, level in find_product(value).levels.items()
        )

    def get_product_splits(self, name: str) -> Splits:
        return build_product_splits(find_product(name))

    def get_product_audit(self, name: str) -> Audit:
        from metric_tracker_rl.product_audit import build_product_audit

        return build_product_audit(find_product(name))

    def read_product_of_reset(self, observation: Mapping[str, Any]) -> LoadedProduct | None:
        config = observation.get("config") or {}
        if "product_digest" not in config:
            return None
        return LoadedProduct(config["product"], config["product_digest"])


def _describe(product: Product) -> LoadedProduct:
    return LoadedProduct(product.name, product.digest)
