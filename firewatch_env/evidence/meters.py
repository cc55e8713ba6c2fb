"""Meters of a service: the mean of about a minute, that is of the last two ticks."""

from __future__ import annotations

from functools import cache, partial
from typing import NamedTuple

from firewatch_env.engine.levers import felt
from firewatch_env.engine.motion import sized_at
from firewatch_env.engine.service import Call, Service
from firewatch_env.engine.world import World
from firewatch_env.evidence.measuring import Factors, all_factors, factors, measured, one_at_most

_PODS = frozenset(("environment", "cold", "probes", "backoff", "rollout", "image"))
"""Families of levers that keep pods from being ready, whatever they are used for."""


class Meters(NamedTuple):
    """What is measured at a service in every tick; shares between 0 and 1, times in seconds."""

    own: float
    seen: float
    p50: float
    p95: float
    p99: float
    cpu: float
    memory: float
    active: int
    status: str
    errors: Factors


class Counters(NamedTuple):
    """What is read only where somebody looks: shares of the requests, and load to the usual."""

    refused: float
    limited: float
    lost: float
    shed: float
    load_ratio: float


_meters = partial(tuple.__new__, Meters)  # a call with twelve arguments takes thrice as long


@cache
def _told_by(name: str) -> tuple[str, str, str] | None:
    """A lever, its family and its channel, where meters show the lever itself."""
    head, _, channel = name.partition(".")
    shown = head in _PODS or head in ("pods", "meter", "bots")
    return (name, head, channel) if shown else None


def read(service: Service) -> Meters:
    """A service's meters now."""
    if service.shown is None:
        service.shown = _read(service, factors(service))
    found: Meters = service.shown
    return found


def count(service: Service) -> Counters:
    """A service's counters now."""
    now, was = service.now, service.was
    bots = _levers_told(service)[1]
    refused = 1 - (1 - (now.refused + was.refused) / 2) * (1 - bots)
    failing, _, working, _ = read(service).errors
    failing /= 2
    return Counters(
        one_at_most(2 * refused * failing),
        one_at_most((now.limited + was.limited) * failing),
        one_at_most((now.lost + was.lost) * failing),
        one_at_most((now.shed + was.shed) * failing),
        (now.load + was.load) / 2 / service.usual_load * working,
    )


def _levers_told(service: Service) -> tuple[float, float, float]:
    """Failures that no customer sees, bots that are refused, and the share of pods ready."""
    meter = bots = 0.0
    ready = 1.0
    if service.telling is None:
        service.telling = tuple(filter(None, map(_told_by, service.levers)))
    for name, head, channel in service.telling:
        value = felt(service, name)
        if head == "meter":
            meter = max(meter, value)
        elif head == "bots":
            bots = max(bots, value)
        else:
            ready *= 1 - (service.features.get(channel, 0.0) if head == "pods" else 1.0) * value
    return meter, bots, ready


def _read(service: Service, errors: Factors) -> Meters:
    # A meter counts more than customers are concerned by: what no customer sees, and bots.
    meter, bots, ready_share = _levers_told(service)
    # Pods are counted only where none may be ready.
    few = ready_share < 1 or service.sizing is not None
    for part in service.parts:
        if part.down or part.roll:
            few = True
    own, seen, _, _, _, _, lat, tail, use, full, busy, _ = service.now
    own1, seen1, _, _, _, _, lat1, tail1, use1, _, busy1, _ = service.was
    own = (own + own1) / 2
    own = own if own > meter else meter
    seen = (seen + seen1) / 2
    seen = 1 - (1 - seen) * (1 - bots)
    lat = (lat + lat1) / 2
    p99, slowest = 2.2 * lat, 1.6 * ((tail + tail1) / 2)
    p99 = p99 if p99 > slowest else slowest
    if seen >= 0.9 or (few and pods(service)[0] == 0):
        status = "down"
    elif seen >= 0.5 or p99 >= 2:
        status = "critical"
    elif seen >= 0.1 or p99 >= 0.5:
        status = "degraded"
    else:
        status = "healthy"
    failing, slow, working, filling = errors
    own = 2 * own * (failing / 2)
    use, full = (use + use1) / 2 * working, full * filling
    return _meters(
        (
            own if own < 1 else 1.0,
            seen,
            lat * slow,
            1.5 * lat * slow,
            p99 * slow,
            use if use < 1 else 1.0,
            full if full < 1 else 1.0,
            int((busy + busy1) / 2 * slow + 0.5),
            status,
            errors,
        )
    )


def pods(service: Service) -> tuple[int, int]:
    """How many of a service's pods are ready, and how many there are."""
    up = 0.0
    for part in service.parts:
        if not part.down:
            up += part.share * 0.75 if part.roll else part.share
    whole = int(service.pods * sized_at(service, service.clock) + 0.5)
    return int(whole * up * _levers_told(service)[2] + 0.5), whole


def read_all(world: World) -> dict[str, Meters]:
    """Every service's meters now, for the alerts and the observation of one tick."""
    unread = [service for service in world.services if service.shown is None]
    if unread:
        for service, errors in zip(unread, all_factors(unread), strict=True):
            service.shown = _read(service, errors)
    return {service.name: service.shown for service in world.services}


def forget(world: World) -> None:
    """Let go of what was read."""
    for service in world.services:
        service.shown = None


def latency_ratio(service: Service) -> float:
    """Time that a request takes now, to the usual time, as it is measured."""
    return measured(service, "latency", service.lat / service.usual_lat)


def calls_ratio(call: Call) -> float:
    """Calls made for one request, to the usual number, as measured; retries are not among them."""
    return measured(call.caller, f"calls {call.callee.name}", call.calls / call.usual_calls)
