"""Definition of a product's funnel, with its stages, metric names and model of the counts.

Each product has its own `Funnel` object. The generator, the tools, the reporting policy and the
grader get names and positions from this object and contain no stage names themselves.
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
    """A stage of a funnel.

    Attributes:
        name: name of the stage's daily count, such as "app_opens".
        event: name of one event in the singular, such as "app_open".
    """

    name: str
    event: str


class RateStages(NamedTuple):
    """Stage indices of a conversion rate's numerator and denominator."""

    numerator: int
    denominator: int


class RatioStages(NamedTuple):
    """Stage indices of the numerators and denominators of several ratios, in column order."""

    numerators: list[int]
    denominators: list[int]


class RateDefinition(TypedDict):
    """Definition of a conversion rate in the form in which the reset observation lists it."""

    name: str
    numerator: str
    denominator: str
    description: str
    formula: str


class OpensRange(NamedTuple):
    """Range from which the first stage's mean daily count is drawn for each episode."""

    lowest: int
    highest: int


class HourRange(NamedTuple):
    """Range of hours of a day, from `start` (inclusive) to `stop` (exclusive)."""

    start: int
    stop: int


@dataclass(frozen=True)
class CleanCountsModel:
    """Model from which a built-in funnel's counts are drawn before anomalies are added.

    Attributes:
        opens_range: range of the mean daily count of the first stage.
        base_rates: step rates as fractions, one for each stage after the first.
        rate_jitter: largest relative change of a base rate. The change is drawn for each episode.
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
    """The stages that users of a product pass through, and the metrics computed from them.

    Attributes:
        name: identifier of the funnel, which is part of an episode's identity.
        stages: stages in funnel order, at least two.
        composite_ends: index of the last stage of each composite rate, in ascending order. A
            composite rate is a conversion rate from the first stage over several steps. May be
            empty.
        daytime: hours that count as daytime for the daytime share, the fraction of the first
            stage's events in these hours; None if the funnel has no daytime share.
        hours_per_day: number of counts of each stage on a day: 24, or 1 if only the day's total is
            known.
        compares_daily_totals: whether the totals of a day are checked for impossible counts (a
            stage with more events than the previous one); otherwise each hour is checked.
        clean_counts: model of the counts before anomalies are added; None if the counts come from
            another source.
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
        """Indices of all stages except the first, which are the stages that end a funnel step."""
        return range(1, len(self.stages))

    @cached_property
    def inner_stage_indices(self) -> range:
        """Indices of all stages except the first and the last."""
        return range(1, len(self.stages) - 1)

    @cached_property
    def step_rate_names(self) -> tuple[str, ...]:
        """Names of the conversion rates between adjacent stages, in funnel order."""
        return tuple(f"{above.event}_to_{below.event}" for above, below in pairwise(self.stages))

    @cached_property
    def composite_rate_names(self) -> tuple[str, ...]:
        """Names of the conversion rates over several steps, ordered by their number of steps."""
        first = self.stages[0].event
        return tuple(f"{first}_to_{self.stages[end].event}" for end in self.composite_ends)

    @cached_property
    def conversion_rate_names(self) -> tuple[str, ...]:
        """Names of all conversion rates, with the step rates before the composite rates."""
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
        """Names of the checks that a stage has no more events than the previous one."""
        return tuple(f"{below}_lte_{above}" for above, below in pairwise(self.event_count_names))

    @cached_property
    def daytime_share_names(self) -> tuple[str, ...]:
        """The name of the daytime share as a tuple, which is empty if the funnel has none."""
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
        """Stage indices of the numerators and denominators of all ratios of the daily series.

        The daytime share, if there is one, comes last. Both of its indices are 0, because its
        numerator and its denominator are counts of the first stage.
        """
        daytime_share = RateStages(0, 0)
        ratios = (*self.rate_stage_indices, *(daytime_share for _ in self.daytime_share_names))
        return RatioStages(
            [ratio.numerator for ratio in ratios], [ratio.denominator for ratio in ratios]
        )

    @cached_property
    def entity_names_by_type(self) -> dict[str, tuple[str, ...]]:
        """Names of the funnel's entities by entity type, each in column order."""
        return {
            EVENT_COUNT: self.event_count_names,
            CONVERSION_RATE: self.conversion_rate_names,
            FUNNEL_STEP: self.funnel_step_names,
            HOURLY_MIX: self.daytime_share_names,
            DATA_QUALITY: self.quality_check_names,
        }

    @cached_property
    def entities(self) -> tuple[Entity, ...]:
        """All entities that a report row can describe."""
        return tuple(self.columns.column_by_entity)

    @cached_property
    def columns(self) -> ColumnLayout:
        """Positions of the funnel's metrics in arrays of daily values."""
        return ColumnLayout(self.entity_names_by_type)

    def list_rate_definitions(self) -> list[RateDefinition]:
        """Return the definitions of all conversion rates for the reset observation."""
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
