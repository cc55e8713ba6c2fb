"""Heuristics: one idea each, with the whole cube for nothing, and the most each may earn.

They are what the tier must not pay for. Each is a function of a `Scan` and never sees a label.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from metric_tracker_rl.drilldown.baselines import global_median
from metric_tracker_rl.drilldown.channel import Channel
from metric_tracker_rl.drilldown.definition import CHANNELS, Root, runs_of
from metric_tracker_rl.drilldown.domains import TRACKING
from metric_tracker_rl.drilldown.levels import LOSS, RATE, TRAFFIC
from metric_tracker_rl.drilldown.policies import insights as insights  # these declare their own
from metric_tracker_rl.drilldown.policies import readers as readers
from metric_tracker_rl.drilldown.policies.heuristic import HEURISTICS as HEURISTICS
from metric_tracker_rl.drilldown.policies.heuristic import (
    LOG_LED,
    LOG_ONLY,
    ONE_THING,
    PARTIAL,
    heuristic,
)
from metric_tracker_rl.drilldown.policies.scan import Rows, Scan
from openenv_kit.bitstream import BitStream


@heuristic(LOG_ONLY)
def null(_: Scan) -> Rows:
    """Reports nothing."""
    return []


@heuristic(LOG_ONLY)
def random_rows(scan: Scan) -> Rows:
    """Two roots at random."""
    stream = BitStream(f"random rows {scan.episode.dates[0]} {int(scan.stages[0, 0, 0])}")
    rows: Rows = []
    for _ in range(2):
        channel, first = stream.below(CHANNELS), stream.below(len(scan.episode.dates) - 3)
        cell = stream.pick(scan.cube.candidates.tolist())
        kind = RATE if channel else TRAFFIC
        rows.append(scan.row_of(Root(channel, first, first + 2, cell, kind)))
    return rows


@heuristic(LOG_ONLY)
def log_entries(scan: Scan) -> Rows:
    """Every entry of the change log as a root of three days."""
    return [scan.row_of(root) for root in _from_log(scan)]


@heuristic(LOG_LED)
def log_moved(scan: Scan) -> Rows:
    """Entries of the change log after which their own scope moved."""
    return _moved_scopes(scan, neighbours=False)


@heuristic(LOG_LED)
def log_neighbours(scan: Scan) -> Rows:
    """The same with every scope one value wider, narrower or exchanged; the clearest is taken."""
    return _moved_scopes(scan, neighbours=True)


@heuristic(ONE_THING)
def moved_totals(scan: Scan) -> Rows:
    """Every run on which everybody moved, as everybody."""
    everybody = scan.cube.fixed == 0
    cell = scan.cube.everybody
    return [scan.row(*run, cell) for run in scan.runs(everybody)]


@heuristic(ONE_THING)
def largest_drop(scan: Scan) -> Rows:
    """The total that fell most, with the single value that fell most in it."""
    worst, found = 0.0, None
    everybody = scan.cube.everybody
    for channel in scan.channels:
        change = channel.surplus[everybody] / channel.weight[everybody]
        noise = np.sqrt(1.0 / channel.weight[everybody] + channel.floor2)
        day = int(np.argmin(change / noise))
        if float(change[day] / noise[day]) < worst:
            worst, found = float(change[day] / noise[day]), (channel, day)
    if found is None:
        return []
    channel, day = found
    singles = np.flatnonzero(scan.cube.fixed == 1)
    z = channel.surplus[singles, day] / np.sqrt(channel.weight[singles, day])
    return [scan.row(channel, day, day + 1, int(singles[int(np.argmin(z))]))]


@heuristic(ONE_THING)
def greedy_from_totals(scan: Scan) -> Rows:
    """Drills from every moved total to the value that stands out most, and again."""
    everybody = scan.cube.fixed == 0
    return [scan.row(*run, _drilled(scan, *run)) for run in scan.runs(everybody)]


@heuristic(ONE_THING)
def explanatory_power(scan: Scan) -> Rows:
    """Per moved total, the dimension whose few values explain most of the change (Adtributor)."""
    rows: Rows = []
    everybody = scan.cube.everybody
    for channel, first, stop in scan.runs(scan.cube.fixed == 0):
        weight, surplus, _ = scan.over(channel, first, stop)
        power = surplus / surplus[everybody]
        best, chosen = 0.0, everybody
        for axis in range(len(scan.cube.shape)):
            cells = np.flatnonzero((scan.cube.fixed == 1) & (scan.cube.values[:, axis] >= 0))
            expected = weight[cells] / weight[everybody]
            actual = (weight + surplus)[cells] / (weight + surplus)[everybody]
            surprise = float(np.abs(actual - expected).sum())
            top = int(cells[int(np.argmax(power[cells]))])
            if power[top] >= 0.5 and surprise > best:
                best, chosen = surprise, top
        rows.append(scan.row(channel, first, stop, chosen))
    return rows


@heuristic(ONE_THING)
def moved_singles(scan: Scan) -> Rows:
    """Every run on which a single value moved, with that value."""
    singles = scan.cube.fixed == 1
    return [
        scan.row(channel, first, min(stop, first + 7), int(cell))
        for channel in scan.channels
        for cell in np.flatnonzero(singles)
        for first, stop in runs_of(scan.moved(channel)[cell])
    ]


@heuristic(PARTIAL)
def largest_change(scan: Scan) -> Rows:
    """Per run, the segment of largest relative change."""
    rows: Rows = []
    for run in scan.runs():
        weight, surplus, able = scan.over(*run)
        change = np.where(able, np.abs(surplus / np.maximum(weight, 1e-9)), 0.0)
        rows.append(scan.row(*run, int(np.argmax(change))))
    return rows


@heuristic(ONE_THING)
def global_medians(scan: Scan) -> Rows:
    """The definition on medians of all days, weekdays ignored."""
    answer = scan.answer(global_median(scan.stages))
    return [scan.row_of(root) for root in answer.roots] if answer else []


@heuristic(ONE_THING)
def largest_contribution(scan: Scan) -> Rows:
    """Per run, the segment that adds most to the change."""
    rows: Rows = []
    for run in scan.runs():
        _, surplus, able = scan.over(*run)
        rows.append(scan.row(*run, int(np.argmax(np.where(able, np.abs(surplus), 0.0)))))
    return rows


@heuristic(ONE_THING)
def greedy_from_singles(scan: Scan) -> Rows:
    """Drills from every run that a single value shows to what stands out most, and again."""
    singles = scan.cube.fixed <= 1
    return [scan.row(*run, _drilled(scan, *run)) for run in scan.runs(singles)]


@heuristic(PARTIAL)
def greedy_from_runs(scan: Scan) -> Rows:
    """The same from every run that any segment shows."""
    return [scan.row(*run, _drilled(scan, *run)) for run in scan.runs()]


@heuristic(PARTIAL)
def largest_z(scan: Scan) -> Rows:
    """Per run, the segment of largest |z|."""
    return [scan.row(*run, int(np.argmax(scan.z(*run)))) for run in scan.runs()]


@heuristic(PARTIAL)
def largest_gain(scan: Scan) -> Rows:
    """Per run, the segment of largest gain."""
    rows: Rows = []
    for run in scan.runs():
        weight, surplus, able = scan.over(*run)
        gain = np.where(able, surplus * surplus / np.maximum(weight, 1e-9), 0.0)
        rows.append(scan.row(*run, int(np.argmax(gain))))
    return rows


def _drilled(scan: Scan, channel: Channel, first: int, stop: int) -> int:
    """The cell at which adding one more value no longer raises |z|."""
    z, cube = scan.z(channel, first, stop), scan.cube
    cell = cube.everybody
    while cube.fixed[cell] < 3:
        inside = np.flatnonzero(cube.within[:, cell] & (cube.fixed == cube.fixed[cell] + 1))
        best = int(inside[int(np.argmax(z[inside]))])
        if z[best] <= z[cell]:
            break
        cell = best
    return cell


def _from_log(scan: Scan) -> Iterator[Root]:
    """Roots as the change log would have them."""
    components = scan.episode.domain.components
    for entry in scan.episode.log:
        last = min(entry.day + 2, len(scan.episode.dates) - 1)
        if entry.component == TRACKING:
            yield Root(1, entry.day, last, entry.cell, LOSS)
        else:
            stage = components.index(entry.component)
            yield Root(stage, entry.day, last, entry.cell, RATE if stage else TRAFFIC)


def _moved_scopes(scan: Scan, *, neighbours: bool) -> Rows:
    """Scopes that moved within two days of their entry; one row for each run of a channel."""
    found: dict[tuple[int, int], tuple[float, dict[str, object]]] = {}
    for root in _from_log(scan):
        steps = range(1, 4) if root.kind == LOSS else (root.stage,)
        for step in steps:
            channel = scan.channels[step]
            moved = scan.moved(channel)
            for cell in _around(scan, root.cell) if neighbours else [root.cell]:
                for first, stop in runs_of(moved[cell]):
                    if not root.first <= first <= root.first + 2:
                        continue
                    z = float(scan.z(channel, first, stop)[cell])
                    row = scan.row(channel, first, min(stop, first + 7), cell)
                    if z > found.get((step, first), (0.0, {}))[0]:
                        found[step, first] = z, row
    return [row for _, row in found.values()]


def _around(scan: Scan, cell: int) -> list[int]:
    """A cell, and those that differ from it in one dimension."""
    differing = (scan.cube.values != scan.cube.values[cell]).sum(axis=1)
    return [int(each) for each in np.flatnonzero((differing <= 1) & (scan.cube.fixed <= 3))]
