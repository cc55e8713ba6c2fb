"""The product funnel as data: stages, names, base rates and the shape of a day.

Another product's funnel is another `Funnel` value. The generator, the tools, the reporting
policy and the grader read names and indices from here and know no stage by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from metric_tracker_rl.engine.definitions.names import (
    CONVERSION_RATE,
    DATA_QUALITY,
    EVENT_COUNT,
    FUNNEL_STEP,
    HOURLY_MIX,
)

HOURS_PER_DAY = 24


class FunnelStage(NamedTuple):
    """One stage: the name of its daily count, and the event in the singular."""

    name: str
    event: str


@dataclass(frozen=True)
class Funnel:
    """A product funnel.

    Attributes:
        name: identifier that goes into the episode's hash.
        stages: in funnel order, at least three.
        composite_ends: stage indices of the composite rates, all measured from the first
            stage, shortest first.
        opens_range: lowest and highest mean daily count of the first stage.
        base_rates: step rates as fractions, one per stage after the first.
        rate_jitter: half-width of the per-episode relative jitter on each base rate.
        hour_weights: 24 relative weights of the first stage over the day.
        weekday_factors: seven factors, Monday first.
        daytime: first hour of daytime and the first hour after it.
    """

    name: str
    stages: tuple[FunnelStage, ...]
    composite_ends: tuple[int, ...]
    opens_range: tuple[int, int]
    base_rates: tuple[float, ...]
    rate_jitter: float
    hour_weights: tuple[float, ...]
    weekday_factors: tuple[float, ...]
    daytime: tuple[int, int] = (8, 20)

    @cached_property
    def count_names(self) -> tuple[str, ...]:
        """Names of the event counts, in funnel order."""
        return tuple(stage.name for stage in self.stages)

    @cached_property
    def step_stage_indices(self) -> range:
        """Stages that a step leads into: all but the first."""
        return range(1, len(self.stages))

    @cached_property
    def step_rate_names(self) -> tuple[str, ...]:
        """Names of the adjacent conversion rates; entry k-1 leads into stage k."""
        return tuple(f"{above.event}_to_{below.event}" for above, below in pairwise(self.stages))

    @cached_property
    def composite_rate_names(self) -> tuple[str, ...]:
        """Names of the composite rates, shortest first."""
        first = self.stages[0].event
        return tuple(f"{first}_to_{self.stages[end].event}" for end in self.composite_ends)

    @cached_property
    def rate_names(self) -> tuple[str, ...]:
        """Names of all conversion rates: adjacent ones, then composites."""
        return self.step_rate_names + self.composite_rate_names

    @cached_property
    def metric_names(self) -> tuple[str, ...]:
        """Names of all daily metrics that have a median: counts, then rates."""
        return self.count_names + self.rate_names

    @cached_property
    def funnel_step_names(self) -> tuple[str, ...]:
        """Names of the funnel steps, one per stage after the first."""
        return tuple(f"{below}_from_{above}" for above, below in pairwise(self.count_names))

    @cached_property
    def quality_check_names(self) -> tuple[str, ...]:
        """Names of the data-quality pairs, one per stage after the first."""
        return tuple(f"{below}_lte_{above}" for above, below in pairwise(self.count_names))

    @cached_property
    def mix_entity_name(self) -> str:
        """Name of the traffic-mix entity."""
        return f"{self.count_names[0]}:daytime_share"

    @cached_property
    def rate_stage_indices(self) -> tuple[tuple[int, int], ...]:
        """For each rate, the stage indices of its numerator and denominator."""
        adjacent = tuple((k, k - 1) for k in range(1, len(self.stages)))
        return adjacent + tuple((end, 0) for end in self.composite_ends)

    @cached_property
    def ratio_stage_indices(self) -> tuple[list[int], list[int]]:
        """Stages of the numerators and of the denominators of all rates and the daytime share."""
        above, below = zip(*self.rate_stage_indices, (0, 0), strict=True)
        return list(above), list(below)

    @cached_property
    def entity_names_by_type(self) -> dict[str, tuple[str, ...]]:
        """Entity names by entity type."""
        return {
            EVENT_COUNT: self.count_names,
            CONVERSION_RATE: self.rate_names,
            FUNNEL_STEP: self.funnel_step_names,
            HOURLY_MIX: (self.mix_entity_name,),
            DATA_QUALITY: self.quality_check_names,
        }

    @cached_property
    def entities(self) -> tuple[tuple[str, str], ...]:
        """Every (entity_type, entity_name) a report may name."""
        return tuple(
            (kind, name) for kind, names in self.entity_names_by_type.items() for name in names
        )

    @cached_property
    def column_by_entity(self) -> dict[tuple[str, str], int]:
        """Column of each entity in a `DailySeries`; a funnel step shares that of its rate."""
        stages, share = len(self.count_names), len(self.metric_names)
        first = {
            EVENT_COUNT: 0,
            CONVERSION_RATE: stages,
            FUNNEL_STEP: stages,
            HOURLY_MIX: share,
            DATA_QUALITY: share + 1,
        }
        return {
            (kind, name): first[kind] + place
            for kind, names in self.entity_names_by_type.items()
            for place, name in enumerate(names)
        }


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
    opens_range=(20_000, 32_000),
    base_rates=(0.60, 0.41, 0.52, 0.91),
    rate_jitter=0.03,
    hour_weights=(
        *(14.0, 9.0, 6.0, 5.0, 6.0, 10.0, 18.0, 30.0),
        *(42.0, 48.0, 52.0, 62.0, 74.0, 66.0, 54.0, 50.0),
        *(54.0, 66.0, 80.0, 76.0, 58.0, 42.0, 30.0, 20.0),
    ),
    weekday_factors=(0.97, 0.98, 0.99, 1.0, 1.03, 1.06, 1.04),
)
