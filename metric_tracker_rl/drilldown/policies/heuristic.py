"""What a heuristic is, the table of all of them, and the most that each may earn."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from metric_tracker_rl.drilldown.grade import Grade, grade
from metric_tracker_rl.drilldown.policies.scan import Rows, Scan
from metric_tracker_rl.drilldown.report import MAX_ROWS, read_report

LOG_ONLY, LOG_LED, ONE_THING = (0.05, 0.0), (0.15, 0.05), (0.15, 0.05)
PARTIAL = (0.40, 0.10)
READER = (0.55, 0.40)
UNLIMITED = (1.0, 1.0)
"""Largest mean score, and largest share of perfect episodes.

Partial ones are no exploits: they are given perfect statistics, and lack only that two segments
may move in one run and that two steps may have one root. Nor are readers, who are granted whatever
a table of two dimensions shows. What lacks a single insight is unlimited: it is there to be told.
"""


@dataclass(frozen=True)
class Heuristic:
    """One heuristic.

    Attributes:
        name: what tables call it.
        description: one line.
        rows: its report on an episode.
        ceiling: largest mean score and share of perfect episodes, over those that hold a root.
    """

    name: str
    description: str
    rows: Callable[[Scan], Rows]
    ceiling: tuple[float, float]

    def grade(self, scan: Scan) -> Grade:
        """The grade of its report."""
        episode = scan.episode
        report = read_report(self.rows(scan)[:MAX_ROWS], episode)
        return grade(report, episode.expected_rows, episode.dates, episode.domain)


HEURISTICS: dict[str, Heuristic] = {}
"""Every heuristic by name."""


def heuristic(
    ceiling: tuple[float, float],
) -> Callable[[Callable[[Scan], Rows]], Callable[[Scan], Rows]]:
    """Declare a function as the heuristic of its name; its docstring's first line describes it."""

    def declare(function: Callable[[Scan], Rows]) -> Callable[[Scan], Rows]:
        name, line = function.__name__, (inspect.getdoc(function) or "").split("\n", 1)[0]
        HEURISTICS[name] = Heuristic(name, line, function, ceiling)
        return function

    return declare
