"""Numeric helpers of hypotheses and evidence checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from firewatch_next.faults.evidence import ParsedSeries
from openenv_kit.float_sum import sum_left_to_right


class GroupExcess(NamedTuple):
    """The group in which a value exceeds that of the others the most."""

    name: str
    excess: float


def mean(values: Sequence[float]) -> float:
    """Return the mean, or 0 without values."""
    return sum_left_to_right(values) / len(values) if values else 0.0


def final_level(series: Sequence[ParsedSeries], points: int = 3) -> float:
    """Return the mean of the last points of the first series, or 0 without a series."""
    return mean(series[0].values[-points:]) if series else 0.0


def first_level(series: Sequence[ParsedSeries], points: int = 3) -> float:
    """Return the mean of the first points of the first series, or 0 without a series."""
    return mean(series[0].values[:points]) if series else 0.0


def values_at_latest_time(series: Sequence[ParsedSeries]) -> list[float]:
    """Return the newest values, of those series only that have a reading at the newest time.

    Pods that are away have none.
    """
    latest = min((one.minutes[-1] for one in series), default=0.0)
    return [one.values[-1] for one in series if one.minutes[-1] <= latest]


def rises_gradually(values: Sequence[float], min_rise: float) -> bool:
    """Return whether the values rise by `min_rise` in total and no step is half of it or more."""
    if len(values) < 4 or values[-1] - values[0] < min_rise:
        return False
    steps = [after - before for before, after in pairwise(values)]
    return max(steps) < 0.5 * (values[-1] - values[0])


def strongest_group(
    rows: Sequence[Mapping[str, str | float]], name_field: str, value_field: str, other_field: str
) -> GroupExcess | None:
    """Return the row whose value exceeds its other field the most, or None without such fields."""
    found = [
        GroupExcess(str(row[name_field]), float(row[value_field]) - float(row[other_field]))
        for row in rows
        if name_field in row and value_field in row and other_field in row
    ]
    return max(found, key=lambda group: group.excess, default=None)
