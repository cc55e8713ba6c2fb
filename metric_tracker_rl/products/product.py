"""A product: the aggregates of a user's table from which episodes are generated."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from metric_tracker_rl.engine.definitions.funnel import HourRange
from openenv_kit.own_data.stage_counts import Grain

JsonObject = dict[str, Any]

PRODUCT_FORMAT = 1
"""Version of the product file."""
ENVIRONMENT_NAME = "metric_tracker_rl"
"""Value of the key `environment` in products of this package."""
DAYS_PER_BLOCK = 28
"""Number of days that share one level of a series."""
DAYS_PER_WEEK = 7
RESIDUAL_SCORES = tuple(score / 2 for score in range(-6, 7))
"""Standard normal scores at which a product stores residuals, in ascending order."""
SIGNIFICANT_DIGITS = 6
"""Number of significant digits of every number in a product."""


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """Numbers of days that were not used to fit the product, one for each reason.

    Attributes:
        holidays: number of holidays with complete counts.
        unusual: number of days with a value far from the fitted level.
        missing: number of days without usable counts. Days on closed weekdays are not included.
    """

    holidays: int
    unusual: int
    missing: int


@dataclass(frozen=True, kw_only=True)
class ProductSeries:
    """A fitted daily series, which is the first stage's count, a step rate or the daytime share.

    Attributes:
        name: name of the series.
        levels: level of each block of 28 days, in events per day or as a fraction.
        weekday: seven factors of the level, Monday first; 0 on closed weekdays.
        residual: 13 relative residuals at `RESIDUAL_SCORES`, in ascending order.
        lag1: correlation between consecutive days of the standard normal values from which
            residuals are computed.
        threshold: smallest deviation that the reporting policy flags; absolute for the daytime
            share, otherwise relative.
    """

    name: str
    levels: tuple[float, ...]
    weekday: tuple[float, ...]
    residual: tuple[float, ...]
    lag1: float
    threshold: float

    @cached_property
    def median_level(self) -> float:
        """Median of the levels."""
        levels = sorted(self.levels)
        half, is_odd = divmod(len(levels), 2)
        return levels[half] if is_odd else (levels[half - 1] + levels[half]) / 2.0


@dataclass(frozen=True, kw_only=True)
class ProductLevel:
    """Availability of a difficulty level for a product.

    Attributes:
        is_on: whether episodes of the level can be generated.
        families: scenario families (types of anomalies) that can be generated at the level.
        certified: number of the episodes with the seeds 0 to 99 that passed certification.
        reason: why episodes of the level cannot be generated; empty if they can.
    """

    is_on: bool
    families: tuple[str, ...]
    certified: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Product:
    """Aggregates of a user's table of stage counts.

    Attributes:
        name: name of the product: 1 to 40 of the characters a to z, 0 to 9 and _.
        grain: whether the table has counts by hour or by day.
        stages: names of the two to eight stages, in funnel order.
        days: number of days of the table.
        set_aside: numbers of days that the fit did not use.
        impossible_counts: whether impossible counts are detected by hour or by day.
        daytime: hours that count as daytime; None for daily tables.
        hour_weights: share of each of the 24 hours in the first count of a day; the shares add up
            to 1. Empty for daily tables.
        series: the first count, the step rates and, for hourly tables, the daytime share.
        noise_factor: lower triangle of the matrix L that correlates the daily noise of the series;
            row i has i + 1 values.
        other_thresholds: relative thresholds of the other counts and of the composite rates.
        levels: availability of each level, from the easiest to the hardest; empty before
            certification.
    """

    name: str
    grain: Grain
    stages: tuple[str, ...]
    days: int
    set_aside: SetAside
    impossible_counts: Grain
    daytime: HourRange | None
    hour_weights: tuple[float, ...]
    series: tuple[ProductSeries, ...]
    noise_factor: tuple[tuple[float, ...], ...]
    other_thresholds: dict[str, float]
    levels: dict[str, ProductLevel]

    def __repr__(self) -> str:
        """Return a short text for messages and logs, with the name and the start of the digest."""
        return f"Product({self.name!r}, digest {self.digest[:12]})"

    def __hash__(self) -> int:
        """Return a hash that is computed from the digest.

        The generated method would fail, because some fields are mappings, which are not hashable.
        """
        return int(self.digest[:15], 16)

    @property
    def is_hourly(self) -> bool:
        """Whether the product has counts by hour and therefore a daytime share."""
        return self.grain == Grain.HOUR

    @cached_property
    def step_rate_names(self) -> tuple[str, ...]:
        """Names of the step rates, starting with the rate into the second stage."""
        return list_step_rate_names(self.stages)

    @cached_property
    def composite_ends(self) -> tuple[int, ...]:
        """Index of the last stage of each composite rate, in ascending order.

        A composite rate is a conversion rate from the first stage to a stage after the second.
        """
        return list_composite_ends(len(self.stages))

    @cached_property
    def composite_rate_names(self) -> tuple[str, ...]:
        """Names of the composite rates, starting with the one that covers the fewest steps."""
        return list_composite_rate_names(self.stages)

    @property
    def daytime_share_name(self) -> str | None:
        """Name of the daytime share; None for daily tables."""
        return build_daytime_share_name(self.stages) if self.is_hourly else None

    @cached_property
    def funnel_step_names(self) -> tuple[str, ...]:
        """Names of the funnel steps, one for each stage after the first."""
        return tuple(f"{below}_from_{above}" for above, below in pairwise(self.stages))

    @cached_property
    def quality_check_names(self) -> tuple[str, ...]:
        """Names of the checks for impossible counts, one for each stage after the first."""
        return tuple(f"{below}_lte_{above}" for above, below in pairwise(self.stages))

    @cached_property
    def count_series(self) -> ProductSeries:
        """Fitted series of the first stage's count."""
        return self.series[0]

    @cached_property
    def step_rate_series(self) -> tuple[ProductSeries, ...]:
        """Fitted series of the step rates, in funnel order."""
        return self.series[1 : len(self.stages)]

    @property
    def daytime_share_series(self) -> ProductSeries | None:
        """Fitted series of the daytime share; None for daily tables."""
        return self.series[len(self.stages)] if self.is_hourly else None

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        """Names of all daily series.

        The counts of all stages come first, followed by the step rates, the composite rates and,
        for hourly tables, the daytime share.
        """
        names = (*self.stages, *self.step_rate_names, *self.composite_rate_names)
        return (*names, build_daytime_share_name(self.stages)) if self.is_hourly else names

    @cached_property
    def thresholds_by_column(self) -> dict[str, float]:
        """Threshold of each daily series, in the order of `column_names`."""
        fitted = {series.name: series.threshold for series in self.series}
        thresholds = fitted | self.other_thresholds
        return {name: thresholds[name] for name in self.column_names}

    @cached_property
    def closed_weekdays(self) -> tuple[int, ...]:
        """Weekdays on which the product has no events, where 0 is Monday."""
        factors = self.count_series.weekday
        return tuple(weekday for weekday in range(DAYS_PER_WEEK) if factors[weekday] == 0.0)

    @cached_property
    def digest(self) -> str:
        """Hexadecimal SHA-256 digest of the product's JSON with sorted keys.

        The keys `certified` and `reason` of the levels are left out.
        """
        content = self.to_mapping()
        for level in content.get("level", {}).values():
            del level["certified"], level["reason"]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_mapping(self) -> JsonObject:
        """Return the product as a mapping with the structure of the product file."""
        content: JsonObject = {
            "format": PRODUCT_FORMAT,
            "environment": ENVIRONMENT_NAME,
            "name": self.name,
            "grain": self.grain.value,
            "stages": list(self.stages),
            "days": self.days,
            "set_aside": {
                "holidays": self.set_aside.holidays,
                "unusual": self.set_aside.unusual,
                "missing": self.set_aside.missing,
            },
            "impossible_counts": self.impossible_counts.value,
        }
        if self.daytime is not None:
            content["daytime"] = list(self.daytime)
            content["hour_weights"] = list(self.hour_weights)
        content["series"] = [
            {
                "name": series.name,
                "levels": list(series.levels),
                "weekday": list(series.weekday),
                "residual": list(series.residual),
                "lag1": series.lag1,
                "threshold": series.threshold,
            }
            for series in self.series
        ]
        content["noise"] = {"factor": [list(row) for row in self.noise_factor]}
        content["thresholds"] = dict(self.other_thresholds)
        if self.levels:
            content["level"] = {
                name: {
                    "on": level.is_on,
                    "families": list(level.families),
                    "certified": level.certified,
                    "reason": level.reason,
                }
                for name, level in self.levels.items()
            }
        return content


def list_step_rate_names(stages: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the conversion rates between adjacent stages, in funnel order."""
    return tuple(f"{above}_to_{below}" for above, below in pairwise(stages))


def list_composite_ends(stage_count: int) -> tuple[int, ...]:
    """Return the index of the last stage of each composite rate, in ascending order.

    A composite rate is a conversion rate from the first stage to a stage after the second. Funnels
    with four or more stages have two, which end at the last two stages. A funnel with three stages
    has one, and a funnel with two stages has none, because its step rate covers the whole funnel.
    """
    if stage_count <= 2:
        return ()
    if stage_count == 3:
        return (2,)
    return (stage_count - 2, stage_count - 1)


def list_composite_rate_names(stages: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the composite rates of these stages.

    A composite rate is a conversion rate across several steps that starts at the first stage. The
    rate that covers the fewest steps comes first.
    """
    return tuple(f"{stages[0]}_to_{stages[end]}" for end in list_composite_ends(len(stages)))


def build_daytime_share_name(stages: tuple[str, ...]) -> str:
    """Return the name of the series that contains the daytime share of the first stage's count."""
    return f"{stages[0]}:daytime_share"


def list_fitted_series_names(stages: tuple[str, ...], grain: Grain) -> tuple[str, ...]:
    """Return the names of the series that a product stores, in the stored order.

    These are the first stage's count, the step rates and, for hourly tables, the daytime share.
    """
    names = (stages[0], *list_step_rate_names(stages))
    return (*names, build_daytime_share_name(stages)) if grain == Grain.HOUR else names


def list_entity_names(stages: tuple[str, ...], grain: Grain) -> tuple[str, ...]:
    """Return the names of everything that a report row can refer to.

    These are the stages, rates, funnel steps, checks for impossible counts and the daytime share.
    Depending on the names of the stages, the result can contain the same name more than once.
    """
    share = (build_daytime_share_name(stages),) if grain == Grain.HOUR else ()
    return (
        *stages,
        *list_step_rate_names(stages),
        *list_composite_rate_names(stages),
        *(f"{below}_from_{above}" for above, below in pairwise(stages)),
        *(f"{below}_lte_{above}" for above, below in pairwise(stages)),
        *share,
    )


def count_blocks(days: int) -> int:
    """Return the number of 28-day blocks in a number of days. The last block may be shorter."""
    return -(-days // DAYS_PER_BLOCK)


def round_to_significant_digits(value: float) -> float:
    """Round a number to six significant digits, as in a product file.

    Negative zero is converted to zero.
    """
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") + 0.0
