"""Rewards: what the end of an episode pays."""

from __future__ import annotations

from enum import StrEnum


class Reward(StrEnum):
    """What the end of an episode pays, by the name that a reset asks for."""

    GRADED = "graded"
    """The score."""
    EXACT = "exact"
    """1 for a perfect result, otherwise 0."""
    KEY_F1 = "key_f1"
    """F1 of the reported rows' keys; the numbers in the rows are not compared."""


COMMON_REWARDS = (Reward.GRADED, Reward.EXACT)
"""Rewards that every environment with a reset argument `reward` offers."""
