"""Reward modes, which determine how the final reward of an episode is computed."""

from __future__ import annotations

from enum import StrEnum


class Reward(StrEnum):
    """A reward mode: an allowed value of the reset argument `reward`."""

    GRADED = "graded"
    """The score of the grader."""
    EXACT = "exact"
    """1 for a perfect result, otherwise 0."""
    KEY_F1 = "key_f1"
    """F1 score of the reported rows' keys; the numbers in the rows are ignored."""


COMMON_REWARDS = (Reward.GRADED, Reward.EXACT)
"""Reward modes that every environment with a reset argument `reward` offers."""
