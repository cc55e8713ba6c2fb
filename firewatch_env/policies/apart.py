"""Telling a build of zone b from a change everywhere, and a leak from a heap that settles.

What zone b alone has off follows that zone's share of the requests. So a figure is read twice,
some ticks apart, and held against the shares that the zone had at those ticks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from firewatch_env.policies.seen import Action, Seen, order

_NEAR = 0.06
_LEAST = 0.12  # by how much a zone's share must have changed to tell anything
_MOST = 5  # looks
_SETTLES = 2  # ticks after which a heap that settles grows clearly less


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a service, the look that states it, and how it is read off."""

    look: Action
    read: Callable[[Seen], float]


@dataclass(frozen=True, slots=True)
class Read:
    """A figure as it was read at a tick; 0 where the look stated none."""

    tick: int
    value: float


Where = Literal["zone b", "everywhere", "settles"]
Telling = Generator[Action, Seen, tuple[Seen, Where]]
Tell = Callable[[str, Figure, Read, bool], Telling]
"""How to tell where a fault is: see `tell`, which is how the reference does it."""


def read(seen: Seen, figure: Figure) -> Read:
    """The figure in the reply to its look."""
    return Read(seen.tick, figure.read(seen))


def tell(root: str, figure: Figure, first: Read, grows: bool) -> Telling:
    """Where a fault is, from the figure and the zone's share, each as often as it takes.

    Args:
        root: the service.
        figure: what to read again.
        first: the figure as it was read before.
        grows: whether it is the growth of a heap, which may end by itself.
    """
    reads = [first]
    shares: dict[int, float] = {}
    for _ in range(_MOST):
        seen = yield figure.look
        reads.append(read(seen, figure))
        while grows and seen.tick - first.tick < _SETTLES:
            seen = yield figure.look
            reads.append(read(seen, figure))
        if grows and reads[-1].value <= 0:
            return seen, "settles"
        seen = yield order("inspect_cluster_topology", root)
        shares |= {seen.tick - back: share for back, share in enumerate(zone_shares(seen))}
        known = [each for each in reads if each.value > 0 and shares.get(each.tick, 0) > 0]
        found = _where(known, shares, grows)
        if found is not None:
            return seen, found
    return seen, "everywhere"


def _where(reads: list[Read], shares: dict[int, float], grows: bool) -> Where | None:
    """What the readings say, or None if they could be of either."""
    used = [shares[each.tick] for each in reads]
    if not used or max(used) / min(used) < 1 + _LEAST:
        return None
    parts = [each.value / share for each, share in zip(reads, used, strict=True)]
    follows = max(parts) / min(parts) < 1 + _NEAR
    if not grows:
        return "zone b" if follows else "everywhere"
    values = [each.value for each in reads]
    if max(values) / min(values) < 1 + _NEAR:
        return "everywhere"
    # A heap that settles grows less in every tick.
    falls = all(after <= before for before, after in pairwise(values))
    if follows:
        return None if falls else "zone b"
    return "settles"


def zone_shares(seen: Seen) -> list[float]:
    """Zone b's share of the requests, the latest tick first."""
    found = re.search(r"b gets ((?:[\d.]+ ?)+)", seen.feedback)
    return [float(each) for each in found[1].split()] if found else []


def in_logs(service: str, pattern: str) -> Figure:
    """A figure of a service's log lines, in the pattern's first group."""

    def find(seen: Seen) -> float:
        told = re.findall(pattern, " ".join(seen.lines(service)))
        return float(told[-1]) if told else 0.0

    return Figure(order("fetch_logs", service), find)


def in_feedback(look: Action, pattern: str, usual: float = 0.0) -> Figure:
    """How far a figure of an answer is from its usual value."""

    def find(seen: Seen) -> float:
        told = re.search(pattern, seen.feedback)
        return abs(float(told[1]) - usual) if told else 0.0

    return Figure(look, find)
