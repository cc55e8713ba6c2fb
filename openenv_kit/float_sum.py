"""Summation of floats with the same result in every version of Python."""

from __future__ import annotations

from collections.abc import Iterable


def sum_left_to_right(values: Iterable[float]) -> float:
    """Return the sum of the values, added from left to right; 0 if there are no values.

    Use it for all values that become part of an episode or a score. From Python 3.12 on, the
    built-in `sum` compensates rounding errors, so its last digits differ from earlier versions.
    """
    result: float = 0
    for value in values:
        result += value
    return result
