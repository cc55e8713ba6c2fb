"""What is made to happen: changes of traffic and rates, and the roots that they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drilldown_env.clean import HIGHEST_RATE, Clean, sample
from drilldown_env.cube import EVERYBODY, Cube
from drilldown_env.definition import Root
from drilldown_env.levels import LOSS


@dataclass(frozen=True)
class Effect:
    """One change of one channel.

    Attributes:
        channel: 0 for traffic, else the step into that stage.
        cell: whose traffic or rate it is.
        first, stop: first day, and the day after the last.
        factor: on traffic or rate.
        swing: of each day, what the factor is multiplied by; 1 on average.
        against: whether everybody else moves so that total traffic stands still.
    """

    channel: int
    cell: int
    first: int
    stop: int
    factor: float
    swing: tuple[float, ...]
    against: bool = False


@dataclass(frozen=True)
class Cause:
    """One planned cause.

    Attributes:
        kind: of its roots.
        effects: one; two of a tracking loss or a cancelling pair.
        faint: whether no single value may show it.
        announced: whether the public calendar explains it, so that it is no root.
    """

    kind: str
    effects: tuple[Effect, ...]
    faint: bool = False
    announced: bool = False

    @property
    def roots(self) -> tuple[Root, ...]:
        """What the definition must find."""
        effects = self.effects[:1] if self.kind == LOSS else self.effects
        return tuple(
            Root(e.channel, e.first, e.stop - 1, e.cell, self.kind, e.factor > 1.0) for e in effects
        )


def roots_of_causes(causes: Iterable[Cause]) -> tuple[Root, ...]:
    """Roots that are planned, sorted."""
    return tuple(sorted(root for cause in causes for root in cause.roots))


def counted(cube: Cube, clean: Clean, causes: Sequence[Cause]) -> NDArray[np.int32]:
    """Counts with causes in the clean model, shape (leaves, stages, days).

    The noise is the model's: counts without a cause are the same draw with that cause taken back.
    """
    traffic, rates = clean.traffic.copy(), clean.rates.copy()
    for effect in (effect for cause in causes for effect in cause.effects):
        days, members = slice(effect.first, effect.stop), cube.member[effect.cell]
        factors = effect.factor * np.array(effect.swing)
        if effect.channel:
            changed = np.minimum(rates[effect.channel - 1][members, days] * factors, HIGHEST_RATE)
            rates[effect.channel - 1][members, days] = changed
            continue
        if effect.against:
            sums = cube.sums(traffic[None, :, days])[0]
            share = sums[effect.cell] / sums[EVERYBODY]
            traffic[~members, days] *= 1.0 - (factors - 1.0) * share / (1.0 - share)
        traffic[members, days] *= factors
    return sample(clean, traffic, rates)
