"""Meters of a service: the mean of about a minute, that is of the last two ticks."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from firewatch_env.engine.levers import felt
from firewatch_env.engine.motion import sized_at
from firewatch_env.engine.service import Call, Service
from firewatch_env.engine.world import World
from firewatch_env.evidence.measuring import all_factors, factors, measured

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


_meters = Meters._make  # at a quarter of the cost of a call with sixteen arguments


@cache
def _told_by(name: str) -> tuple[str, str]:
    """A lever's family, where meters show the lever itself, and its channel."""
    head, _, channel = name.partition(".")
    return (head if head in _PODS or head in ("pods", "meter", "bots") else ""), channel


def read(service: Service) -> Meters:
    """A service's meters now."""
    if service.shown is None:
        service.shown = _read(service, factors(service))
    found: Meters = service.shown
    return found


def _read(service: Service, errors: tuple[float, float, float, float]) -> Meters:
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
    own, seen, refused, limited, lost, shed, lat, tail, use, full, busy, load = service.now
    own1, seen1, refused1, limited1, lost1, shed1, lat1, tail1, use1, _, busy1, load1 = service.was
    own = (own + own1) / 2
    own = own if own > meter else meter
    seen = (seen + seen1) / 2
    seen = 1 - (1 - seen) * (1 - bots)
    refused = 1 - (1 - (refused + refused1) / 2) * (1 - bots)
    lat = (lat + lat1) / 2
    p99, slowest = 2.2 * lat, 1.6 * ((tail + tail1) / 2)
    p99 = p99 if p99 > slowest else slowest
    if ready == 0 or seen >= 0.9:
        status = "down"
    elif seen >= 0.5 or p99 >= 2:
        status = "critical"
    elif seen >= 0.1 or p99 >= 0.5:
        status = "degraded"
    else:
        status = "healthy"
    failing, slow, working, filling = errors
    failing /= 2
    own, refused = 2 * own * failing, 2 * refused * failing
    limited, lost = (limited + limited1) * failing, (lost + lost1) * failing
    shed = (shed + shed1) * failing
    use, full = (use + use1) / 2 * working, full * filling
    return _meters(
        (
            own if own < 1 else 1.0,
            seen,
            refused if refused < 1 else 1.0,
            limited if limited < 1 else 1.0,
            lost if lost < 1 else 1.0,
            shed if shed < 1 else 1.0,
            lat * slow,
            1.5 * lat * slow,
            p99 * slow,
            use if use < 1 else 1.0,
            full if full < 1 else 1.0,
            int((busy + busy1) / 2 * slow + 0.5),
            (load + load1) / 2 / service.usual_load * working,
            ready,
            pods,
            status,
        )
    )


def read_all(world: World) -> dict[str, Meters]:
    """Every service's meters now, for the alerts and the observation of one tick."""
    services = world.services
    for service, errors in zip(services, all_factors(services), strict=True):
        if service.shown is None:
            service.shown = _read(service, errors)
    return {service.name: service.shown for service in services}


def latency_ratio(service: Service) -> float:
    """Time that a request takes now, to the usual time, as it is measured."""
    return measured(service, "latency", service.lat / service.usual_lat)


def calls_ratio(call: Call) -> float:
    """Calls made for one request, to the usual number, as measured; retries are not among them."""
    return measured(call.caller, f"calls {call.callee.name}", call.calls / call.usual_calls)
