"""Where an incident takes place: the root, the way to it from customers, and neighbours."""

from __future__ import annotations

from dataclasses import dataclass

from firewatch_env.engine.catalogue import (
    BEHIND,
    CALLERS,
    CATALOGUE,
    ENTRIES,
    OPTIONAL_CALLS,
    features_of,
)
from firewatch_env.tasks.causes import Cause
from firewatch_env.tasks.levels import Level
from openenv_kit.bitstream import BitStream


@dataclass(frozen=True, slots=True)
class Place:
    """Services of a task.

    Attributes:
        way: from the entry to the root, both included.
        services: all of them, the way included.
        callee: of the root, the one that the cause is about, if it is about one.
    """

    way: tuple[str, ...]
    services: tuple[str, ...]
    callee: str | None

    @property
    def root(self) -> str:
        return self.way[-1]


class NoPlace(Exception):
    """These draws lead to no place that fits."""


def find_place(cause: Cause, level: Level, draws: BitStream) -> Place:
    """A place for a cause.

    Raises:
        NoPlace: the drawn root does not fit the level.
    """
    roots = [name for name in CATALOGUE if fits(cause, name)]
    root = draws.choose(roots)
    way = _way_up(root, level.depth[1], draws)
    if len(way) < level.depth[0]:
        raise NoPlace(root)
    callee = None
    names = set(way)
    if cause.about_callee:
        callees = [
            name
            for name in concerned(cause, root)
            if not (cause.trigger and CATALOGUE[name].kind == "job")
        ]
        if not callees:
            raise NoPlace(root)
        callee = draws.choose(callees)
        names.add(callee)
    if CATALOGUE[root].kind == "cache":
        behind = [s for s, cache in BEHIND.items() if cache == root and s in _callees(way[-2])]
        if not behind:
            raise NoPlace(root)
        names.add(behind[0])
    _add_neighbours(names, level.services, draws)
    return Place(tuple(way), tuple(sorted(names)), callee)


def _callees(name: str) -> list[str]:
    return [callee for callee, _ in CATALOGUE[name].calls]


def fits(cause: Cause, name: str) -> bool:
    """Whether a cause can befall a service."""
    if CATALOGUE[name].kind not in cause.kinds or name in ENTRIES:
        return False
    if CATALOGUE[name].kind == "cache":
        return name in BEHIND.values()
    return not cause.about_callee or bool(concerned(cause, name))


def required(service: str) -> list[str]:
    """Callees that a service's requests cannot do without."""
    return [
        callee
        for callee, calls in CATALOGUE[service].calls
        if calls >= 0.4 and (service, callee) not in OPTIONAL_CALLS
    ]


def concerned(cause: Cause, service: str) -> list[str]:
    """Those of them that a cause at this service may be about."""
    stores = cause.lever == "queries"
    return [name for name in required(service) if not stores or CATALOGUE[name].kind == "store"]


def _way_up(root: str, longest: int, draws: BitStream) -> list[str]:
    """From an entry down to the root, along calls that requests cannot do without."""
    way = [root]
    while way[0] not in ENTRIES:
        callers = [name for name in CALLERS[way[0]] if (name, way[0]) not in OPTIONAL_CALLS]
        if not callers:
            raise NoPlace(root)
        way.insert(0, draws.choose(callers))
    if len(way) > longest:
        raise NoPlace(root)
    return way


def _add_neighbours(names: set[str], size: int, draws: BitStream) -> None:
    while len(names) < size:
        near = sorted({c for name in names for c in _callees(name)} - names)
        if not near:
            return
        names.add(draws.choose(near))


def draw_features(services: tuple[str, ...], draws: BitStream) -> dict[str, dict[str, float]]:
    """What each service's requests are about: one feature for most, one for some, two for few."""
    result = {}
    for name in services:
        four = draws.shuffled_copy(features_of(name))[:4]
        first = draws.uniform(0.56, 0.66)
        second = draws.uniform(0.26, 0.32)
        third = (1 - first - second) * 0.8
        shares = [first, second, third, 1 - first - second - third]
        result[name] = dict(sorted(zip(four, shares, strict=True)))
    return result
