"""Reporting policies that are drawn at random and replace the parameters of a level.

With a drawn policy, a player has to apply the given policy instead of a memorized one. The random
stream of the parameters is seeded with the episode's configuration and independent of the stream of
the data. The possible values are limited so that an episode can be generated with each of them:
days without anomalies stay below the smallest thresholds, and anomalies of every type can exceed
the largest ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

from metric_tracker_rl.engine.definitions.anomaly_types import (
    COUNT_DROP,
    COUNT_SPIKE,
    FUNNEL_BREAK,
    MIX_SHIFT,
    RATE_DROP,
    RATE_SPIKE,
)
from metric_tracker_rl.engine.definitions.funnel import Funnel, HourRange
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.definitions.names import BaselineKind, LeakReport
from metric_tracker_rl.engine.definitions.severity import SeverityBounds, SeverityBoundsByKind
from metric_tracker_rl.engine.definitions.thresholds import GUARD_BAND
from metric_tracker_rl.engine.reporting_policy.clauses import WORDING_COUNT
from openenv_kit.bitstream import BitStream

COUNT_THRESHOLD_CHOICES = {
    "easy": (0.27, 0.30, 0.33, 0.36),
    "medium": (0.23, 0.25, 0.28, 0.30),
    "hard": (0.18, 0.20, 0.22, 0.24),
    "expert": (0.24, 0.25, 0.27, 0.29),
}
RATE_THRESHOLD_CHOICES = {
    "easy": (0.18, 0.20, 0.22, 0.24),
    "medium": (0.13, 0.15, 0.17, 0.19),
    "hard": (0.09, 0.10, 0.11, 0.13),
    "expert": (0.09, 0.10, 0.11, 0.12),
}
MIX_THRESHOLD_CHOICES = {
    "easy": (0.07, 0.08, 0.09, 0.10),
    "medium": (0.05, 0.06, 0.07, 0.08),
    "hard": (0.03, 0.04, 0.05, 0.06),
    "expert": (0.03, 0.04, 0.05, 0.06),
}
BREAK_THRESHOLD_CHOICES = (0.30, 0.35, 0.40, 0.45)
"""Possible values of each threshold, by level if they depend on the level. They include the level's
default threshold.
"""
RUNG_THRESHOLD_OFFSETS = (0.00, 0.01, 0.02)
"""Amounts that are added to a rung's threshold, because rungs have no table of possible values."""
MIN_BREAK_GAP = 0.01
"""Smallest distance between the lower end of a break threshold's guard band and the smallest rate
drop that the generator plans."""

COUNT_BOUND_CHOICES = (
    SeverityBounds(0.25, 0.35, 0.50),
    SeverityBounds(0.22, 0.32, 0.45),
    SeverityBounds(0.28, 0.40, 0.55),
    SeverityBounds(0.30, 0.45, 0.60),
)
RATE_BOUND_CHOICES = (
    SeverityBounds(0.18, 0.30, 0.45),
    SeverityBounds(0.15, 0.25, 0.40),
    SeverityBounds(0.20, 0.35, 0.50),
    SeverityBounds(0.22, 0.32, 0.48),
)
SHARE_BOUND_CHOICES = (
    SeverityBounds(0.06, 0.10, 0.15),
    SeverityBounds(0.05, 0.09, 0.14),
    SeverityBounds(0.07, 0.12, 0.18),
    SeverityBounds(0.08, 0.13, 0.20),
)
EXCESS_BOUND_CHOICES = (
    SeverityBounds(20.0, 60.0, 120.0),
    SeverityBounds(15.0, 50.0, 100.0),
    SeverityBounds(25.0, 75.0, 140.0),
    SeverityBounds(30.0, 80.0, 150.0),
)
"""Possible severity bounds for each kind of row."""

DAYTIME_CHOICES = (
    HourRange(8, 20),
    HourRange(7, 19),
    HourRange(9, 21),
    HourRange(6, 18),
    HourRange(8, 18),
    HourRange(10, 20),
    HourRange(7, 21),
    HourRange(9, 18),
)
"""Possible daytime hours. Each range has at least eight hours, the length of the longest
instrumentation fault.
"""

ANOMALY_TYPES_BY_SUSPENDABLE_RULE: dict[int, tuple[str, ...]] = {
    2: (MIX_SHIFT,),
    3: (COUNT_DROP, COUNT_SPIKE),
    4: (RATE_DROP, RATE_SPIKE, FUNNEL_BREAK),
    5: (RATE_DROP, RATE_SPIKE),
    6: (COUNT_DROP, COUNT_SPIKE),
}
"""Anomaly types that each rule reports, by the number of the rule. Rule 1 cannot be suspended,
because it also decides that nothing else is reported on its day.
"""


THRESHOLD_DECIMALS = 4


class ThresholdFactors(NamedTuple):
    """Factors by which the thresholds of each kind of series are multiplied."""

    counts: float
    rates: float
    share: float


class PolicyLevelAndFunnel(NamedTuple):
    """The level and the funnel that together hold the parameters of one reporting policy."""

    level: FunnelLevel
    funnel: Funnel


def draw_reporting_policy(
    level: FunnelLevel, funnel: Funnel, random_stream_key_json: str
) -> PolicyLevelAndFunnel:
    """Draw a reporting policy and return copies of the level and funnel with its parameters.

    Args:
        level: level whose thresholds, severity bounds, baseline, rule about slow leaks and wording
            are replaced.
        funnel: funnel whose daytime hours are replaced.
        random_stream_key_json: canonical JSON of the episode's configuration, which seeds the
            random stream.
    """
    stream = BitStream(f"{random_stream_key_json}|policy")

    def draw_threshold_from_choices(
        choices_by_level: Mapping[str, Sequence[float]], level_threshold: float
    ) -> float:
        rung_choices = [round(level_threshold + offset, 2) for offset in RUNG_THRESHOLD_OFFSETS]
        return stream.choose(choices_by_level.get(level.name, rung_choices))

    # Do not reorder the draws: the drawn values depend on their order.
    rate_threshold = draw_threshold_from_choices(RATE_THRESHOLD_CHOICES, level.rate_threshold)
    drawn_level = replace(
        level,
        rate_threshold=rate_threshold,
        count_threshold=draw_threshold_from_choices(COUNT_THRESHOLD_CHOICES, level.count_threshold),
        break_threshold=stream.choose(
            _list_break_thresholds_above_rate_drops(rate_threshold, level)
        ),
        mix_threshold=draw_threshold_from_choices(MIX_THRESHOLD_CHOICES, level.mix_threshold),
        bounds_by_kind=SeverityBoundsByKind(
            counts=stream.choose(COUNT_BOUND_CHOICES),
            rates=stream.choose(RATE_BOUND_CHOICES),
            share=stream.choose(SHARE_BOUND_CHOICES),
            excess=stream.choose(EXCESS_BOUND_CHOICES),
        ),
        baseline=stream.choose(tuple(BaselineKind)),
        leak_reports=stream.choose(tuple(LeakReport)),
        wording=stream.integer_below(WORDING_COUNT),
        has_drawn_policy=True,
    )
    return PolicyLevelAndFunnel(
        drawn_level, replace(funnel, daytime=stream.choose(DAYTIME_CHOICES))
    )


def draw_policy_terms(level: FunnelLevel, random_stream_key_json: str) -> FunnelLevel:
    """Draw the terms of the reporting policy that a level leaves open for each episode.

    The terms are the composite rate that is reported for a slow leak, the suspended rule and, on
    some levels, the thresholds. At least one threshold is larger than the smallest possible one.

    Args:
        level: level whose terms are replaced.
        random_stream_key_json: canonical JSON of the episode's configuration, which seeds the
            random stream.
    """
    stream = BitStream(f"{random_stream_key_json}|terms")
    level = replace(
        level,
        leak_reports=stream.choose(tuple(LeakReport)),
        suspended_rule=stream.choose(tuple(ANOMALY_TYPES_BY_SUSPENDABLE_RULE)),
    )
    if level.threshold_factors:
        factors = stream.choose(list_threshold_factors(level)[1:])
        level = multiply_thresholds(level, factors)
    return level


def list_threshold_factors(level: FunnelLevel) -> list[ThresholdFactors]:
    """Return all combinations of threshold factors that can be drawn, the smallest ones first."""
    combinations = product(level.threshold_factors, repeat=len(ThresholdFactors._fields))
    return [ThresholdFactors(*factors) for factors in combinations]


def multiply_thresholds(level: FunnelLevel, factors: ThresholdFactors) -> FunnelLevel:
    """Return a level whose count, rate and daytime share thresholds are multiplied by factors."""
    return replace(
        level,
        count_threshold=round(level.count_threshold * factors.counts, THRESHOLD_DECIMALS),
        rate_threshold=round(level.rate_threshold * factors.rates, THRESHOLD_DECIMALS),
        mix_threshold=round(level.mix_threshold * factors.share, THRESHOLD_DECIMALS),
    )


def is_reported_by_another_rule(anomaly_type: str, suspended_rule: int | None) -> bool:
    """Return whether a policy with a suspended rule can still report an anomaly type."""
    rules = [
        rule for rule, types in ANOMALY_TYPES_BY_SUSPENDABLE_RULE.items() if anomaly_type in types
    ]
    return rules != [suspended_rule]


def _list_break_thresholds_above_rate_drops(
    rate_threshold: float, level: FunnelLevel
) -> list[float]:
    """Return the break thresholds that may be drawn together with a rate threshold.

    A drop of a step rate that reaches the break threshold is reported as a funnel break. The
    returned thresholds are larger than the smallest rate drop that the generator plans.
    """
    smallest = rate_threshold * level.separation.nearest + MIN_BREAK_GAP
    return [each for each in BREAK_THRESHOLD_CHOICES if each * (1.0 - GUARD_BAND) >= smallest]
