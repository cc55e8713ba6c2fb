"""Meters of a service: the mean of about a minute, that is of the last two ticks."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from firewatch_env.engine.levers import felt
from firewatch_env.engine.motion import sized_at
from firewatch_env.engine.service import Call, Service
from firewatch_env.engine.world import World
from firewatch_env.evidence.measuring import factors, measured, one_at_most

_PODS = frozenset(("environment", "cold", "probes", "backoff", "rollout", "image"))
"""Families of levers that keep pods from being ready, whatever they are used for."""


class Meters(NamedTuple):
    """What is measured at a service; shares between 0 and 1, times in seconds."""

    own: float
    seen: float
    refused: float
    limited: float
    lost: float
    shed: float
    p50: float
    p95: float
    p99: float
    cpu: float
    memory: float
    active: int
    load_ratio: float
    ready: int
    pods: int
    status: str


@cache
def _told_by(name: str) -> tuple[str, str]:
    """A lever's family, where meters show the lever itself, and its channel."""
    head, _, channel = name.partition(".")
    return (head if head in _PODS or head in ("pods", "meter", "bots") else ""), channel


def read(service: Service) -> Meters:
    """A service's meters now."""
    if service.shown is None:
        service.shown = _read(service)
    found: Meters = service.shown
    return found


def _read(service: Service) -> Meters:
    now, was = service.now, service.was
    # A meter counts more than customers are concerned by: what no customer sees, and bots.
    meter = bots = 0.0
    ready_share = 1.0
    for name in service.levers:
        head, channel = _told_by(name)
        if not head:
            continue
        if head == "pods":
            ready_share *= 1 - service.features.get(channel, 0.0) * felt(service, name)
        elif head == "meter":
            meter = max(meter, felt(service, name))
        elif head == "bots":
            bots = max(bots, felt(service, name))
        else:
            ready_share *= 1 - felt(service, name)
    pods = int(service.pods * sized_at(service, service.clock) + 0.5)
    up = 0.0
    for part in service.parts:
        if not part.down:
            up += part.share * (0.75 if part.roll else 1.0)
    ready = int(pods * up * ready_share + 0.5)
    own = (now.own + was.own) / 2
    own = own if own > meter else meter
    seen = (now.seen + was.seen) / 2
    seen = 1 - (1 - seen) * (1 - bots)
    refused = 1 - (1 - (now.refused + was.refused) / 2) * (1 - bots)
    lat = (now.lat + was.lat) / 2
    tail = (now.tail + was.tail) / 2
    p99 = max(2.2 * lat, 1.6 * tail)
    if ready == 0 or seen >= 0.9:
        status = "down"
    elif seen >= 0.5 or p99 >= 2:
        status = "critical"
    elif seen >= 0.1 or p99 >= 0.5:
        status = "degraded"
    else:
        status = "healthy"
    failing, slow, busy, full = factors(service)
    failing /= 2
    cpu, memory = (now.use + was.use) / 2 * busy, now.memory * full
    return Meters(
        one_at_most(2 * own * failing),
        seen,
        one_at_most(2 * refused * failing),
        one_at_most((now.limited + was.limited) * failing),
        one_at_most((now.lost + was.lost) * failing),
        one_at_most((now.shed + was.shed) * failing),
        lat * slow,
        1.5 * lat * slow,
        p99 * slow,
        one_at_most(cpu),
        one_at_most(memory),
        int((now.busy + was.busy) / 2 * slow + 0.5),
        (now.load + was.load) / 2 / service.usual_load * busy,
        ready,
        pods,
        status,
    )


def read_all(world: World) -> dict[str, Meters]:
    """Every service's meters now, for the alerts and the observation of one tick."""
    return {service.name: read(service) for service in world.services}


def latency_ratio(service: Service) -> float:
    """Time that a request takes now, to the usual time, as it is measured."""
    return measured(service, "latency", service.lat / service.usual_lat)


def calls_ratio(call: Call) -> float:
    """Calls made for one request, to the usual number, as measured; retries are not among them."""
    return measured(call.caller, f"calls {call.callee.name}", call.calls / call.usual_calls)
