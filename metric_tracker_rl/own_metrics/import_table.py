"""Makes a product from a user's table: fits it, computes thresholds and certifies its levels."""

from __future__ import annotations

from dataclasses import dataclass

from metric_tracker_rl.own_metrics.certify_levels import (
    CertifySeed,
    add_certified_levels,
    certify_seed,
)
from metric_tracker_rl.products.fit import TableFit, fit_product, fit_table
from metric_tracker_rl.products.product import Product
from metric_tracker_rl.products.twin_check import TwinComparison, compare_with_twin_tables
from openenv_kit.own_data.stage_counts import StageCounts
from openenv_kit.own_data.support import ShowProgress


@dataclass(frozen=True)
class ImportedProduct:
    """A product and the fit from which it was made.

    Attributes:
        product: the product, with certified levels.
        fit: fitted levels, residuals and masks of the used days.
        comparisons: statistics of the table, compared with synthetic tables.
    """

    product: Product
    fit: TableFit
    comparisons: tuple[TwinComparison, ...] = ()

    @property
    def has_level(self) -> bool:
        """Whether at least one difficulty level of the product is available."""
        return any(level.is_on for level in self.product.levels.values())


def import_stage_counts(
    table: StageCounts,
    name: str,
    worker_count: int = 1,
    show_progress: ShowProgress | None = None,
    certify: CertifySeed = certify_seed,
) -> ImportedProduct:
    """Fit a product to a table and certify its levels.

    Args:
        table: cleaned counts.
        name: name of the product.
        worker_count: number of processes for the certification.
        show_progress: function that wraps the iterator over certified seeds.
        certify: function that certifies one seed.

    Raises:
        ProductRefused: the name contains characters other than a to z, 0 to 9 and _, or the table
            has too few days that are complete, not holidays and not unusual.
    """
    fitted = fit_product(table, name)
    product = add_certified_levels(fitted, worker_count, show_progress, certify)
    return ImportedProduct(product, fit_table(table), compare_with_twin_tables(table, product))
