"""Readers: what a patient person finds who reads tables of two dimensions and nothing finer.

What such a table gives away is granted whole: a root that shows in it is reported exactly, and so
is every other root that shares a day with one.
"""

from __future__ import annotations

from math import comb

import numpy as np

from metric_tracker_rl.drilldown.config import DAYS
from metric_tracker_rl.drilldown.cube import Bools, Floats
from metric_tracker_rl.drilldown.definition import Root, settle
from metric_tracker_rl.drilldown.expected import WEEKLY_FLOOR
from metric_tracker_rl.drilldown.policies.heuristic import READER, heuristic
from metric_tracker_rl.drilldown.policies.scan import Rows, Scan

BY_WEEK, BY_DAY = 0.01, 0.04
"""Changes that a reader notices in weekly sums, and in daily counts."""
SIGMAS = 3.0


@heuristic(READER)
def pairs_by_week(scan: Scan) -> Rows:
    """All tables of two dimensions by week: what is off by 1 % and 3 standard deviations."""
    counts = _pairs(scan).reshape(len(scan.stages), -1, DAYS // 7, 7).sum(axis=3)
    change, noise = _changes(counts, _tables(scan), 1)
    return _granted(scan, (change > BY_WEEK) & (change > SIGMAS * noise), 7)


@heuristic(READER)
def pairs_by_day(scan: Scan) -> Rows:
    """Tables that together hold all dimensions, two in each, by day: what is off by 4 %."""
    change, _ = _changes(_pairs(scan), _tables(scan), 7)
    fixes = scan.cube.values[scan.cube.fixed == 2] >= 0
    last = fixes.shape[1] - 2
    read = np.any([fixes[:, axis] & fixes[:, axis + 1] for axis in {*range(0, last, 2), last}], 0)
    return _granted(scan, (change > BY_DAY) & read[:, None], 1)


def _tables(scan: Scan) -> int:
    return comb(len(scan.cube.shape), 2)


def _pairs(scan: Scan) -> Floats:
    """Daily counts of every pair of values, shape (stages, pairs, days)."""
    return np.asarray(scan.cube.sums(scan.stages)[:, scan.cube.fixed == 2])


def _changes(counts: Floats, tables: int, season: int) -> tuple[Floats, Floats]:
    """Change from the median of shares of traffic and of rates, and its noise.

    Args:
        counts: shape (stages, pairs, periods).
        tables: how many tables of two dimensions there are.
        season: periods after which the usual value repeats.
    """
    visits = counts[0].sum(axis=0) / tables  # each of the tables holds everybody once
    shares = counts[0] / visits
    values = np.concatenate([shares[None], counts[1:] / np.maximum(counts[:-1], 1.0)])
    by_season = values.reshape(*values.shape[:2], -1, season)
    usual = np.median(by_season, axis=2, keepdims=True)
    change = np.abs(by_season / np.maximum(usual, 1e-9) - 1.0).reshape(values.shape)
    rest = np.concatenate([np.ones_like(values[:1]), 1.0 - values[1:]])
    floor = np.array([WEEKLY_FLOOR[min(channel, 1)] for channel in range(len(values))])
    floor = floor[:, None, None]
    return change, np.sqrt(rest / np.maximum(counts, 1.0) + floor * floor)


def _granted(scan: Scan, noticed: Bools, length: int) -> Rows:
    """Rows of the roots that lie in a pair of values noticed at the time, and of their company.

    Args:
        scan: what is known.
        noticed: shape (channels, pairs, periods).
        length: days of a period.
    """
    settled = settle(scan.cube, scan.stages, people=scan.people)
    roots = settled.last.roots if settled else ()
    pairs = np.flatnonzero(scan.cube.fixed == 2)

    def shows(root: Root) -> bool:
        within = scan.cube.within
        around = within[root.cell, pairs] | within[pairs, root.cell]
        periods = slice(root.first // length, root.last // length + 1)
        return any(noticed[channel][around, periods].any() for channel in root.channels)

    found = [root for root in roots if shows(root)]
    together = [
        root
        for root in roots
        if any(root.first <= each.last and each.first <= root.last for each in found)
    ]
    return [scan.row_of(root) for root in together]
