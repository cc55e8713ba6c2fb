"""Samples the counts of an episode from a product, without and with losses.

All random numbers are drawn once. Counts with different losses are computed from the same numbers,
so that only the losses differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from drilldown_next.day_scores import FloatArray
from drilldown_next.noise import Noise, draw_autoregression, draw_bad_day_drops
from drilldown_next.product import Product
from drilldown_next.segments import Counts, IntArray, SegmentDays, build_segment_table
from openenv_kit.bitstream import BitStream
from openenv_kit.float_sum import sum_left_to_right

PAIR_FACTOR = 0.35
"""Half-width of the factor by which two values occur together more or less often."""
VALUE_EFFECT = 0.5
"""Half-width of a value's effect on the log-odds of a step."""
LEAF_EFFECT = 0.1
"""Standard deviation of a leaf's effect on the log-odds of a step."""
WEEKDAY_EFFECT = 0.3
"""Half-width of a weekday's effect on the log-odds of a step."""
MIN_EXPONENT = -12.0
DAYS_PER_WEEK = 7


@dataclass(frozen=True)
class Loss:
    """A planned loss: a segment's people pass a step less often on some days.

    Attributes:
        place: step, segment and days.
        share: share of the people who would have passed but do not.
    """

    place: SegmentDays
    share: float


@dataclass(frozen=True)
class Draw:
    """The random numbers of an episode's counts.

    Attributes:
        product: the product.
        entered: people of each leaf at the first stage, shape (leaves, days).
        rates: probability that a person of a leaf takes a step, shape (steps, leaves, days).
        normals: standard normals of the counts, shape (steps, leaves, days).
    """

    product: Product
    entered: IntArray
    rates: FloatArray
    normals: FloatArray

    def sample_counts(self, losses: Sequence[Loss] = ()) -> Counts:
        """Return the counts, shape (leaves, stages, days).

        Args:
            losses: planned losses; people of several losses of one step pass by the product of the
                shares.
        """
        table = build_segment_table(self.product.shape)
        leaves, days = self.entered.shape
        counts = np.zeros((leaves, len(self.product.stages), days), dtype=np.uint16)
        counts[:, 0] = self.entered
        entering = self.entered.astype(float)
        for step, clean_rates in enumerate(self.rates):
            rates = clean_rates
            for loss in losses:
                if loss.place.step == step:
                    rates = rates.copy() if rates is clean_rates else rates
                    days_lost = slice(loss.place.first, loss.place.last + 1)
                    rates[table.leaves[loss.place.segment], days_lost] *= 1.0 - loss.share
            mean = entering * rates
            passing = np.rint(mean + np.sqrt(mean * (1.0 - rates)) * self.normals[step])
            entering = np.minimum(np.maximum(passing, 0.0), entering)
            counts[:, step + 1] = entering
        counts.setflags(write=False)
        return counts


def draw_episode(product: Product, noise: Noise, visits: int, days: int, stream: BitStream) -> Draw:
    """Draw the random numbers of an episode.

    Args:
        product: the product.
        noise: noise parameters.
        visits: people at the first stage on an average day.
        days: number of days, from a Monday.
        stream: source of the random numbers, which are drawn in a fixed order.
    """
    shares = _draw_leaf_shares(product, stream)
    entered = _draw_traffic(product, noise, visits * shares, days, stream)
    rates = np.stack(
        [_draw_rates(product, noise, step, days, stream) for step in range(len(product.step_rates))]
    )
    return Draw(product, entered, rates, stream.draw_normals(*rates.shape))


def approximate_exp(values: FloatArray) -> FloatArray:
    """Return (1 + x/16)¹⁶ ≈ eˣ for x ≥ −12, by operations that every machine rounds equally."""
    result = 1.0 + np.maximum(values, MIN_EXPONENT) / 16.0
    for _ in range(4):
        result = result * result
    return result


def _draw_leaf_shares(product: Product, stream: BitStream) -> FloatArray:
    shares = np.ones(product.shape)
    for axis, dimension in enumerate(product.dimensions):
        weights = np.array([weight for _, weight in dimension.weights])
        shares = shares * _spread_over_axes(weights, [axis], product.shape)
    for axes in combinations(range(len(product.shape)), 2):
        sizes = [product.shape[axis] for axis in axes]
        factors = 1.0 + PAIR_FACTOR * _draw_uniforms(stream, sizes)
        shares = shares * _spread_over_axes(factors, axes, product.shape)
    flat = shares.ravel()
    return flat / sum_left_to_right(flat.tolist())


def _draw_traffic(
    product: Product, noise: Noise, leaf_visits: FloatArray, days: int, stream: BitStream
) -> IntArray:
    common = draw_autoregression(stream, 1, days, noise.traffic_correlation)
    weekday = np.tile(product.weekday, days // DAYS_PER_WEEK)
    mean = leaf_visits[:, None] * (weekday * (1.0 + noise.traffic * common[0]))
    normals = stream.draw_normals(*mean.shape)
    people = np.rint(mean + np.sqrt(noise.leaf_variance * mean) * normals)
    return np.maximum(people, 0.0).astype(np.int32)


def _draw_rates(
    product: Product, noise: Noise, step: int, days: int, stream: BitStream
) -> FloatArray:
    """Draw the probability of a step for each leaf and day, shape (leaves, days)."""
    shape = product.shape
    usual = np.zeros(shape)
    for axis, size in enumerate(shape):
        effects = VALUE_EFFECT * _draw_uniforms(stream, [size])
        usual = usual + _spread_over_axes(effects, [axis], shape)
    usual = usual + LEAF_EFFECT * stream.draw_normals(*shape)
    weekday = WEEKDAY_EFFECT * _draw_uniforms(stream, [DAYS_PER_WEEK])
    drops = draw_bad_day_drops(stream, days, noise)
    shared = noise.day_shock * draw_autoregression(stream, 1, days, noise.day_correlation)[0]
    by_day = np.tile(weekday, days // DAYS_PER_WEEK) + shared - drops
    sizes = noise.value_shock * np.where(drops > 0.0, noise.bad_day_factor, 1.0)
    shocks = sizes * draw_autoregression(stream, sum(shape), days, noise.value_correlation)
    effects = usual[..., None] + by_day
    first = 0
    for axis, size in enumerate(shape):
        of_axis = shocks[first : first + size]
        effects = effects + _spread_over_axes(of_axis, [axis], shape)
        first += size
    rate = product.step_rates[step]
    odds = (rate / (1.0 - rate)) * approximate_exp(effects)
    rates: FloatArray = (odds / (1.0 + odds)).reshape(-1, days)
    return rates


def _draw_uniforms(stream: BitStream, sizes: Sequence[int]) -> FloatArray:
    """Draw numbers that are uniform in [−1, 1)."""
    count = int(np.prod(sizes))
    return np.array([stream.uniform(-1.0, 1.0) for _ in range(count)]).reshape(sizes)


def _spread_over_axes(values: FloatArray, axes: Sequence[int], shape: Sequence[int]) -> FloatArray:
    """Reshape values of some axes, in order, to broadcast over an array of `shape`.

    Further axes of the values follow the axes of `shape`.
    """
    sizes = [shape[axis] if axis in axes else 1 for axis in range(len(shape))]
    return values.reshape(*sizes, *values.shape[len(axes) :])
