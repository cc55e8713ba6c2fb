"""Other explanations of a run: the next best ones for acceptance, every one for a certificate."""

from __future__ import annotations

import numpy as np

from metric_tracker_rl.drilldown.channel import Channel, Explained, over_days
from metric_tracker_rl.drilldown.cube import MOST_FIXED, Bools, Ints

NEXT = 5
"""Next explanations of a run that acceptance tries."""
AT_ONCE = 64
"""Columns of segments and days that are summed together."""


def has_rivals(channel: Channel, found: Explained) -> bool:
    """Whether a single segment of nearly as much gain explains a run as well."""
    days = slice(found.first, found.stop)
    total, extra = over_days(channel.weight[:, days]), over_days(channel.surplus[:, days])
    gain = extra * extra / np.maximum(total, 1e-9)
    gain[list(found.cells)] = -1.0
    gain[channel.cube.fixed > MOST_FIXED] = -1.0
    mixed, _ = channel.mixes(total, extra)
    nearest = np.argsort(-gain, kind="stable")[:NEXT]
    return any(channel.left(days, [cell], bool(mixed[cell])) is not None for cell in nearest)


def explaining(channel: Channel, first: int, stop: int) -> list[int]:
    """Every segment that explains a run alone, as the kind that the rule makes it."""
    days, cells = slice(first, stop), channel.cube.candidates
    total, extra = over_days(channel.weight[:, days]), over_days(channel.surplus[:, days])
    mixed, _ = channel.mixes(total, extra)
    possible = cells[mixed[cells] | ~channel.moved_beside(days, cells).any(axis=0)]
    found: list[int] = []
    step = AT_ONCE // (stop - first)
    for place in range(0, len(possible), step):
        some = possible[place : place + step]
        found += some[_leave_nothing(channel, days, some, mixed[some])].tolist()
    return found


def _leave_nothing(channel: Channel, days: slice, cells: Ints, mixed: Bools) -> Bools:
    """Of which cells the change, taken out, leaves nothing that moved; see `Channel.left`."""
    length = days.stop - days.start
    factors = [
        channel.factor_of(days, [cell], mix)
        for cell, mix in zip(cells.tolist(), mixed.tolist(), strict=True)
    ]
    tiled = np.tile(np.arange(days.start, days.stop), len(cells))
    weight, surplus = channel.taken_out(tiled, np.concatenate(factors, axis=1))
    people = channel.people[:, tiled] if channel.number else weight
    by_day = channel.moved(weight, surplus, people).any(axis=0)
    parts = (channel.cube.cells, len(cells), length)
    weights, surpluses, entering = (each.reshape(parts) for each in (weight, surplus, people))
    total, extra = (over_days(each.transpose(0, 2, 1)) for each in (weights, surpluses))
    over_run = channel.moved(total, extra, entering.min(axis=2)).any(axis=0)
    return np.asarray(~(by_day.reshape(len(cells), length).any(axis=1) | over_run))
