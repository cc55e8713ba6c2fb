"""Describes problems that do not prevent a product's use: large thresholds, inaccurate twins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from metric_tracker_rl.products.product import Product
from metric_tracker_rl.products.twin_check import TwinComparison

LARGEST_FALL = 1.0
"""A count or a rate cannot fall by more than its whole baseline."""
LOW_VOLUME_REMEDY = "Combine rare stages or sources, so that a day has more events."


def iter_import_warnings(product: Product, comparisons: Sequence[TwinComparison]) -> Iterator[str]:
    """Yield a sentence for each kind of problem that the user should know about.

    Args:
        product: product with thresholds.
        comparisons: statistics of the table and of the synthetic tables.
    """
    unreportable = describe_unreportable_falls(product)
    if unreportable:
        yield f"{unreportable} {LOW_VOLUME_REMEDY}"
    outside = sum(not comparison.is_within_tolerance for comparison in comparisons)
    if outside:
        verb = "is outside its" if outside == 1 else "are outside their"
        yield (
            f"{outside} of {len(comparisons)} statistics of synthetic tables {verb} tolerance "
            "(see report)"
        )


def describe_unreportable_falls(product: Product) -> str:
    """Describe which series cannot fall far enough to be reported.

    These are the series whose threshold is above 100 %. If there are none, the text is empty. The
    daytime share is never listed, because its threshold is an absolute difference.
    """
    thresholds = {
        name: threshold
        for name, threshold in product.thresholds_by_column.items()
        if name != product.daytime_share_name and threshold > LARGEST_FALL
    }
    percents = {name: f"{100.0 * threshold:.0f} %" for name, threshold in thresholds.items()}
    if not thresholds:
        return ""
    if len(thresholds) == 1:
        ((name, percent),) = percents.items()
        return f"A fall of {name} cannot be reported: its threshold is {percent}."
    listed = ", ".join(f"{name} {percent}" for name, percent in percents.items())
    return f"Falls of these series cannot be reported, because of their thresholds: {listed}."
