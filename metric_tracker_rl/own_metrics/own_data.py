"""What the funnel does with a user's table, as the kit's commands call it."""

from __future__ import annotations

from metric_tracker_rl.own_metrics.report import build_report_html

from metric_tracker_rl.own_metrics.describe_import import summarize_import
from metric_tracker_rl.own_metrics.import_table import import_stage_counts
from metric_tracker_rl.products.product_file import format_product
from openenv_kit.own_data.cleaned_table import CleanedTable
from openenv_kit.own_data.support import ImportRequest, ImportResult, OwnDataSupport


class MetricTrackerOwnData(OwnDataSupport):
    """Makes tasks of the funnel from a user's table."""

    def import_table(self, table: CleanedTable, request: ImportRequest) -> ImportResult:
        imported = import_stage_counts(
            table.stage_counts,
            request.product_name,
            request.worker_count,
            request.show_progress,
        )
        return ImportResult(
            summary=summarize_import(table.stage_counts, imported.fit, imported.product),
            product_text=format_product(imported.product),
            report_html=build_report_html(table, imported, request),
            has_level=imported.has_level,
        )
