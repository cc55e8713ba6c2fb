"""Modes of computing the final reward of an episode."""

from __future__ import annotations

from enum import StrEnum


class Reward(StrEnum):
    """Mode of computing the final reward, as named by the reset argument `reward`."""

    GRADED = "graded"
    """The score of the grader."""
    EXACT = "exact"
    """1 for a perfect result, otherwise 0."""
    KEY_F1 = "key_f1"
    """F1 of the reported rows' keys; the numbers in the rows are not compared."""


COMMON_REWARDS = (Reward.GRADED, Reward.EXACT)
"""Modes that every environment with a reset argument `reward` offers."""
