"""Product funnels as data: stages, names, base rates and the distribution of traffic over a day.

Each product has its own `Funnel` object. The generator, the tools, the reporting policy and the
grader read names and positions from this object and contain no stage names themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, TypedDict

from metric_tracker_rl.engine.definitions.columns import ColumnLayout
from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    DATA_QUALITY,
    EVENT_COUNT,
    FUNNEL_STEP,
    HOURLY_MIX,
    Entity,
)

HOURS_PER_DAY = 24


class FunnelStage(NamedTuple):
    """A funnel stage: the name of its daily count, and the singular name of its event."""

    name: str
    event: str


class RateStages(NamedTuple):
    """Stage indices of a conversion rate's numerator and denominator."""

    numerator: int
    denominator: int


class RatioStages(NamedTuple):
    """Stage indices of the numerators and denominators of all ratios, in column order."""

    numerators: list[int]
    denominators: list[int]


class RateDefinition(TypedDict):
    """Definition of one conversion rate, as the reset observation lists it."""

    name: str
    numerator: str
    denominator: str
    description: str
    formula: str


class OpensRange(NamedTuple):
    """Range of the mean daily count of the first stage, which is drawn for each episode."""

    lowest: int
    highest: int


class HourRange(NamedTuple):
    """Range of hours of a day, from `start` (inclusive) to `stop` (exclusive)."""

    start: int
    stop: int


@dataclass(frozen=True)
class CleanCountsModel:
    """Model from which clean counts of a built-in funnel are drawn.

    Attributes:
        opens_range: range of the mean daily count of the first stage.
        base_rates: step rates as fractions, one for each stage after the first.
        rate_jitter: largest relative change of each base rate, which is drawn for each episode.
        hour_weights: relative traffic of the first stage in each of the 24 hours of a day.
        weekday_factors: traffic factor of each weekday, Monday first.
    """

    opens_range: OpensRange
    base_rates: tuple[float, ...]
    rate_jitter: float
    hour_weights: tuple[float, ...]
    weekday_factors: tuple[float, ...]


@dataclass(frozen=True)
class Funnel:
    """A product funnel.

    Attributes:
        name: identifier of the funnel, which is part of an episode's identity.
        stages: stages in funnel order, at least two.
        composite_ends: index of the last stage of each composite rate, in ascending order; may be
            empty. Every composite rate starts at the first stage.
        daytime: hours that count as daytime for the daytime share; None if the funnel has no
            daytime share.
        hours_per_day: number of counts of each stage on a day: 24, or 1 if only the day's total is
            known.
        compares_daily_totals: whether the totals of a day are checked for impossible counts;
            otherwise the counts of each hour are checked.
        clean_counts: model of the clean counts; None if the counts come from another source.
    """

    name: str
    stages: tuple[FunnelStage, ...]
    composite_ends: tuple[int, ...]
    daytime: HourRange | None
    hours_per_day: int = HOURS_PER_DAY
    compares_daily_totals: bool = False
    clean_counts: CleanCountsModel | None = None

    def __hash__(self) -> int:
        """Return the hash of the name, because hashing all fields slows down cache look-ups."""
        return self.name.__hash__()

    @cached_property
    def event_count_names(self) -> tuple[str, ...]:
        """Names of the event counts, in funnel order."""
        return tuple(stage.name for stage in self.stages)

    @cached_property
    def step_stage_indices(self) -> range:
        """Indices of the stages that a funnel step leads into: all stages except the first."""
        return range(1, len(self.stages))

    @cached_property
    def inner_stage_indices(self) -> range:
        """Indices of all stages except the first and the last."""
        return range(1, len(self.stages) - 1)

    @cached_property
    def step_rate_names(self) -> tuple[str, ...]:
        """Names of the step rates, starting with the rate into the second stage."""
        return tuple(f"{above.event}_to_{below.event}" for above, below in pairwise(self.stages))

    @cached_property
    def composite_rate_names(self) -> tuple[str, ...]:
        """Names of the composite rates, from the one that spans the fewest steps to the longest."""
        first = self.stages[0].event
        return tuple(f"{first}_to_{self.stages[end].event}" for end in self.composite_ends)

    @cached_property
    def conversion_rate_names(self) -> tuple[str, ...]:
        """Names of all conversion rates: step rates, then composite rates."""
        return self.step_rate_names + self.composite_rate_names

    @cached_property
    def count_and_rate_names(self) -> tuple[str, ...]:
        """Names of the event counts and the conversion rates, in column order."""
        return self.event_count_names + self.conversion_rate_names

    @cached_property
    def funnel_step_names(self) -> tuple[str, ...]:
        """Names of the funnel steps, one for each stage after the first."""
        return tuple(f"{below}_from_{above}" for above, below in pairwise(self.event_count_names))

    @cached_property
    def quality_check_names(self) -> tuple[str, ...]:
        """Names of the data-quality pairs, one for each stage after the first."""
        return tuple(f"{below}_lte_{above}" for above, below in pairwise(self.event_count_names))

    @cached_property
    def daytime_share_names(self) -> tuple[str, ...]:
        """Tuple that contains the name of the daytime share, if the funnel has one."""
        return () if self.daytime is None else (f"{self.event_count_names[0]}:daytime_share",)

    @cached_property
    def daytime_share_name(self) -> str:
        """Name of the daytime share.

        Raises:
            ValueError: the funnel has no daytime share.
        """
        if not self.daytime_share_names:
            raise ValueError(f"The funnel {self.name!r} has no daytime share.")
        return self.daytime_share_names[0]

    @property
    def daytime_hours(self) -> HourRange:
        """Hours that count as daytime.

        Raises:
            ValueError: the funnel has no daytime share.
        """
        if self.daytime is None:
            raise ValueError(f"The funnel {self.name!r} has no daytime share.")
        return self.daytime

    @cached_property
    def daily_series_names(self) -> tuple[str, ...]:
        """Names of the counts, the rates and the daytime share, in column order."""
        return (*self.count_and_rate_names, *self.daytime_share_names)

    @cached_property
    def rate_stage_indices(self) -> tuple[RateStages, ...]:
        """Stage indices of the numerator and the denominator of each conversion rate."""
        steps = tuple(RateStages(stage, stage - 1) for stage in self.step_stage_indices)
        return steps + tuple(RateStages(end, 0) for end in self.composite_ends)

    @cached_property
    def rate_and_daytime_share_stage_indices(self) -> RatioStages:
        """Stage indices of all conversion rates, followed by (0, 0) for a daytime share."""
        daytime_share = RateStages(0, 0)
        ratios = (*self.rate_stage_indices, *(daytime_share for _ in self.daytime_share_names))
        return RatioStages(
            [ratio.numerator for ratio in ratios], [ratio.denominator for ratio in ratios]
        )

    @cached_property
    def entity_names_by_type(self) -> dict[str, tuple[str, ...]]:
        """Entity names by entity type."""
        return {
            EVENT_COUNT: self.event_count_names,
            CONVERSION_RATE: self.conversion_rate_names,
            FUNNEL_STEP: self.funnel_step_names,
            HOURLY_MIX: self.daytime_share_names,
            DATA_QUALITY: self.quality_check_names,
        }

    @cached_property
    def entities(self) -> tuple[Entity, ...]:
        """Every entity that a report row can be about."""
        return tuple(self.columns.column_by_entity)

    @cached_property
    def columns(self) -> ColumnLayout:
        """Column layout of the daily series."""
        return ColumnLayout(self.entity_names_by_type)

    def list_rate_definitions(self) -> list[RateDefinition]:
        """Return name, numerator, denominator, description and formula of each conversion rate."""
        definitions: list[RateDefinition] = []
        for name, stages in zip(self.conversion_rate_names, self.rate_stage_indices, strict=True):
            numerator = self.event_count_names[stages.numerator]
            denominator = self.event_count_names[stages.denominator]
            definitions.append(
                {
                    "name": name,
                    "numerator": numerator,
                    "denominator": denominator,
                    "description": f"{numerator} per 100 {denominator}",
                    "formula": f"100 * {numerator} / {denominator}",
                }
            )
        return definitions


ORDERING_APP = Funnel(
    name="ordering_app",
    stages=(
        FunnelStage("app_opens", "app_open"),
        FunnelStage("menu_opens", "menu_open"),
        FunnelStage("product_added_to_cart", "product_added_to_cart"),
        FunnelStage("orders_placed", "order_placed"),
        FunnelStage("payment_successful", "payment_successful"),
    ),
    composite_ends=(3, 4),
    daytime=HourRange(8, 20),
    clean_counts=CleanCountsModel(
        opens_range=OpensRange(20_000, 32_000),
        base_rates=(0.60, 0.41, 0.52, 0.91),
        rate_jitter=0.03,
        hour_weights=(
            *(14.0, 9.0, 6.0, 5.0, 6.0, 10.0, 18.0, 30.0),
            *(42.0, 48.0, 52.0, 62.0, 74.0, 66.0, 54.0, 50.0),
            *(54.0, 66.0, 80.0, 76.0, 58.0, 42.0, 30.0, 20.0),
        ),
        weekday_factors=(0.97, 0.98, 0.99, 1.0, 1.03, 1.06, 1.04),
    ),
)
