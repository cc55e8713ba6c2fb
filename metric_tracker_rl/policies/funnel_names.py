"""Names and order of the daily series, which scripted policies read from the reset observation.

If the episode has a product, the configuration in the reset observation contains the names. The
names of the built-in funnel are fixed, so its observations do not repeat them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

HOURS_PER_DAY = 24


@dataclass(frozen=True)
class FunnelNames:
    """Names of a funnel's daily series.

    Attributes:
        stages: names of the event counts, in funnel order.
        step_rates: names of the step rates, from the rate into the second stage.
        composite_ends: index of the last stage of each composite rate, by the name of the rate.
            Rates that cover fewer steps come first.
        daytime_share: name of the daytime share; None if the funnel has none.
        hours_per_day: number of counts that each stage has on a day.
        compares_daily_totals: whether impossible counts are detected in daily totals; otherwise
            they are detected in hourly counts.
    """

    stages: tuple[str, ...]
    step_rates: tuple[str, ...]
    composite_ends: Mapping[str, int]
    daytime_share: str | None
    hours_per_day: int = HOURS_PER_DAY
    compares_daily_totals: bool = False

    @cached_property
    def composite_rates(self) -> tuple[str, ...]:
        """Names of the composite rates; those that cover fewer steps come first."""
        return tuple(self.composite_ends)

    @cached_property
    def funnel_breaks(self) -> tuple[str, ...]:
        """Names of the funnel steps, in the order of `step_rates`."""
        return tuple(f"{below}_from_{above}" for above, below in pairwise(self.stages))

    @cached_property
    def quality_checks(self) -> tuple[str, ...]:
        """Names of the checks for impossible counts, in the order of `step_rates`.

        Each checks that a stage has no more events than the stage before it.
        """
        return tuple(f"{below}_lte_{above}" for above, below in pairwise(self.stages))

    def convert_funnel_step_to_step_rate(self, name: str) -> str:
        """Return the step rate of a funnel step, or any other name unchanged."""
        if name in self.funnel_breaks:
            return self.step_rates[self.funnel_breaks.index(name)]
        return name

    def order_composite_rates_by_leak_preference(
        self, policy_numbers: Mapping[str, Any]
    ) -> tuple[str, ...]:
        """Return the composite rates in the order in which they are preferred for reporting a leak.

        In a leak, several step rates change so little that only composite rates are flagged. It is
        reported as the first flagged composite rate in this order.
        """
        is_longest_reported = policy_numbers.get("leak_reports") == "longest_composite"
        return self.composite_rates[::-1] if is_longest_reported else self.composite_rates


BUILT_IN_NAMES = FunnelNames(
    stages=(
        "app_opens",
        "menu_opens",
        "product_added_to_cart",
        "orders_placed",
        "payment_successful",
    ),
    step_rates=(
        "app_open_to_menu_open",
        "menu_open_to_product_added_to_cart",
        "product_added_to_cart_to_order_placed",
        "order_placed_to_payment_successful",
    ),
    composite_ends={"app_open_to_order_placed": 3, "app_open_to_payment_successful": 4},
    daytime_share="app_opens:daytime_share",
)
"""Names of the built-in funnel."""


def read_funnel_names(reset_observation: Mapping[str, Any]) -> FunnelNames:
    """Return the names of an episode's daily series.

    Args:
        reset_observation: observation of the reset, or its configuration.
    """
    config = reset_observation.get("config", reset_observation)
    if "stages" not in config:
        return BUILT_IN_NAMES
    stages = tuple(config["stages"])
    return FunnelNames(
        stages=stages,
        step_rates=tuple(f"{above}_to_{below}" for above, below in pairwise(stages)),
        composite_ends=dict(config["composite_rates"]),
        daytime_share=config.get("daytime_share"),
        hours_per_day=config["hours_per_day"],
        compares_daily_totals=config["compares_daily_totals"],
    )
