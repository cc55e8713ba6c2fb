"""Telling a build of zone b from a change everywhere, and a leak from a heap that settles.

What zone b alone has off follows that zone's share of the requests. So figures of several ticks
are held against the shares that the zone had at those ticks, as far as meters can be trusted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from firewatch_env.engine.motion import EASE, WAVES, ZONE_B, factor
from firewatch_env.evidence.measuring import ERROR
from firewatch_env.policies.seen import Action, Notes, Seen, order
from openenv_kit.adding import add_up

_NEAR = 1.1  # the most by which readings of a heap that follows zone b differ from it
_SAME = 1.065  # the most by which two readings of one figure can differ
_MOVED = 1.08  # by how much a zone's share must have changed for a bet
_LEAST = 1.18  # the same, to tell what a heap does
_ONE_FAULT = 8  # services of an incident that one thing hurts customers in, mostly
_MOST = 7  # looks at the zones
_ROUNDED = 0.003  # the most by which rounding bends a share of a zone
_SETTLES = 0.05  # share of its growth that a heap that settles loses in a tick, at least


@dataclass(frozen=True, slots=True)
class Series:
    """A figure that every reply states.

    Attributes:
        read: finds it in a reply.
        span: ticks that it is the mean of.
        customers: it is about all of them, so that it changes with every repair.
    """

    read: Callable[[Seen], float]
    span: int = 1
    customers: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a service, the look that states it, and how it is read off.

    Attributes:
        series: what rises and falls with it and needs no look.
    """

    look: Action
    read: Callable[[Seen], float]
    series: Series | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """A figure as it was read at a tick; 0 where the look stated none."""

    tick: int
    value: float


Where = Literal["zone b", "everywhere", "settles"]
Telling = Generator[Action, Seen, tuple[Seen, Where]]
Tell = Callable[[Notes, str, Figure, Read, bool], Telling]
"""How to tell where a fault is: see `tell`, which is how the reference does it."""
Points = list[tuple[float, float]]
"""Readings of a figure, each with the zone's share at that time."""

by_burn = Series(lambda seen: seen.burn, customers=True)


def by_errors(service: str) -> Series:
    """The share of requests that end in 5xx there."""
    return Series(lambda seen: seen.errors(service), 2)


def read(seen: Seen, figure: Figure) -> Read:
    """The figure in the reply to its look."""
    return Read(seen.tick, figure.read(seen))


def tell(notes: Notes, root: str, figure: Figure, first: Read, grows: bool) -> Telling:
    """Where a fault is, from the figure and the zone's share, each as often as it takes.

    Args:
        notes: what was told so far.
        root: the service.
        figure: what to read again.
        first: the figure as it was read before.
        grows: whether it is the growth of a heap, which may end by itself.
    """
    reads = [first]
    shares = notes.shares.setdefault(root, {})
    seen = notes.replies[max(notes.replies)]
    for _ in range(_MOST):
        if shares:
            found = _judged(notes, figure, reads, shares, grows)
            if found is None and (grows or not told_freely(notes, figure.series)):
                seen = yield figure.look
                reads.append(read(seen, figure))
                if grows and reads[-1].value <= 0:
                    return seen, "settles"
                found = _judged(notes, figure, reads, shares, grows)
            if found is not None:
                return seen, found
        seen = yield order("inspect_cluster_topology", root)
    return seen, _judged(notes, figure, reads, shares, grows) or "everywhere"


def _judged(
    notes: Notes, figure: Figure, reads: list[Read], shares: dict[int, float], grows: bool
) -> Where | None:
    """What readings say so far, or None while they say nothing.

    How a zone's share rises and falls is known but for its period and phase, so that a few
    readings of it tell nearly what it is at other ticks. Whatever fits them has to agree.
    """
    waves = [
        [ZONE_B * factor(wave, tick) for tick in range(max(notes.replies) + 1)]
        for wave in WAVES
        if all(
            abs(share / (ZONE_B * factor(wave, tick)) - 1) < ERROR + _ROUNDED
            for tick, share in shares.items()
        )
    ]
    found = {_verdict(notes, figure, reads, dict(enumerate(wave)), grows) for wave in waves}
    if len(found) == 1 and None not in found:
        return found.pop()
    return _verdict(notes, figure, reads, shares, grows)


def _verdict(
    notes: Notes, figure: Figure, reads: list[Read], shares: dict[int, float], grows: bool
) -> Where | None:
    """The same, given the zone's share at some ticks."""
    looked = [(r.value, shares[r.tick]) for r in reads if r.value > 0 and r.tick in shares]
    if grows:
        return _heap(reads, looked)
    found = _where(looked)
    # Before the first change nothing has disturbed what replies stated.
    since = reads[0].tick if notes.changed >= 0 else 0
    stated = _where(_stated(notes, figure.series, shares, since))
    # What customers suffer from may be two things, but not if all of it is zone b's.
    if found is None and (stated == "zone b" or told_freely(notes, figure.series)):
        found = stated
    return found


def told_freely(notes: Notes, series: Series | None) -> bool:
    """Whether replies state the series, undisturbed by a change on its way or a second fault."""
    if series is None or not series.customers:
        return series is not None
    latest = max(notes.replies)
    return latest > notes.changed + EASE + 1 and len(notes.replies[latest].graph) <= _ONE_FAULT


def _stated(notes: Notes, series: Series | None, shares: dict[int, float], first: int) -> Points:
    """What replies stated of a figure since a tick, except while a change was on its way."""
    points: Points = []
    if series is None:
        return points
    for tick in sorted(shares):
        over = range(tick - series.span + 1, tick + 1)
        steady = tick > notes.changed + EASE or not series.customers
        steady &= tick >= first
        if steady and tick in notes.replies and all(each in shares for each in over):
            value = series.read(notes.replies[tick])
            if value > 0:
                points.append((value, add_up(shares[each] for each in over) / series.span))
    return points


def _spread(values: Sequence[float]) -> float:
    return max(values) / min(values) if values else 1.0


def _where(points: Points) -> Where | None:
    """What readings of a figure say, or None while zone b's share has hardly changed.

    Waiting to be sure costs more than being wrong now and then: what fits better is believed.
    """
    if _spread([share for _, share in points]) < _MOVED:
        return None
    follows = _spread([value / share for value, share in points])
    return "zone b" if follows < _spread([value for value, _ in points]) else "everywhere"


def _heap(reads: Sequence[Read], points: Points) -> Where | None:
    """What readings of a heap's growth say."""
    settled = [
        after.value <= before.value * (1 - _SETTLES * (after.tick - before.tick))
        for before, after in pairwise(reads)
    ]
    follows = _spread([value / share for value, share in points]) < _NEAR
    if len(reads) > 2 and all(settled) and not follows:
        return "settles"
    if _spread([share for _, share in points]) < _LEAST:
        return None
    if follows:
        return None if all(settled) else "zone b"
    return "everywhere" if _spread([each.value for each in reads]) < _SAME else None


def zone_shares(seen: Seen) -> list[float]:
    """Zone b's share of the requests, the latest tick first."""
    found = re.search(r"b gets ((?:[\d.]+ ?)+)", seen.feedback)
    return [float(each) for each in found[1].split()] if found else []


def in_logs(service: str, pattern: str, series: Series | None = None) -> Figure:
    """A figure of a service's log lines, in the pattern's first group."""

    def find(seen: Seen) -> float:
        told = re.findall(pattern, " ".join(seen.lines(service)))
        return float(told[-1]) if told else 0.0

    return Figure(order("fetch_logs", service), find, series)


def in_feedback(look: Action, pattern: str, usual: float = 0.0) -> Figure:
    """How far a figure of an answer is from its usual value."""

    def find(seen: Seen) -> float:
        told = re.search(pattern, seen.feedback)
        return abs(float(told[1]) - usual) if told else 0.0

    return Figure(look, find)
