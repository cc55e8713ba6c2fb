"""Determines which anomalies are possible for a product.

The deviation of an anomaly must exceed its threshold by a margin. A series has room for an anomaly
if it can deviate that far. Not every series can, because a rate cannot exceed 1, and the count of a
stage cannot fall below that of the next stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from metric_tracker_rl.engine.definitions.anomaly_types import (
    ANOMALY_TYPES,
    COUNT_DROP,
    COUNT_SPIKE,
    FUNNEL_BREAK,
    MIX_SHIFT,
    QUALITY_ISSUE,
    RATE_DROP,
    RATE_SPIKE,
)
from metric_tracker_rl.products.product import Product
from metric_tracker_rl.products.thresholds import (
    LEVEL_FACTORS,
    compute_break_threshold,
    compute_level_thresholds,
)

PLANNED_MULTIPLE = 1.12
"""Smallest planned deviation, in multiples of the threshold."""
MAX_DROP = 0.90
"""Upper limit of the size of a drop (exclusive)."""
MAX_BREAK = 0.95
"""Upper limit of the size of a break (exclusive)."""
MAX_RATE = 0.98
"""Largest rate that an anomaly may cause."""
LEAK_LOSS_PER_STEP = 0.82
"""Deviation of each step rate in a slow leak, in multiples of its threshold."""
UNFLAGGED_MULTIPLE = 0.88
"""Largest deviation, in multiples of the threshold, of a series that must not be flagged."""
MIN_SHARE_MARGIN = 0.04
"""Smallest distance of a shifted daytime share from 0 and 1."""
MIN_FAMILIES = 2
"""Smallest number of families that a level must have room for to be on."""


@dataclass(frozen=True)
class SeriesRoom:
    """Whether a series can deviate far enough for the anomalies of a scenario family.

    Attributes:
        family: scenario family, which is a type of anomaly such as a drop of a rate.
        series: name of the series, or of the pair of stages.
        reason: why the series cannot deviate far enough; empty if it can.
        is_leak: whether the anomaly is spread over the steps of a composite rate.
    """

    family: str
    series: str
    reason: str
    is_leak: bool = False

    @property
    def has_room(self) -> bool:
        """Whether the series can deviate far enough for anomalies of the family."""
        return not self.reason


@dataclass(frozen=True)
class _Levels:
    """Thresholds of a product at a difficulty level, and the typical step rates of the product.

    Attributes:
        thresholds: threshold of each series, by name.
        rates: median step rates, starting with the rate into the second stage.
    """

    thresholds: dict[str, float]
    rates: tuple[float, ...]


def list_series_room(product: Product, level_factor: float) -> tuple[SeriesRoom, ...]:
    """Return, for each scenario family and series, whether the series can deviate far enough.

    Args:
        product: product with thresholds.
        level_factor: factor by which the difficulty level multiplies the thresholds.
    """
    levels = _Levels(
        thresholds=compute_level_thresholds(product, level_factor),
        rates=tuple(series.median_level for series in product.step_rate_series),
    )
    return tuple(
        room
        for list_family_room in _ROOM_BY_FAMILY.values()
        for room in list_family_room(product, levels)
    )


def list_possible_families(product: Product, level_factor: float) -> tuple[str, ...]:
    """Return the scenario families for which at least one series can deviate far enough.

    The families are in the order of `ANOMALY_TYPES`.
    """
    possible = {room.family for room in list_series_room(product, level_factor) if room.has_room}
    return tuple(family for family in ANOMALY_TYPES if family in possible)


def explain_missing_families(product: Product, level_factor: float) -> str:
    """Return why too few scenario families are possible, or an empty text if enough are possible.

    It says why the first impossible family cannot be generated for the first of its series.
    """
    possible = list_possible_families(product, level_factor)
    if len(possible) >= MIN_FAMILIES:
        return ""
    return next(
        room.reason
        for room in list_series_room(product, level_factor)
        if room.family not in possible
    )


def list_possible_families_by_level(product: Product) -> dict[str, tuple[str, ...]]:
    """Return the possible scenario families at each difficulty level, by the level's name."""
    return {name: list_possible_families(product, factor) for name, factor in LEVEL_FACTORS.items()}


def _iter_rate_drop_room(product: Product, levels: _Levels) -> Iterator[SeriesRoom]:
    for name in product.step_rate_names:
        threshold = levels.thresholds[name]
        size = PLANNED_MULTIPLE * threshold
        largest = UNFLAGGED_MULTIPLE * compute_break_threshold(threshold)
        reason = _explain_drop(product, size)
        if not reason and size > largest:
            reason = (
                f"{name} would have to fall by {_format_percent(size)}, but a fall by more than "
                f"{_format_percent(largest)} is a break"
            )
        yield SeriesRoom(RATE_DROP, name, reason)
    yield from _iter_leak_room(product, levels, RATE_DROP, -1.0)


def _iter_rate_spike_room(product: Product, levels: _Levels) -> Iterator[SeriesRoom]:
    for name, rate in zip(product.step_rate_names, levels.rates, strict=True):
        size = PLANNED_MULTIPLE * levels.thresholds[name]
        yield SeriesRoom(RATE_SPIKE, name, _explain_rise(name, rate, size))
    yield from _iter_leak_room(product, levels, RATE_SPIKE, 1.0)


def _iter_leak_room(
    product: Product, levels: _Levels, family: str, direction_sign: float
) -> Iterator[SeriesRoom]:
    """Yield, for each composite rate, whether it can be flagged while its step rates are not.

    In such an anomaly, a small change of every step adds up to a large change of the composite
    rate. Shorter composite rates must also stay unflagged, because the reporting policy reports
    the shortest composite rate that is flagged.
    """
    # Composite rate up to the current stage after the anomaly, in multiples of its baseline.
    factor = 1.0
    reason = ""
    start = 0
    for end, composite in zip(product.composite_ends, product.composite_rate_names, strict=True):
        for name, rate in zip(
            product.step_rate_names[start:end], levels.rates[start:end], strict=True
        ):
            change = LEAK_LOSS_PER_STEP * levels.thresholds[name]
            factor *= 1.0 + direction_sign * change
            if direction_sign > 0.0:
                reason = reason or _explain_rise(name, rate, change)
        threshold = levels.thresholds[composite]
        needed, possible = PLANNED_MULTIPLE * threshold, abs(factor - 1.0)
        if possible < needed:
            shortfall = (
                f"{composite} would have to move by {_format_percent(needed)}, but unflagged steps "
                f"move it by at most {_format_percent(possible)}"
            )
        else:
            shortfall = ""
        yield SeriesRoom(family, composite, reason or shortfall, is_leak=True)
        factor = 1.0 + direction_sign * min(possible, UNFLAGGED_MULTIPLE * threshold)
        start = end


def _iter_count_drop_room(product: Product, levels: _Levels) -> Iterator[SeriesRoom]:
    first = product.stages[0]
    size = PLANNED_MULTIPLE * levels.thresholds[first]
    yield SeriesRoom(COUNT_DROP, first, _explain_drop(product, size))
    for stage in _list_inner_stages(product):
        size = PLANNED_MULTIPLE * _find_largest_threshold_of_stage_and_adjacent_rates(
            product, levels, stage
        )
        name, next_rate = product.stages[stage], levels.rates[stage]
        yield SeriesRoom(
            COUNT_DROP,
            name,
            _explain_inner_stage(name, "lose", size, 1.0 - next_rate / MAX_RATE),
        )


def _iter_count_spike_room(product: Product, levels: _Levels) -> Iterator[SeriesRoom]:
    yield SeriesRoom(COUNT_SPIKE, product.stages[0], "")
    for stage in _list_inner_stages(product):
        size = PLANNED_MULTIPLE * _find_largest_threshold_of_stage_and_adjacent_rates(
            product, levels, stage
        )
        # If a count rises by the share d, the next step rate falls only by d / (1 + d).
        next_rate_drop = PLANNED_MULTIPLE * levels.thresholds[product.step_rate_names[stage]]
        if next_rate_drop < 1.0:
            size = max(size, next_rate_drop / (1.0 - next_rate_drop))
        name, rate = product.stages[stage], levels.rates[stage - 1]
        yield SeriesRoom(
            COUNT_SPIKE, name, _explain_inner_stage(name, "gain", size, MAX_RATE / rate - 1.0)
        )


def _iter_break_room(product: Product, levels: _Levels) -> Iterator[SeriesRoom]:
    for name, rate_name in zip(product.funnel_step_names, product.step_rate_names, strict=True):
        size = PLANNED_MULTIPLE * compute_break_threshold(levels.thresholds[rate_name])
        reason = ""
        if size >= MAX_BREAK:
            reason = (
                f"{rate_name} would have to fall by {_format_percent(size)}; allowed: less than "
                f"{_format_percent(MAX_BREAK)}"
            )
        yield SeriesRoom(FUNNEL_BREAK, name, reason)


def _iter_mix_shift_room(product: Product, levels: _Levels) -> Iterator[SeriesRoom]:
    series = product.daytime_share_series
    if series is None:
        yield SeriesRoom(MIX_SHIFT, "daytime_share", "the table has no hours")
        return
    share = series.median_level
    size = PLANNED_MULTIPLE * levels.thresholds[series.name]
    can_fall = share - size >= MIN_SHARE_MARGIN
    can_rise = share + size <= 1.0 - MIN_SHARE_MARGIN
    reason = ""
    if not (can_fall or can_rise):
        reason = f"the daytime share is {share:.2f} and would have to move by {size:.2f}"
    yield SeriesRoom(MIX_SHIFT, series.name, reason)


def _iter_impossible_count_room(product: Product, _: _Levels) -> Iterator[SeriesRoom]:
    """Yield, for each pair of adjacent stages, that impossible counts can be generated.

    In an impossible count, a stage has more events than the previous one. This is possible for
    every pair, because the number of events that can be added is not limited.
    """
    for name in product.quality_check_names:
        yield SeriesRoom(QUALITY_ISSUE, name, "")


def _list_inner_stages(product: Product) -> range:
    return range(1, len(product.stages) - 1)


def _find_largest_threshold_of_stage_and_adjacent_rates(
    product: Product, levels: _Levels, stage: int
) -> float:
    """Return the largest of three thresholds of a stage.

    These are the thresholds of its count, of the step rate from the previous stage and of the step
    rate to the next stage.
    """
    names = (
        product.stages[stage],
        product.step_rate_names[stage - 1],
        product.step_rate_names[stage],
    )
    return max(levels.thresholds[name] for name in names)


def _explain_drop(product: Product, size: float) -> str:
    if size < MAX_DROP:
        return ""
    events = product.count_series.median_level
    return (
        f"with {events:.0f} events a day, a series would have to fall by {_format_percent(size)}; "
        f"allowed: less than {_format_percent(MAX_DROP)}"
    )


def _explain_rise(name: str, rate: float, size: float) -> str:
    if rate * (1.0 + size) <= MAX_RATE:
        return ""
    return (
        f"{name} is {_format_percent(rate)} and would have to rise by {_format_percent(size)}; "
        f"allowed: up to {_format_percent(MAX_RATE)}"
    )


def _explain_inner_stage(name: str, verb: str, size: float, largest: float) -> str:
    if size <= largest:
        return ""
    possible = _format_percent(largest) if largest > 0.0 else "nothing"
    return (
        f"{name} would have to {verb} {_format_percent(size)} of its events, but it can only "
        f"{verb} {possible} without an impossible count"
    )


def _format_percent(fraction: float) -> str:
    return f"{100.0 * fraction:.0f} %"


_ROOM_BY_FAMILY: dict[str, Callable[[Product, _Levels], Iterator[SeriesRoom]]] = {
    RATE_DROP: _iter_rate_drop_room,
    RATE_SPIKE: _iter_rate_spike_room,
    COUNT_DROP: _iter_count_drop_room,
    COUNT_SPIKE: _iter_count_spike_room,
    FUNNEL_BREAK: _iter_break_room,
    MIX_SHIFT: _iter_mix_shift_room,
    QUALITY_ISSUE: _iter_impossible_count_room,
}
