"""Builds the HTML report of an import: a single file that loads nothing from the network."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from shlex import join, quote

from jinja2 import Environment as TemplateEnvironment
from jinja2 import PackageLoader, StrictUndefined

from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.own_metrics.describe_import import (
    UnusualDay,
    describe_impossible_families,
    format_signed_percent,
    format_threshold,
    list_unusual_days,
    summarize_import,
)
from metric_tracker_rl.own_metrics.import_table import ImportedProduct
from metric_tracker_rl.own_metrics.import_warnings import iter_import_warnings
from metric_tracker_rl.own_metrics.series_charts import build_series_charts, format_value
from metric_tracker_rl.own_metrics.table_windows import iter_past_episodes, list_past_rows
from metric_tracker_rl.products.product import Product
from metric_tracker_rl.products.twin_check import TwinComparison
from openenv_kit.own_data.cleaned_table import CleanedTable
from openenv_kit.own_data.support import ImportRequest

MAX_REPORT_BYTES = 500_000
MAX_PAST_ROWS = 400
"""Largest number of past rows that the report lists."""


def _format_subject(subject: str) -> str:
    """Return the subject of a statistic as text; a weekday number becomes the weekday's name."""
    return calendar.day_name[int(subject)] if subject.isdecimal() else subject


_TEMPLATES = TemplateEnvironment(
    loader=PackageLoader("metric_tracker_rl.own_metrics", ""),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["value"] = format_value
_TEMPLATES.filters["signed_percent"] = format_signed_percent
_TEMPLATES.filters["subject"] = _format_subject


@dataclass(frozen=True)
class ThresholdLine:
    """Name of a series and its formatted threshold."""

    series: str
    threshold: str


@dataclass(frozen=True)
class PastReport:
    """The rows that the reporting policy would have reported in the past.

    Attributes:
        window_count: number of complete windows of four weeks.
        silent_window_count: number of windows without a row.
        row_count: number of rows.
        rows: the most recent rows, sorted by date; empty if daily values are excluded.
    """

    window_count: int
    silent_window_count: int
    row_count: int
    rows: Sequence[ReportRow]


def build_report_html(
    table: CleanedTable, imported: ImportedProduct, request: ImportRequest
) -> str:
    """Build the report of an import. Its size is at most 500 kB.

    Args:
        table: the cleaned table.
        imported: the product and its fit.
        request: names of the files, and whether daily values are included.
    """
    counts, fit, product = table.stage_counts, imported.fit, imported.product
    has_daily_values = request.has_daily_values
    unusual_days: Sequence[UnusualDay] = ()
    if has_daily_values:
        unusual_days = list_unusual_days(counts, fit)
    return _TEMPLATES.get_template("report.html.jinja").render(
        product=product,
        has_daily_values=has_daily_values,
        description=str(table.description),
        day_count=counts.days,
        first_date=counts.start,
        notes=table.description.notes,
        actions=table.actions,
        warnings=table.warnings,
        summary=_summarize(table, imported, has_daily_values=has_daily_values),
        charts=build_series_charts(counts, fit, product) if has_daily_values else (),
        unusual_days=unusual_days,
        comparisons=_sort_comparisons(imported.comparisons),
        product_warnings=tuple(iter_import_warnings(product, imported.comparisons)),
        thresholds=_list_thresholds(product),
        past=_build_past_report(table, product, has_daily_values=has_daily_values),
        missing_room=describe_impossible_families(product),
        commands=_list_next_commands(product, request),
    )


def _summarize(
    table: CleanedTable, imported: ImportedProduct, *, has_daily_values: bool
) -> list[str]:
    if not has_daily_values:
        return []
    lines = summarize_import(table.stage_counts, imported.fit, imported.product)
    return [f"{line.title}: {line.text}" for line in lines]


def _sort_comparisons(comparisons: Sequence[TwinComparison]) -> list[TwinComparison]:
    """Sort comparisons so that those outside their tolerance come first."""
    return sorted(comparisons, key=lambda comparison: comparison.is_within_tolerance)


def _list_thresholds(product: Product) -> list[ThresholdLine]:
    return [ThresholdLine(name, format_threshold(product, name)) for name in product.column_names]


def _build_past_report(
    table: CleanedTable, product: Product, *, has_daily_values: bool
) -> PastReport:
    episodes = list(iter_past_episodes(table.stage_counts, product, table.calendar))
    rows = list_past_rows(episodes)
    return PastReport(
        window_count=len(episodes),
        silent_window_count=sum(not episode.expected_rows for episode in episodes),
        row_count=len(rows),
        rows=rows[-MAX_PAST_ROWS:] if has_daily_values else (),
    )


def _list_next_commands(product: Product, request: ImportRequest) -> list[str]:
    """Return the shell commands that the report suggests as next steps with the product."""
    table, product_file = join(request.table_words), quote(request.product_file_name)
    is_on = [name for name, level in product.levels.items() if level.is_on]
    commands = [f"uv run metric-tracker investigate {table} --product {product_file}"]
    if is_on:
        level = is_on[min(1, len(is_on) - 1)]
        commands.append(f"uv run inference.py --product {product_file} --level {level}")
    commands.append(f"uv run metric-tracker drift {table} --product {product_file}")
    return commands
