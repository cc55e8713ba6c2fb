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
_STATUS_TEXTS = {
    DayStatus.MISSING: "missing days",
    DayStatus.OUTAGE: "days of zeros",
    DayStatus.IMPOSSIBLE: "days with impossible counts",
}


class UnusualDay(NamedTuple):
    """A day that the fit excluded because a series was far from its level.

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
    """Return the unusual days, starting with the largest residual in relation to the noise."""
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
    """Return how many days the fit excluded for each reason, and the most unusual day."""
    parts = []
    holidays = sum(
        status == DayStatus.COUNTED and table.get_date(day) in table.holidays
        for day, status in enumerate(table.day_status)
    )
    if holidays:
        parts.append(format_count(holidays, "holidays"))
    unusual = list_unusual_days(table, fit)
    if unusual:
        worst = unusual[0]
        parts.append(
            f"{format_count(len(unusual), 'unusual days')} "
            f"({worst.date}: {worst.series} {format_signed_percent(worst.residual)})"
        )
    for status, text in _STATUS_TEXTS.items():
        count = table.day_status.count(status)
        if count:
            parts.append(format_count(count, text))
    return ", ".join(parts) or "nothing"


def describe_thresholds(product: Product) -> str:
    """Return the thresholds of the fitted series, before a level's factor is applied."""
    return ", ".join(
        f"{series.name} {format_threshold(product, series.name)}" for series in product.series
    )


def describe_levels(product: Product) -> str:
    """Return which levels are on, how many seeds were certified, and why the others are off."""
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
    """Return the families that are impossible even on the hardest levels; empty if there are none.

    A family is impossible if no series of the product can deviate far enough from its baseline.
    """
    rooms = list_series_room(product, HARDEST_FACTOR)
    return "; ".join(_iter_missing_families(product, rooms))


def format_threshold(product: Product, series_name: str) -> str:
    """Format the threshold of a series: in percent, or as a fraction for the daytime share."""
    threshold = product.thresholds_by_column[series_name]
    if series_name == product.daytime_share_name:
        return f"{threshold:.2f}"
    return f"{100.0 * threshold:.0f} %"


def format_signed_percent(fraction: float) -> str:
    """Format a fraction as percent with its sign, such as `−57 %`."""
    sign = "−" if fraction < 0.0 else "+"
    return f"{sign}{abs(100.0 * fraction):.0f} %"


def format_count(count: int, plural: str) -> str:
    """Return a number and a noun. If the number is 1, `days` and `holidays` become singular."""
    words = plural.split(" ")
    if count == 1:
        words = [word.removesuffix("s") if word in ("days", "holidays") else word for word in words]
    return f"{count} {' '.join(words)}"


def _iter_missing_families(product: Product, rooms: tuple[SeriesRoom, ...]) -> Iterator[str]:
    for family, text in _FAMILY_TEXTS.items():
        if family == MIX_SHIFT and not product.is_hourly:
            continue  # A daily table has no daytime share.
        of_family = [room for room in rooms if room.family == family]
        if of_family and not any(room.has_room for room in of_family):
            yield f"{text} {', '.join(dict.fromkeys(room.series for room in of_family))}"
