"""The segments that the reference compares, by how clearly they lost people in some week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import hypot, sqrt
from statistics import fmean
from typing import Any, NamedTuple

from drilldown_next.policies.replies import (
    EpisodeDescription,
    Request,
    SegmentValues,
    parse_segment,
    request,
)

CELLS = ((0, 7, 14), (4, 7, 14))
"""First day, number of days and smallest loss, in %, of the cells that are asked for."""
RELATED_FACTOR = 0.7
"""Factor of a segment's evidence for each relative that was compared and has no run."""
MIN_RELATIVE_EVIDENCE = 0.6
"""Relatives of a segment with a run are compared if they have this share of its evidence."""
VALUE_SHOCK = 0.3
"""Assumed daily noise of one value in log-odds, beyond the binomial noise."""
MAX_DISTANCE_DAYS = 7
"""Largest distance of two cells of relatives."""


class Candidate(NamedTuple):
    """A segment that may have lost people.

    Attributes:
        evidence: loss of its best cell, divided by the standard deviation that noise would cause.
        segment: the segment.
        first: first day of its best cell.
        days: number of days of its best cell.
    """

    evidence: float
    segment: SegmentValues
    first: int
    days: int

    def is_related_to(self, other: Candidate) -> bool:
        """Return whether two segments share a value at about the same time."""
        is_close = abs(self.middle - other.middle) <= MAX_DISTANCE_DAYS
        return is_close and bool(self.segment.items() & other.segment.items())

    @property
    def middle(self) -> int:
        """Day in the middle of the cell."""
        return self.first + self.days // 2

    @property
    def name(self) -> str:
        """Name of the segment and the cell."""
        return f"{self.segment} {self.first} {self.days}"

    def weaken(self, failed: Sequence[Candidate], spreads: Mapping[int, float]) -> float:
        """Return the evidence, less if relatives have no run or if all values differ on its days.

        Args:
            failed: segments that were compared and have no run.
            spreads: spread of each day that was compared at the step.
        """
        related = sum(self.is_related_to(other) for other in failed)
        days = range(self.first, self.first + self.days)
        variance = fmean(spreads.get(day, 1.0) ** 2 for day in days)
        return float(self.evidence * RELATED_FACTOR**related / sqrt(variance))

    def is_rival_of(self, other: Candidate) -> bool:
        """Return whether this segment may be the root instead of another one with a run."""
        has_evidence = self.evidence >= MIN_RELATIVE_EVIDENCE * other.evidence
        return self is not other and self.is_related_to(other) and has_evidence


def list_candidates(
    episode: EpisodeDescription, step: str, rate: float, without: Sequence[Mapping[str, Any]]
) -> Request:
    """Return the segments that may have lost people, those with most evidence first."""
    dates = episode.dates
    removals = {"without": list(without)} if without else {}
    best: dict[str, Candidate] = {}
    for first, cell_days, min_loss in CELLS:
        period = {"dates": [dates[first], dates[-1]]} if first else {}
        result = yield from request(
            "top_segments", step=step, min_loss=min_loss, days=cell_days, **period, **removals
        )
        for text, date, entered, loss in result["rows"]:
            segment, day = parse_segment(text), dates.index(date)
            days = min(cell_days, len(dates) - day)
            shock = (1.0 - rate) * VALUE_SHOCK * sqrt(len(segment) / days)
            evidence = loss / 100.0 / hypot(shock, sqrt((1.0 - rate) / rate / entered))
            if text not in best or evidence > best[text].evidence:
                best[text] = Candidate(evidence, segment, day, days)
    return sorted(best.values(), key=lambda candidate: -candidate.evidence)
