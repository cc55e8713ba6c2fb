"""Interface of an environment that can generate episodes from products.

A product is a file with aggregates of a user's table, from which the environment generates
episodes. The kit uses only the name and the digest of a product, not its content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from openenv_kit.reset_arguments import PRODUCT

if TYPE_CHECKING:
    from openenv_kit.splits import Splits
    from openenv_kit.trust.audit import Audit


PRODUCT_DIGEST_COLUMN = "product_digest"
"""Name of the dataset column and of the field in a recording that contain a product's digest."""


class LoadedProduct(NamedTuple):
    """Name and digest of a product. Products with different digests generate different episodes.

    Attributes:
        name: name of the product, the value of the reset argument `product`.
        digest: hexadecimal SHA-256 of all values that determine the product's episodes.
    """

    name: str
    digest: str

    @property
    def row_columns(self) -> dict[str, str]:
        """Columns of a dataset row, or fields of a recording, that identify the product."""
        return {PRODUCT.name: self.name, PRODUCT_DIGEST_COLUMN: self.digest}


class ProductLevelState(NamedTuple):
    """Whether a level of a product can be played.

    Attributes:
        name: name of the level.
        is_on: whether the level can be played.
        reason: why the level cannot be played; empty if it can.
    """

    name: str
    is_on: bool
    reason: str = ""


class ProductSupport(Protocol):
    """Interface to the products of one environment; part of its member `own_data`.

    A product is available by name if the variable PRODUCTS lists its file. Child processes inherit
    the variable, so they have the same products.
    """

    def load_product(self, path: Path) -> LoadedProduct:
        """Add a product file to the variable PRODUCTS of this process.

        Raises:
            ConfigurationError: the file cannot be used, or another product has the same name.
        """

    def require_usable_products(self) -> None:
        """Check every file of the variable PRODUCTS that belongs to this environment.

        Raises:
            ConfigurationError: a file cannot be used. The message names it.
        """

    def list_product_names(self) -> Sequence[str]:
        """Return the names of the products that are available in this process."""

    def find_product(self, value: object) -> LoadedProduct:
        """Return the name and digest of the product that the reset argument `product` selects.

        Raises:
            ConfigurationError: no product has this name, or the argument is an invalid product.
        """

    def list_product_levels(self, value: object) -> Sequence[ProductLevelState]:
        """Return the levels of the product that the reset argument `product` selects.

        Raises:
            ConfigurationError: no product has this name, or the argument is an invalid product.
        """

    def get_product_splits(self, name: str) -> Splits:
        """Return the splits of a product.

        Raises:
            ConfigurationError: no product has this name, or none of its levels is available.
        """

    def get_product_audit(self, name: str) -> Audit:
        """Return the exploit audit of a product, without score ceilings.

        Raises:
            ConfigurationError: no product has this name, or none of its levels is available.
        """

    def read_product_of_reset(self, observation: Mapping[str, Any]) -> LoadedProduct | None:
        """Return the product in a reset observation; None if it contains no product."""
