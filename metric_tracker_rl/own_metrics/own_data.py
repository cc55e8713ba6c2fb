"""Implements the kit's interface to users' tables for the funnel.

The modules that import and investigate tables are imported on first use, because episodes of a
product do not need them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from metric_tracker_rl.own_metrics.funnel_products import FunnelProducts
from metric_tracker_rl.products.product_file import format_product, read_product
from openenv_kit.own_data.support import (
    DriftResult,
    ImportRequest,
    ImportResult,
    InvestigationRequest,
    OwnDataSupport,
    SummaryLine,
)

if TYPE_CHECKING:
    from metric_tracker_rl.own_metrics.investigate import TableInvestigation
    from openenv_kit.own_data.cleaned_table import CleanedTable


class MetricTrackerOwnData(FunnelProducts, OwnDataSupport):
    """Imports, compares and investigates users' tables for the funnel."""

    def import_table(self, table: CleanedTable, request: ImportRequest) -> ImportResult:
        from metric_tracker_rl.own_metrics.describe_import import summarize_import
        from metric_tracker_rl.own_metrics.import_table import import_stage_counts
        from metric_tracker_rl.own_metrics.import_warnings import iter_import_warnings
        from metric_tracker_rl.own_metrics.report import build_report_html

        imported = import_stage_counts(
            table.stage_counts,
            request.product_name,
            request.worker_count,
            request.show_progress,
        )
        return ImportResult(
            summary=(
                *summarize_import(table.stage_counts, imported.fit, imported.product),
                *(
                    SummaryLine("Warning", warning)
                    for warning in iter_import_warnings(imported.product, imported.comparisons)
                ),
            ),
            product_text=format_product(imported.product),
            report_html=build_report_html(table, imported, request),
            has_level=imported.has_level,
        )

    def compare_with_product(self, table: CleanedTable, product_file: Path) -> DriftResult:
        from metric_tracker_rl.own_metrics.drift import compute_drift, describe_drift

        product = read_product(product_file)
        drifts = compute_drift(table.stage_counts, product)
        return DriftResult(
            lines=tuple(SummaryLine(each.name, describe_drift(each, product)) for each in drifts),
            fits=all(each.fits for each in drifts),
        )

    def start_investigation(
        self, table: CleanedTable, product_file: Path, request: InvestigationRequest
    ) -> TableInvestigation:
        from metric_tracker_rl.own_metrics.investigate import create_table_investigation

        return create_table_investigation(table, read_product(product_file), request)
