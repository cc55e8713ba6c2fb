"""Constants: the best report that generators can build without a look at the episode.

A constant is a `payload_generators` action that depends on nothing but what the reset shows:
the level, and where they are shown the family and the number of anomalies. It is searched for
on hundreds of other episodes with their answers, as somebody would who has the public code.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.analysis_tools.row_generators import GENERATORS, run_generators
from metric_tracker_rl.audit.registry import BLIND, ZERO_CALL, exploit
from metric_tracker_rl.episode import Episode
from metric_tracker_rl.grader import EXPLOIT_FLOOR, EXPLOIT_PENALTY, EXTRA_PENALTY
from metric_tracker_rl.play import EpisodeView
from metric_tracker_rl.policies.flagged import flagged_rows
from metric_tracker_rl.policies.registry import Observed, Play, submit
from metric_tracker_rl.reporting_policy import ReportRow
from metric_tracker_rl.vocabulary import ANOMALY_TYPES, DATA_QUALITY

MULTIPLIERS = tuple(step / 4 for step in range(33))
"""Threshold multipliers that the search tries; no row of 56 days lies beyond the last."""
STARTS = (None, 0, 4, 8, 12)
"""Where the search begins: with no filter, and with every filter at one of the multipliers."""

Method = dict[str, Any]
Shown = tuple[Any, Any]
Ints = NDArray[np.int64]


def shown_by(config: Mapping[str, Any]) -> Shown:
    """Family and count as a reset shows them; both may be hidden."""
    return config["scenario_family"], config["anomaly_count"]


def best_constants(views: Sequence[EpisodeView]) -> dict[Shown, list[Method]]:
    """The best constant for each family and count that the resets of these episodes show."""
    groups: dict[Shown, list[Episode]] = defaultdict(list)
    for view in views:
        groups[shown_by(view.config)].append(view.episode)
    return {shown: _Search(group).best() for shown, group in groups.items()}


@exploit("constant", ZERO_CALL, everywhere=True, fit=best_constants)
def constant(opening: Observed, best: Mapping[Shown, list[Method]]) -> Play:
    """Submits, without any call, the best report that is the same for every such episode."""
    methods = best.get(shown_by(opening["config"]), [])
    yield {"payload_generators": methods} if methods else submit([])


@exploit("constant_after_a_look", BLIND, everywhere=True, fit=best_constants)
def constant_after_a_look(opening: Observed, best: Mapping[Shown, list[Method]]) -> Play:
    """Asks for everything flagged, reads none of it, and submits the same constant."""
    yield from flagged_rows()
    yield from constant(opening, best)


class _Search:
    """Coordinate ascent: one multiplier, or none, for each filter, the others held.

    A filter is one row generator on one of its metrics. Rows of two filters never share a
    key, so the rows of a constant are the sum of its filters' rows.
    """

    def __init__(self, episodes: Sequence[Episode]) -> None:
        view = EpisodeView(episodes[0])
        self._filters = [
            (family, metric)
            for family in ANOMALY_TYPES
            for metric in GENERATORS[family].metrics(view) or (None,)
        ]
        self._expected = np.array([len(each.expected_rows) for each in episodes])
        shape = (len(self._filters), len(MULTIPLIERS) + 1, len(episodes))
        self._matched: Ints = np.zeros(shape, dtype=np.int64)
        self._extra: Ints = np.zeros(shape, dtype=np.int64)
        for number, episode in enumerate(episodes):
            self._count_rows(number, episode)

    def best(self) -> list[Method]:
        """Generator methods of the best constant found from any start."""
        found = [self._climb(start) for start in STARTS]
        _, choice = max(found, key=lambda each: each[0])
        return [
            {
                "method_name": family,
                "metric_names": [] if metric is None else [metric],
                "threshold_multiplier": MULTIPLIERS[place],
            }
            for (family, metric), place in zip(self._filters, choice, strict=True)
            if place < len(MULTIPLIERS)
        ]

    def _count_rows(self, number: int, episode: Episode) -> None:
        right = {row.key for row in episode.expected_rows}
        everything = [{"method_name": name, "threshold_multiplier": 0.0} for name in ANOMALY_TYPES]
        rows, _ = run_generators(EpisodeView(episode), everything)
        for row in rows:
            by_metric = (row.anomaly_type, row.entity_name)
            place = self._filters.index(
                by_metric if by_metric in self._filters else (row.anomaly_type, None)
            )
            spread = _spread_of(row, episode)
            reached = sum(abs(row.delta_value) > each * spread for each in MULTIPLIERS)
            table = self._matched if row.key in right else self._extra
            table[place, :reached, number] += 1

    def _climb(self, start: int | None) -> tuple[float, list[int]]:
        off = len(MULTIPLIERS)
        choice = [off if start is None else start] * len(self._filters)
        score, before = self._mean(choice), -1.0
        while score > before:
            before = score
            for place in range(len(self._filters)):
                matched, extra = self._rows_of(choice, without=place)
                means = self._scores(matched + self._matched[place], extra + self._extra[place])
                best = int(means.argmax())
                if means[best] > score:
                    choice[place], score = best, float(means[best])
        return score, choice

    def _mean(self, choice: Sequence[int]) -> float:
        matched, extra = self._rows_of(choice)
        return float(self._scores(matched[np.newaxis], extra[np.newaxis])[0])

    def _rows_of(self, choice: Sequence[int], without: int | None = None) -> tuple[Ints, Ints]:
        """Matched and extra rows of a choice in each episode, shape (episodes,)."""
        places = [place for place in range(len(choice)) if place != without]
        at = [choice[place] for place in places]
        return self._matched[places, at].sum(axis=0), self._extra[places, at].sum(axis=0)

    def _scores(self, matched: Ints, extra: Ints) -> NDArray[np.float64]:
        """Mean score of each choice, from its matched and extra rows by episode.

        The grader's formula, with every field of a matched row right: generators and labels
        read the same values.
        """
        expected, rows = self._expected, matched + extra
        precision = matched / np.maximum(rows, 1)
        each, most = EXTRA_PENALTY
        many = extra > np.maximum(EXPLOIT_FLOOR, 2 * expected)
        taken = np.minimum(each * extra, most) + EXPLOIT_PENALTY * many
        earned = precision * matched / np.maximum(expected, 1) - taken
        scores = np.where(expected > 0, np.clip(earned, 0.0, 1.0), rows == 0)
        return np.asarray(scores.mean(axis=1))


def _spread_of(row: ReportRow, episode: Episode) -> float:
    """Standard deviation from the median of the series that a generated row is of."""
    funnel, series = episode.config.funnel_spec, episode.series
    if row.entity_type == DATA_QUALITY:
        return series.excess_spreads[funnel.quality_checks.index(row.entity_name)]
    columns = (*funnel.metrics, funnel.mix)
    if row.entity_name in columns:
        return series.spreads[columns.index(row.entity_name)]
    return series.spreads[len(funnel.counts) + funnel.steps.index(row.entity_name)]
