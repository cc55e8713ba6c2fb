"""Warnings about thresholds that no fall can reach, and about imprecise synthetic tables."""

from __future__ import annotations

from dataclasses import replace

from metric_tracker_rl.own_metrics.import_table import ImportedProduct
from metric_tracker_rl.own_metrics.import_warnings import (
    describe_unreportable_falls,
    iter_import_warnings,
)
from metric_tracker_rl.own_metrics.investigate import create_table_investigation
from metric_tracker_rl.own_metrics.report import build_report_html
from metric_tracker_rl.products.fit import fit_table
from metric_tracker_rl.products.product import Product
from metric_tracker_rl.products.twin_check import StatisticKey, TwinComparison, TwinStatistic
from openenv_kit.own_data.cleaned_table import CleanedTable, TableDescription
from openenv_kit.own_data.support import ImportRequest, InvestigationRequest
from support.small_products import build_small_product, simulate_small_table

LARGE_SHARE_MISS = TwinComparison(StatisticKey(TwinStatistic.MEAN_RATE, "a_to_b"), 0.5, 0.6)
SHARE_HIT = TwinComparison(StatisticKey(TwinStatistic.MEAN_RATE, "b_to_c"), 0.5, 0.5)


def with_first_threshold(threshold: float) -> Product:
    """Return the small product with another threshold of its first count."""
    product = build_small_product()
    series = (replace(product.series[0], threshold=threshold), *product.series[1:])
    return replace(product, series=series)


def clean_small_table() -> CleanedTable:
    """Return the small table as if it had been read and cleaned."""
    description = TableDescription(format="CSV", shape="wide, one row an hour")
    return CleanedTable(
        stage_counts=simulate_small_table(), actions=(), warnings=(), description=description
    )


def test_threshold_above_the_largest_fall_is_a_warning() -> None:
    assert describe_unreportable_falls(with_first_threshold(1.43)) == (
        "A fall of visits cannot be reported: its threshold is 143 %."
    )


def test_fall_to_zero_is_reportable_at_a_threshold_of_100_percent() -> None:
    assert describe_unreportable_falls(with_first_threshold(1.0)) == ""


def test_several_series_are_listed_with_their_thresholds() -> None:
    product = with_first_threshold(1.43)
    product = replace(product, other_thresholds={**product.other_thresholds, "orders": 7.7})
    assert describe_unreportable_falls(product) == (
        "Falls of these series cannot be reported, because of their thresholds: "
        "visits 143 %, orders 770 %."
    )


def test_warnings_name_the_remedy_and_count_statistics_outside_their_tolerance() -> None:
    comparisons = (LARGE_SHARE_MISS, SHARE_HIT, LARGE_SHARE_MISS)
    falls, statistics = iter_import_warnings(with_first_threshold(1.43), comparisons)
    assert falls.endswith("Combine rare stages or sources, so that a day has more events.")
    assert statistics == (
        "2 of 3 statistics of synthetic tables are outside their tolerance (see report)"
    )
    assert list(iter_import_warnings(build_small_product(), (SHARE_HIT,))) == []


def test_report_and_investigation_contain_the_warning() -> None:
    table, product = clean_small_table(), with_first_threshold(1.43)
    request = ImportRequest(
        product_name="shop",
        product_file_name="shop.toml",
        table_words=("shop.csv",),
        report_file_name="shop.html",
        has_daily_values=False,
    )
    imported = ImportedProduct(product, fit_table(table.stage_counts), (LARGE_SHARE_MISS,))
    html = build_report_html(table, imported, request)
    assert "A fall of visits cannot be reported: its threshold is 143 %." in html
    assert "1 of 1 statistics of synthetic tables is outside its tolerance" in html
    investigation = create_table_investigation(table, product, InvestigationRequest())
    assert investigation.notes == (describe_unreportable_falls(product),)
