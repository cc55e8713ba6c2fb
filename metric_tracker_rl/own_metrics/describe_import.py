"""Describes an import in a few lines: excluded days, thresholds, levels, impossible anomalies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from metric_tracker_rl.engine.definitions.anomaly_types import (
    COUNT_DROP,
    COUNT_SPIKE,
    FUNNEL_BREAK,
    MIX_SHIFT,
    QUALITY_ISSUE,
    RATE_DROP,
    RATE_SPIKE,
)
from metric_tracker_rl.own_metrics.certify_levels import CERTIFIED_SEEDS
from metric_tracker_rl.products.fit import TableFit
from metric_tracker_rl.products.product import Product, list_fitted_series_names
from metric_tracker_rl.products.room import SeriesRoom, list_series_room
from openenv_kit.own_data.count_text import format_count
from openenv_kit.own_data.stage_counts import DayStatus, StageCounts
from openenv_kit.own_data.support import SummaryLine

HARDEST_FACTOR = 1.0
"""Factor of the levels hard and expert. With their thresholds, most anomalies are possible."""
_FAMILY_TEXTS = {
    RATE_DROP: "falls of",
    RATE_SPIKE: "rises of",
    COUNT_DROP: "losses of",
    COUNT_SPIKE: "gains of",
    FUNNEL_BREAK: "breaks at",
    MIX_SHIFT: "shifts of",
    QUALITY_ISSUE: "impossible counts of",
}
_STATUS_NOUNS = {
    DayStatus.MISSING: ("missing day", "missing days"),
    DayStatus.OUTAGE: ("day of zeros", "days of zeros"),
    DayStatus.IMPOSSIBLE: ("day with impossible counts", "days with impossible counts"),
}
"""Nouns for the days of a status, in the singular and the plural."""


class UnusualDay(NamedTuple):
    """A day that the fit excluded because a series was far from its fitted level.

    Attributes:
        date: ISO date.
        series: series with the largest residual in relation to its noise.
        residual: residual of this series, relative to its level.
    """

    date: str
    series: str
    residual: float


def summarize_import(
    table: StageCounts, fit: TableFit, product: Product
) -> tuple[SummaryLine, ...]:
    """Return the lines that the import command prints about its product."""
    lines = [
        SummaryLine("Set aside", describe_days_set_aside(table, fit)),
        SummaryLine("Thresholds", describe_thresholds(product)),
        SummaryLine("Levels", describe_levels(product)),
    ]
    without_room = describe_impossible_families(product)
    if without_room:
        lines.append(SummaryLine("Impossible", without_room))
    return tuple(lines)


def list_unusual_days(table: StageCounts, fit: TableFit) -> tuple[UnusualDay, ...]:
    """Return the days that the fit excluded as unusual, with the most unusual day first.

    Days are compared by their largest residual, measured as a multiple of the series' mean
    absolute residual on ordinary days.
    """
    names = list_fitted_series_names(table.stages, table.grain)
    ordinary = np.abs(fit.residuals[fit.masks.is_ordinary])
    scales = np.maximum(np.nan_to_num(np.nanmean(ordinary, axis=0)), np.finfo(float).tiny)
    multiples = np.nan_to_num(np.abs(fit.residuals) / scales, nan=0.0)
    days = np.flatnonzero(fit.masks.is_unusual)
    by_size = days[np.argsort(-multiples[days].max(axis=1), kind="stable")]
    return tuple(
        UnusualDay(
            table.get_date(int(day)).isoformat(),
            names[int(multiples[day].argmax())],
            float(fit.residuals[day, multiples[day].argmax()]),
        )
        for day in by_size
    )


def describe_days_set_aside(table: StageCounts, fit: TableFit) -> str:
    """Describe how many days the fit excluded for each reason, and which day was most unusual."""
    parts = []
    holidays = sum(
        status == DayStatus.COUNTED and table.get_date(day) in table.holidays
        for day, status in enumerate(table.day_status)
    )
    if holidays:
        parts.append(format_count(holidays, "holiday"))
    unusual = list_unusual_days(table, fit)
    if unusual:
        worst = unusual[0]
        parts.append(
            f"{format_count(len(unusual), 'unusual day')} "
            f"({worst.date}: {worst.series} {format_signed_percent(worst.residual)})"
        )
    for status, (noun, plural) in _STATUS_NOUNS.items():
        count = table.day_status.count(status)
        if count:
            parts.append(format_count(count, noun, plural))
    return ", ".join(parts) or "nothing"


def describe_thresholds(product: Product) -> str:
    """Return a text that lists the reporting threshold of each fitted series.

    The thresholds have not been multiplied by the factor of a difficulty level.
    """
    return ", ".join(
        f"{series.name} {format_threshold(product, series.name)}" for series in product.series
    )


def describe_levels(product: Product) -> str:
    """Describe which difficulty levels of a product are available.

    The text contains the number of certified seeds of these levels, and the reason why each of
    the other levels is not available.
    """
    is_on = {name: level for name, level in product.levels.items() if level.is_on}
    parts = []
    if is_on:
        certified = sorted({level.certified for level in is_on.values()})
        counts = f"{certified[0]}" if len(certified) == 1 else f"{certified[0]} to {certified[-1]}"
        parts.append(
            f"{', '.join(is_on)}: on ({counts} of {len(CERTIFIED_SEEDS)} seeds certified on each)"
        )
    parts += [
        f"{name}: off ({level.reason})" for name, level in product.levels.items() if not level.is_on
    ]
    return "; ".join(parts)


def describe_impossible_families(product: Product) -> str:
    """Describe which types of anomaly are impossible even on the hardest levels.

    A type is impossible if it cannot be planned on any series of the product. If all types are
    possible, the text is empty.
    """
    rooms = list_series_room(product, HARDEST_FACTOR)
    return "; ".join(_iter_missing_families(product, rooms))


def format_threshold(product: Product, series_name: str) -> str:
    """Format the threshold of a series in percent, or as a fraction if it is the daytime share."""
    threshold = product.thresholds_by_column[series_name]
    if series_name == product.daytime_share_name:
        return f"{threshold:.2f}"
    return f"{100.0 * threshold:.0f} %"


def format_signed_percent(fraction: float) -> str:
    """Format a fraction as percent with its sign, such as `−57 %`."""
    sign = "−" if fraction < 0.0 else "+"
    return f"{sign}{abs(100.0 * fraction):.0f} %"


def _iter_missing_families(product: Product, rooms: tuple[SeriesRoom, ...]) -> Iterator[str]:
    for family, text in _FAMILY_TEXTS.items():
        if family == MIX_SHIFT and not product.is_hourly:
            continue  # A daily table has no daytime share.
        of_family = [room for room in rooms if room.family == family]
        if of_family and not any(room.has_room for room in of_family):
            yield f"{text} {', '.join(dict.fromkeys(room.series for room in of_family))}"
