"""What levers that are off come to, and the registry that says how each family does it.

A lever's name is a family, or a family and a channel joined by a dot: a feature of the service
("cpu.bulk": requests about bulk orders) or a callee ("timeout.stock-db"). How much a lever
matters depends on how much of the load goes through its channel, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

from firewatch_env.engine.catalogue import USUAL_HITS
from firewatch_env.engine.service import Service

Apply = Callable[["Effect", Service, str, float], None]


_NONE: Mapping[str, float] = {}


class Effect:
    """What all levers of a service come to; products of what remains.

    Its own dictionary holds only what a lever has set: so it is made quickly, and it is known
    what each lever has a say in.
    """

    ok: float = 1.0
    allowed: float = 1.0
    path: float = 1.0
    ready: float = 1.0
    cpu: float = 1.0
    cores: float = 1.0
    slots: float = 1.0
    limit: float = 0.0
    grow: float = 0.0
    grow_cap: float = 9.0
    heap: float = 0.0
    orphans: float = 0.0
    hits: float = USUAL_HITS
    stalled: float = 1.0
    hot: float = 0.0
    zone_lost: float = 0.0
    zone_err: float = 0.0
    zone_steal: float = 0.0
    calls: Mapping[str, float] = _NONE
    timeouts: Mapping[str, float] = _NONE
    tries: Mapping[str, float] = _NONE
    breakers: Set[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Lever:
    """A family of levers: the value on an ordinary day, and how one that is off takes effect."""

    name: str
    usual: float
    apply: Apply


LEVERS: dict[str, Lever] = {}


def lever(name: str, usual: float = 0.0) -> Callable[[Apply], Apply]:
    """Register how a family of levers takes effect."""

    def register(apply: Apply) -> Apply:
        LEVERS[name] = Lever(name, usual, apply)
        return apply

    return register


def family(name: str) -> str:
    """The part of a lever's name before its channel."""
    return name.partition(".")[0]


def share(service: Service, channel: str) -> float:
    """Share of the service's requests that use a channel; 1 for a lever without one."""
    return service.features.get(channel, 0.0) if channel else 1.0
