"""Rate drop: fewer people take a step, or a slow leak over several steps.

Cause: the rate of one step falls by less than a funnel break, and every later stage has
fewer events, while the other steps lose a trickle, so that the composites move further than
the root; or several steps lose a little each, none of them flagged alone.
Shows as: one conversion_rate row, of that adjacent pair or, for a leak, of the shortest
composite that is flagged. Later counts and composites are echoes.
"""

from __future__ import annotations

from metric_tracker_rl.engine.generation.anomalies.base import Cause, CleanDay, Root
from metric_tracker_rl.engine.generation.effects import StepRates
from metric_tracker_rl.engine.levels import GUARD_BAND
from metric_tracker_rl.engine.vocabulary import CONVERSION_RATE, RATE_DROP
from openenv_kit.bitstream import BitStream

LEAK_SHARE = 0.3
"""Share of rate anomalies that are slow leaks."""
LEAK_STEP = (0.55, 0.82)
"""What each leaking step loses, in multiples of the rate threshold: clear of the guard band."""
TRICKLE = (0.10, 0.25)
"""What the other steps lose beside a step that moves, and what the steps before the last lose
when a leak is to show only at the very end."""


class RateDrop:
    """Conversion falls."""

    anomaly_type = RATE_DROP

    def plan(self, stream: BitStream, day: CleanDay) -> Cause:
        if stream.uniform() < LEAK_SHARE:
            return leak(stream, day, -1.0, stream.pick(day.funnel.composite_ends), RATE_DROP)
        stage = stream.pick(day.step_stages)
        cap = day.level.break_threshold * (1.0 - GUARD_BAND) - 0.005
        size = day.separation(stream, day.level.rate_threshold, cap)
        return step_cause(stream, day, stage, -size, RATE_DROP)


def step_cause(
    stream: BitStream, day: CleanDay, stage: int, deviation: float, anomaly_type: str
) -> Cause:
    """One step's rate moved to a relative deviation, the others by a trickle the same way.

    The root is that adjacent pair; its composites deviate more than it does.
    """
    sign = 1.0 if deviation > 0 else -1.0
    factors = []
    for other in day.step_stages:
        trickle = sign * day.level.rate_threshold * stream.uniform(*TRICKLE)
        size = deviation if other == stage else trickle
        factors.append((other, day.factor_to(day.rate_column(other), size)))
    name = day.funnel.step_rates[stage - 1]
    return Cause(day.index, StepRates(tuple(factors)), Root(CONVERSION_RATE, name, anomaly_type))


def leak(stream: BitStream, day: CleanDay, sign: float, end: int, anomaly_type: str) -> Cause:
    """Every step up to `end` moved a little; the root is the composite that ends there.

    A leak that shows in the shortest composite is spread evenly. One that must show in the
    longer composite alone trickles first and loses most at its last step.
    """
    composites = day.funnel.composite_ends
    shortest = end == composites[0]
    threshold = day.level.rate_threshold
    factors = []
    for stage in range(1, end + 1):
        share = LEAK_STEP if shortest or stage == end else TRICKLE
        size = threshold * stream.uniform(*share)
        factors.append((stage, day.factor_to(day.rate_column(stage), sign * size)))
    name = day.funnel.composite_rates[composites.index(end)]
    return Cause(day.index, StepRates(tuple(factors)), Root(CONVERSION_RATE, name, anomaly_type))
