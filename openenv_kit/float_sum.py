"""Sums of floats that are the same with every Python."""

from __future__ import annotations

from collections.abc import Iterable


def add_up(values: Iterable[float]) -> float:
    """Sum of the values, added one after the other; 0 of none.

    From Python 3.12 on, the built-in `sum` makes up for what rounding loses, so its last digits are
    others than before. Whatever becomes part of an episode or of a score is added here.
    """
    result: float = 0
    for value in values:
        result += value
    return result
