"""What is measured at a service in each tick, and how its failures are split."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from firewatch_env.engine.families import UNNOTICED, no_customers
from firewatch_env.engine.levers import family, felt
from firewatch_env.engine.motion import ZONE_B, sized_at, zone_share
from firewatch_env.engine.service import Call, Release, Service
from firewatch_env.engine.world import World
from firewatch_env.evidence.signs import LOST, SIGNS, stranger_of
from openenv_kit.float_sum import sum_left_to_right

UNREADY = frozenset(("environment", "cold", "probes", "backoff", "rollout", "pods"))
"""Families of levers that keep pods from being ready."""
MISSES = ("hits", "cold_cache", "small_cache")
"""Families of levers that make a cache miss."""

# From which value on a meter is unusual.
ERRORS, SLOW, HIGH_CPU, HIGH_MEMORY = 0.05, 0.5, 0.95, 0.7
# From which value on it is critical; the first is the least that is printed as 50 %.
MOST_FAIL, VERY_SLOW, NEARLY_FULL = 0.495, 2.0, 0.9
ALL_FAIL = 0.895  # from which share on, printed as 90 %, a service is down for those who call it
POOR_HITS = 0.8
WAITING = 60
"""Seconds of the usual load that wait in a pipeline before it is called degraded."""
FROM_CALLEES = TIMEOUTS, BELOW = "callees' timeouts", "callees' errors"
"""How requests end badly for what callees did; all other ways are failures of its own."""
_IDLE = 0.05  # of the usual load; what is less is printed as none
WINDOW = 10  # ticks: alerts on a rate look at five minutes
RECENT = 20
"""Ticks for which it is mentioned that pods ran out of memory."""


class Meters(NamedTuple):
    """What probes and the service's own counters show; shares between 0 and 1, seconds."""

    own: float
    seen: float
    p50: float
    p95: float
    p99: float
    cpu: float
    memory: float
    active: int
    status: str


_meters = partial(tuple.__new__, Meters)  # a call with nine arguments takes thrice as long


def read(service: Service) -> Meters:
    """A service's meters now."""
    own, seen, _, _, _, shed, lat, tail, use, memory, busy, _ = service.now
    few = service.sizing is not None
    # A cache that misses, a pipeline that lags and an open breaker fail health checks.
    poor = service.hits < POOR_HITS or service.backlog > WAITING * service.usual_load
    for name in service.levers:
        head = family(name)
        if head == "meter":
            own = 1 - (1 - own) * (1 - no_customers(service))
        elif head == "bots":  # refused before anything else but for what is shed
            others = 1 - no_customers(service)
            own = shed + (own - shed) * others
            seen = 1 - (1 - seen) * others
        elif head in UNREADY:
            few = True
        elif head == "fallback":
            poor = True
    p99 = 2.2 * lat if 2.2 * lat > 1.6 * tail else 1.6 * tail
    # Most are up, and a generator takes longer than all the rest.
    dead = service.parts[0].down and all(part.down for part in service.parts)
    if seen >= 0.9 or dead or (few and pods(service)[0] == 0):
        status = "down"
    elif seen >= 0.5 or p99 >= 2:
        status = "critical"
    elif seen >= 0.1 or p99 >= SLOW or poor:
        status = "degraded"
    else:
        status = "healthy"
    return _meters(
        (
            own, seen, lat, 1.5 * lat, p99, use if use < 1 else 1.0,
            memory if memory < 1 else 1.0, int(busy + 0.5), status,
        )
    )  # fmt: skip


def severity(now: Meters, fail: float, ready: float) -> str:
    """How bad a service is; `fail` and `ready` are shares of its requests and pods."""
    if fail >= ALL_FAIL or now.status == "down":
        return "down"
    bad = fail >= MOST_FAIL or now.p99 >= VERY_SLOW or now.memory >= NEARLY_FULL
    return "critical" if bad or ready < 0.5 else "warning"


def asked(service: Service) -> float:
    """Requests a second from everybody, also from a client that is no customer."""
    return service.load + service.stranger[0]


def idle(service: Service) -> bool:
    """Whether so few requests arrive that shares of them say little."""
    return asked(service) < _IDLE * service.usual_load


def pods(service: Service) -> tuple[int, int]:
    """How many of a service's pods are ready, and how many there are."""
    up = 0.0
    for part in service.parts:
        if not part.down and service.lat:  # nothing took any time: all were down in this tick
            up += part.share * 0.75 if part.roll else part.share
    for name in service.levers:
        if family(name) in UNREADY:
            channel = name.partition(".")[2]
            up *= 1 - (service.features.get(channel, 0.0) if channel else 1.0) * felt(service, name)
    whole = int(service.pods * sized_at(service, service.clock) + 0.5)
    return int(whole * up + 0.5), whole


def read_all(world: World) -> dict[str, Meters]:
    """Every service's meters now."""
    return {service.name: read(service) for service in world.services}


def latency_ratio(service: Service) -> float:
    """Time that a request takes now, to the usual time."""
    return service.lat / service.usual_lat


def releases(service: Service) -> Iterator[tuple[str, Release]]:
    """Its last build and its last revision, as far as there are any."""
    for which in ("build", "revision"):
        release = getattr(service, which)
        if release is not None:
            yield which, release


def by_status(service: Service) -> dict[str, float]:
    """Share of all requests sent to a service that end badly, by how."""
    now = service.now
    spoilt = sum_left_to_right(
        [part.weight * part.err for part in service.parts]
    )  # by a zone's pods
    stray = no_customers(service)
    own = 1 - (1 - service.err) * (1 - spoilt) * (1 - stray * ("meter" in service.levers))
    refused = 1 - (1 - now.refused) * (1 - stray * ("bots" in service.levers))
    # In this order: what one thing ends does not reach the next.
    found: dict[str, float] = {}
    left = 1.0
    for status, share in (
        (LOST, now.lost), ("503", now.shed), ("403", refused), ("429", now.limited), ("500", own),
    ):  # fmt: skip
        found[status] = left * share
        left *= 1 - share
    fine = timely = 1.0
    for call in service.calls:
        if call.fail and not call.optional:
            many = min(call.calls, 1 / call.fail)
            fine *= 1 - many * call.fail
            timely *= 1 - many * timed_out(call)
    found |= {TIMEOUTS: left * (1 - timely), BELOW: left * (timely - fine)}
    return {status: share for status, share in found.items() if share >= 0.005}


def split(service: Service) -> dict[str, dict[str, float]]:
    """Failures that arise in a service itself by version, zone, feature and client.

    Shares are of each one's requests; what overload sheds is counted by zone and client only.
    """
    everywhere, in_b, newer = 1.0, 1.0, 1.0
    features = dict.fromkeys(service.features, 1.0)
    for name in service.levers:
        head = family(name)
        sign = SIGNS.get(head)
        if sign is None or not sign.status or head in UNNOTICED:
            continue
        channel = name.partition(".")[2]
        value = felt(service, name)
        if head == "limit":
            value = min(service.now.limited / service.features.get(channel, 1.0), 1.0)
        elif head == "quota":
            value = service.now.limited
        part = service.features.get(channel, 0.0) if channel else 1.0
        reach = zone_share(service, service.clock) if sign.zone_b else 1.0
        for feature in features:
            if channel in ("", feature):
                features[feature] *= 1 - value * reach
        if sign.zone_b:
            in_b *= 1 - value
        elif name in service.staged:
            newer *= 1 - part * service.levers[name]
        elif head in ("canary", "mixed"):
            newer *= 1 - min(service.levers[name] * 5, 1.0)
        else:
            everywhere *= 1 - part * value
    versions, zones = {}, {}
    build, b_asked = service.build, zone_share(service, service.clock) > 0
    if build is not None and (newer < 1 or (build.staged and "build" not in service.rolled)):
        versions = {build.before: 1 - everywhere}
        if b_asked or not build.staged:  # what gets no requests has no failures
            versions[build.version] = 1 - everywhere * newer
    a, b = in_zones(service, "shed")
    if in_b < 1 or a != b or (newer < 1 and build is not None and build.staged):
        zones = {"a": 1 - everywhere * (1 - a)}
        if b_asked:
            zones["b"] = 1 - everywhere * in_b * newer * (1 - b)
    by_client = {call.caller.name: service.now.seen for call in service.callers if not call.breaker}
    if (fails := service.stranger[1]) > 0:
        by_client[stranger_of(service)] = 1 - (1 - fails) * (1 - service.now.seen)
    failing = {name: 1 - ok for name, ok in features.items()}
    return {"version": versions, "zone": zones, "feature": failing, "client": by_client}


def in_zones(service: Service, what: str) -> tuple[float, float]:
    """`use` or `shed` of its pods in zones a and b; equal where zones make no difference."""
    if len(service.parts) > 1 and service.parts[1].share == ZONE_B:
        a, b = (getattr(part, what) for part in service.parts)
        return a, b
    return 0.0, 0.0


def by_zone(service: Service, lever: str, now: float, form: str) -> str:
    """A figure in each zone, where only zone b's pods run the build that moved a lever."""
    for name in sorted(service.staged & service.levers.keys()):
        if name.startswith(lever) and (share := zone_share(service, service.clock)):
            part = service.features.get(name.partition(".")[2], 1.0)
            a = now / (1 + part * (felt(service, name) - 1))
            return f" (zone a {form.format(a)}, zone b {form.format(a + (now - a) / share)})"
    return ""


def since(world: World, service: Service) -> int | None:
    """The tick from which an alert on the failures of five minutes has fired; None if it does not.

    Such an alert looks once a minute, at the end of it; before the history began all was well.
    """
    at, fired = world.services.index(service), None
    history = [shares[at] for shares in world.history or ()]
    for end in range(len(history) - 1 - world.tick % 2, 0, -2):
        if sum_left_to_right(history[max(end - WINDOW, 0) : end]) < ERRORS * WINDOW:
            break
        fired = world.first + end
    return fired


def seconds(value: float) -> str:
    """A duration as people write it."""
    return f"{value:.1f} s" if value >= 1 else f"{value * 1000:.0f} ms"


def _tried(call: Call) -> tuple[float, float, float]:
    """Shares of a call's attempts that are late and that are tried again, and what tries leave."""
    late = (1 - call.callee.soft - call.callee.hard) * call.late
    again = call.callee.soft + late  # an exception or a refusal is not tried again
    return late, again, again ** (call.tries - 1) if again > 1e-6 else 1.0


def timed_out(call: Call) -> float:
    """Share of all calls that end too late, after all their tries."""
    late, _, soft = _tried(call)
    return soft * late


def ways(call: Call) -> dict[str, float]:
    """How a call fails, after all its tries: shares of all calls."""
    return {f"timed out after {seconds(call.timeout)}": timed_out(call)} | _answered(call)


def _answered(call: Call) -> dict[str, float]:
    """The same without what comes too late: what the caller hears, if anything."""
    callee, now = call.callee, call.callee.now
    _, again, soft = _tried(call)
    hard = (call.fail - soft * again) / callee.hard if callee.hard else 0.0
    heard = hard * (1 - callee.soft)
    refused, limited = heard * now.refused, heard * (1 - now.refused) * now.limited
    found = {
        LOST: soft * now.lost,
        "503": soft * (callee.soft - now.lost),
        "403": refused,
        "429": limited,
    }
    failed = hard * callee.hard - refused - limited
    passed = _passed_on(callee) if callee.masks else {}
    whole = sum_left_to_right(passed.values())
    if not whole:
        return found | {"500": failed}
    for how, share in passed.items():
        found[how] = found.get(how, 0.0) + failed * share / whole
    return found


def _passed_on(proxy: Service) -> dict[str, float]:
    """How a proxy's requests fail for what it or its callees do, by the status it answers with."""
    ended = by_status(proxy)
    below = dict[str, float]()
    for call in proxy.calls:
        if call.fail and not call.optional:
            many = min(call.calls, 1 / call.fail)
            for how, share in _answered(call).items():
                status = "502" if how == LOST else how
                below[status] = below.get(status, 0.0) + many * share
    whole = sum_left_to_right(below.values()) or 1.0
    found = {how: ended.get(BELOW, 0.0) * share / whole for how, share in below.items()}
    found["500"] = found.get("500", 0.0) + ended.get("500", 0.0)
    found["504"] = found.get("504", 0.0) + ended.get(TIMEOUTS, 0.0)
    return found


def failing(call: Call) -> str:
    """Share of the calls that fail, and how, the most frequent way first."""
    found = sorted(ways(call).items(), key=lambda way: -way[1])
    said = [f"{way} {share:.0%}" for way, share in found if share >= 0.01]
    how = " + ".join(said) if len(said) > 1 else found[0][0]
    again = call.tries > 1 and _tried(call)[1] >= 0.01
    tried = f" after {call.tries} tries" if again else ""
    return f"{call.fail:.0%} of calls fail{tried} ({how})"
