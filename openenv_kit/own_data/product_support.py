"""What an environment provides for playing products, which are made from users' own tables.

A product is a file with aggregates of a user's table, from which the environment generates
episodes. The kit does not know what a product contains; it knows its name and its digest.
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
"""Column of a dataset row, or field of a recording's start, with the digest of the product."""


class LoadedProduct(NamedTuple):
    """Name and digest of a product. Products of one name with different digests share no episode.

    Attributes:
        name: name of the product, as the reset argument `product`.
        digest: SHA-256 of what determines the product's episodes, in hexadecimal.
    """

    name: str
    digest: str

    @property
    def row_columns(self) -> dict[str, str]:
        """Columns of a dataset row, or fields of a recording's start, that identify the product."""
        return {PRODUCT.name: self.name, PRODUCT_DIGEST_COLUMN: self.digest}


class ProductLevelState(NamedTuple):
    """Whether a level of a product can be played.

    Attributes:
        name: name of the level.
        is_on: whether it can be played.
        reason: why it is off; empty if it is on.
    """

    name: str
    is_on: bool
    reason: str = ""


class ProductSupport(Protocol):
    """Products of one environment, as a part of its member `own_data`.

    Products are known by name if the variable PRODUCTS lists their files, so that every process
    that inherits the variable knows them.
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
        """Return the names of the products that this process knows."""

    def find_product(self, value: object) -> LoadedProduct:
        """Return the name and digest of the product that the reset argument `product` selects.

        Raises:
            ConfigurationError: no product has this name, or the product in the argument is wrong.
        """

    def list_product_levels(self, value: object) -> Sequence[ProductLevelState]:
        """Return the levels of the product that the reset argument `product` selects.

        Raises:
            ConfigurationError: no product has this name, or the product in the argument is wrong.
        """

    def get_product_splits(self, name: str) -> Splits:
        """Return the splits of a product.

        Raises:
            ConfigurationError: no product has this name, or no level of it can be played.
        """

    def get_product_audit(self, name: str) -> Audit:
        """Return the exploit audit of a product, without ceilings.

        Raises:
            ConfigurationError: no product has this name, or no level of it can be played.
        """

    def read_product_of_reset(self, observation: Mapping[str, Any]) -> LoadedProduct | None:
        """Return the product that a reset observation names; None if it names none."""
