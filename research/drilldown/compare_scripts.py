"""`python -m research.drilldown.compare_scripts [FILE]`: scores of simple scripts.

Three scripts that do without a part of the definition are compared with the reference on training
episodes. The scripts read all counts at no cost, so their scores are an upper bound of what they
would earn within the budget; the reference plays by tools alone.

- `own_medians`: a segment's usual rate is its own median of the weekday. Runs of 1 to 7 days count
  from 6 binomial standard deviations and a loss of 8 %. This is how the reference of the former
  drill-down judged a segment.
- `own_medians_with_scale`: the same medians with the segment's empirical noise scale and the other
  conditions of the definition.
- `log_scopes`: the full definition, but only for the scopes of log entries and for runs that begin
  at most two days after the entry.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from drilldown_next.change_log import MAX_AGE_DAYS, find_change
from drilldown_next.day_scores import (
    DAYS_PER_WEEK,
    MEDIAN_OF_HALF_NORMAL,
    DayScores,
    FloatArray,
    replace_zeros,
)
from drilldown_next.definition import (
    MAX_DAYS,
    MIN_DAYS,
    MIN_PEOPLE,
    NOMINAL_LIMITS,
    Limits,
    StepCounts,
    compute_spread,
    find_eligible_segments,
    split_by_step,
)
from drilldown_next.episode import Episode, ReportRow, get_episode
from drilldown_next.grade import grade_report
from drilldown_next.policies.players import POLICIES
from drilldown_next.report import MAX_ROWS
from drilldown_next.segments import Mask, SegmentDays
from drilldown_next.session import DrilldownSession
from drilldown_next.tasks import SPLITS
from openenv_kit.rollouts.run_policy import run_policy
from openenv_kit.splits import find_task_indices_of_level

LEVELS = ("easy", "medium", "hard", "sql")
EPISODES = 100
REFERENCE_EPISODES_BY_SQL = 30
"""Fewer, because each takes some ten seconds."""
FORMER_LIMITS = Limits(min_score=6.0, min_loss=0.08)
FORMER_LENGTHS = range(1, 8)
LENGTHS = range(MIN_DAYS, MAX_DAYS + 1)


class Run(NamedTuple):
    """A run of days and the sum of its squared daily scores."""

    gain: float
    place: SegmentDays


FindRun = Callable[[StepCounts, int], Run | None]
"""Returns the best run of a step, given its counts and its number."""


def report_own_medians(episode: Episode) -> list[SegmentDays]:
    """Report what falls below its own weekday medians by six binomial standard deviations."""

    def find_run(step: StepCounts, number: int) -> Run | None:
        scores = _score_against_own_medians(step, has_scale=False)
        return _find_best_run(step, number, scores, eligible, FORMER_LIMITS, FORMER_LENGTHS)

    eligible = find_eligible_segments(episode.counts, episode.table)
    return _find_in_turn(episode, find_run, MAX_ROWS)


def report_own_medians_with_scale(episode: Episode) -> list[SegmentDays]:
    """Report what falls below its own weekday medians, measured by its empirical noise."""

    def find_run(step: StepCounts, number: int) -> Run | None:
        scores = _score_against_own_medians(step, has_scale=True)
        return _find_best_run(step, number, scores, eligible, NOMINAL_LIMITS, LENGTHS)

    eligible = find_eligible_segments(episode.counts, episode.table)
    return _find_in_turn(episode, find_run, max(episode.level.root_counts))


def report_log_scopes(episode: Episode) -> list[SegmentDays]:
    """Report the scopes of log entries that lost people from about the entry's date on."""
    eligible = find_eligible_segments(episode.counts, episode.table)

    def find_run(step: StepCounts, number: int) -> Run | None:
        best: Run | None = None
        for entry in episode.log:
            segment = episode.table.index_of.get(entry.scope)
            if segment is None or entry.step != number or not eligible[segment]:
                continue
            is_asked = np.zeros(eligible.shape, dtype=bool)
            is_asked[segment] = True
            spread = compute_spread(step, segment)
            run = _find_best_run(
                step, number, step.scores, is_asked, NOMINAL_LIMITS, LENGTHS, spread, entry.day
            )
            if run is not None and (best is None or run.gain > best.gain):
                best = run
        return best

    return _find_in_turn(episode, find_run, max(episode.level.root_counts))


def _find_in_turn(episode: Episode, find_run: FindRun, max_rows: int) -> list[SegmentDays]:
    """Take the best run of all steps, leave out its people and repeat."""
    steps = split_by_step(episode.counts, episode.table)
    for entry in episode.calendar:
        steps[entry.place.step] = steps[entry.place.step].without([entry.place])
    best = [find_run(step, number) for number, step in enumerate(steps)]
    found: list[SegmentDays] = []
    while len(found) < max_rows:
        run = max((run for run in best if run is not None), default=None)
        if run is None:
            break
        found.append(run.place)
        number = run.place.step
        steps[number] = steps[number].without([run.place])
        best[number] = find_run(steps[number], number)
    return found


def _score_against_own_medians(step: StepCounts, *, has_scale: bool) -> DayScores:
    entered, passed = step.segment_counts[:, 0].astype(float), step.segment_counts[:, 1]
    rates = passed / replace_zeros(entered)
    by_weekday = np.median(rates.reshape(len(rates), -1, DAYS_PER_WEEK), axis=1)
    expected = entered * np.tile(by_weekday, rates.shape[1] // DAYS_PER_WEEK)
    weight = expected * (1.0 - expected / replace_zeros(entered))
    score = np.where(weight > 0.0, expected - passed, 0.0)
    ratio = np.abs(score) / replace_zeros(np.sqrt(weight))
    scale = np.ones((len(rates), 1))
    if has_scale:
        scale = np.maximum(1.0, np.median(ratio, axis=1)[:, None] / MEDIAN_OF_HALF_NORMAL)
    loss = np.where(expected > 0.0, 1.0 - passed / replace_zeros(expected), 0.0)
    return DayScores(np.ones_like(scale), expected, loss, score, weight, ratio, scale)


def _find_best_run(
    step: StepCounts,
    number: int,
    scores: DayScores,
    eligible: Mask,
    limits: Limits,
    lengths: range,
    spread: FloatArray | float = 1.0,
    entry_day: int | None = None,
) -> Run | None:
    """Return the run with the largest gain among those that meet all conditions of a run.

    Args:
        step: counts of the step.
        number: index of the step.
        scores: scores of all segments.
        eligible: which segments can have a run.
        limits: limits that a run must reach.
        lengths: allowed numbers of days.
        spread: factor of the noise of each day, shape (days,).
        entry_day: if given, the run begins on this day or at most two days later.
    """
    rows = np.flatnonzero(eligible)
    entered, passed = step.segment_counts[rows, 0], step.segment_counts[rows, 1].astype(float)
    weight, score, expected = scores.weight[rows], scores.score[rows], scores.expected[rows]
    is_usable = (entered >= MIN_PEOPLE) & (step.totals[0] - entered >= MIN_PEOPLE)
    daily = np.stack(
        [passed, expected, score, weight * spread * spread, score * score / replace_zeros(weight)]
    )
    best: Run | None = None
    for length in lengths:
        windows = sliding_window_view(daily, length, axis=2).sum(axis=3)
        run_passed, run_expected, run_score, variance, gain = windows
        total_loss = 1.0 - run_passed / replace_zeros(run_expected)
        least_loss = sliding_window_view(scores.loss[rows], length, axis=1).min(axis=2)
        counts = sliding_window_view(is_usable, length, axis=1).all(axis=2)
        counts &= (total_loss >= limits.min_loss) & (least_loss >= total_loss / 2.0)
        deviation = scores.scale[rows] * np.sqrt(variance)
        counts &= run_score >= limits.min_score * replace_zeros(deviation)
        if entry_day is not None:
            age = np.arange(counts.shape[1]) - entry_day
            counts &= (age >= 0) & (age <= MAX_AGE_DAYS)
        gain = np.where(counts, gain, 0.0)
        row, first = (int(index) for index in np.unravel_index(gain.argmax(), gain.shape))
        if gain[row, first] > (best.gain if best else 0.0):
            place = SegmentDays(number, int(rows[row]), first, first + length - 1)
            best = Run(float(gain[row, first]), place)
    return best


SCRIPTS = {
    "own_medians": report_own_medians,
    "own_medians_with_scale": report_own_medians_with_scale,
    "log_scopes": report_log_scopes,
}


def grade_places(episode: Episode, places: Sequence[SegmentDays]) -> float:
    """Return the score of a report of some places, with the changes that the log gives."""
    segments = episode.table.segments
    rows = []
    for place in places:
        segment = segments[place.segment]
        change = find_change(place, segment, episode.log)
        rows.append(ReportRow(place.step, segment, place.first, place.last, change))
    return grade_report(rows, episode.expected_rows).score


def play_reference(episode: Episode) -> float:
    """Return the score of the reference."""
    session = DrilldownSession()
    return run_policy(
        session, POLICIES["reference"], session.open_episode("research", episode)
    ).score


def measure_scripts(level: str, episode_count: int) -> dict[str, Any]:
    """Return the mean score of each script and of the reference, with its standard error."""
    indices = find_task_indices_of_level(SPLITS, "train", level)[:episode_count]
    scores: dict[str, list[float]] = {name: [] for name in ("reference", *SCRIPTS)}
    for number, index in enumerate(indices):
        episode = get_episode(SPLITS.task("train", index).config)
        for name, report in SCRIPTS.items():
            scores[name].append(grade_places(episode, report(episode)))
        if not episode.level.has_sql or number < REFERENCE_EPISODES_BY_SQL:
            scores["reference"].append(play_reference(episode))
    return {
        name: {
            "episodes": len(values),
            "mean": round(fmean(values), 3),
            "standard_error": round(stdev(values) / len(values) ** 0.5, 3),
        }
        for name, values in scores.items()
    }


def main(path: str | None) -> None:
    """Print the scores by level and write them as JSON."""
    result = {level: measure_scripts(level, EPISODES) for level in LEVELS}
    for level, scores in result.items():
        for name, score in scores.items():
            print(f"{level:8}{name:24}{score['mean']:.3f} ± {score['standard_error']:.3f}")
    if path:
        Path(path).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
