"""Finds the best run of one segment in the result of `compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import median
from typing import Any, NamedTuple

MIN_DAYS, MAX_DAYS = 3, 14
MIN_PEOPLE = 20
MIN_LOSS = 0.20
MIN_SCORE = 8.0


class Run(NamedTuple):
    """Consecutive days on which a segment lost people.

    Attributes:
        gain: sum of squared daily scores.
        score: standardized score Z.
        first, last: ISO dates.
    """

    gain: float
    score: float
    first: str
    last: str


class Day(NamedTuple):
    """One day of a segment, as the definition scores it."""

    date: str
    is_usable: bool
    passed: float
    expected: float
    score: float
    weight: float
    spread: float


def find_best_run(comparison: Mapping[str, Any]) -> Run | None:
    """Return the counting run with the largest gain; without one, that with the largest score.

    Args:
        comparison: result of `compare`.

    Returns:
        The run; None if no run has the smallest loss on enough days.
    """
    ratio, scale = comparison["usual_odds_ratio"], comparison["scale"]
    days = [_score_day(row, ratio) for row in comparison["rows"]]
    runs: list[Run] = []
    for first in range(len(days)):
        for length in range(MIN_DAYS, min(MAX_DAYS, len(days) - first) + 1):
            run = days[first : first + length]
            if not run[-1].is_usable:
                break
            if _has_loss(run):
                gain = sum(day.score * day.score / day.weight for day in run)
                variance = sum(day.weight * day.spread * day.spread for day in run)
                score = sum(day.score for day in run) / (scale * sqrt(variance))
                runs.append(Run(gain, score, run[0].date, run[-1].date))
    counting = [run for run in runs if run.score >= MIN_SCORE]
    if counting:
        return max(counting, key=lambda run: run.gain)
    return max(runs, key=lambda run: run.score, default=None)


def compute_usual_odds_ratio(rows: Sequence[Sequence[Any]]) -> float:
    """Return the median over calendar weeks of the odds ratio between a segment and the rest.

    Args:
        rows: date, people who enter and pass, and the rest who enter and pass; whole weeks.
    """
    ratios = []
    for monday in range(0, len(rows), 7):
        above = below = 0.5
        for _, entered, passed, rest_entered, rest_passed in rows[monday : monday + 7]:
            everybody = max(entered + rest_entered, 1)
            above += passed * (rest_entered - rest_passed) / everybody
            below += (entered - passed) * rest_passed / everybody
        ratios.append(above / below)
    return median(ratios)


def compute_scale(rows: Sequence[Sequence[Any]], usual_odds_ratio: float) -> float:
    """Return the noise scale of a segment; see `compute_usual_odds_ratio`."""
    days = [_score_day((*row, None, 1.0), usual_odds_ratio, min_people=1) for row in rows]
    return max(1.0, median(abs(day.score) / sqrt(day.weight) for day in days) / 0.6745)


def _has_loss(run: Sequence[Day]) -> bool:
    total_loss = 1.0 - sum(day.passed for day in run) / sum(day.expected for day in run)
    if total_loss < MIN_LOSS or not all(day.is_usable for day in run):
        return False
    return all(1.0 - day.passed / day.expected >= total_loss / 2.0 for day in run)


def _score_day(row: Sequence[Any], usual_odds_ratio: float, min_people: int = MIN_PEOPLE) -> Day:
    date, entered, passed, rest_entered, rest_passed, _, spread = row
    rest_odds = (rest_passed + 0.5) / (rest_entered - rest_passed + 0.5)
    odds = rest_odds * usual_odds_ratio
    rate, rest_rate = odds / (1.0 + odds), rest_odds / (1.0 + rest_odds)
    variance = entered * rate * (1.0 - rate)
    rest_variance = rest_entered * rest_rate * (1.0 - rest_rate)
    if entered < min_people or rest_entered < min_people:
        return Day(date, False, passed, 1.0, 0.0, 1.0, spread)
    weight = variance * rest_variance / (variance + rest_variance)
    score = (entered * rate - passed) * weight / variance
    return Day(date, True, passed, entered * rate, score, weight, spread)
