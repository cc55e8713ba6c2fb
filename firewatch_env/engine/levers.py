"""Levers: the settings and circumstances that can be off, and what follows from each.

A lever's name is a family, or a family and a channel joined by a dot: a feature of the service
("cpu.bulk": requests about bulk orders) or a callee ("timeout.stock-db"). How much a lever
matters depends on how much of the load goes through its channel, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from firewatch_env.engine.catalogue import BEHIND, USUAL_HITS
from firewatch_env.engine.service import ZONE_B, Service

Apply = Callable[["Effect", Service, str, float], None]


@dataclass(slots=True)
class Effect:
    """What all levers of a service come to; products of what remains."""

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
    calls: dict[str, float] = field(default_factory=dict)
    timeouts: dict[str, float] = field(default_factory=dict)
    tries: dict[str, float] = field(default_factory=dict)
    breakers: set[str] = field(default_factory=set)


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


# Requests that fail or are refused.


@lever("errors")
def _errors(e: Effect, s: Service, channel: str, value: float) -> None:
    e.ok *= 1 - share(s, channel) * value


def _fails(name: str) -> None:
    """A lever without channel: the share of requests that it ends in an exception."""

    @lever(name)
    def apply(e: Effect, s: Service, channel: str, value: float) -> None:
        e.ok *= 1 - value


for _name in (
    "stale_build",
    "stale_revision",
    "leaders",
    "bad_keys",
    "bad_cache",
    "bad_process",
    "canary",
    "mixed",
):
    _fails(_name)


@lever("refuse")
def _refuse(e: Effect, s: Service, channel: str, value: float) -> None:
    e.allowed *= 1 - share(s, channel) * value


def _refuses(name: str) -> None:
    @lever(name)
    def apply(e: Effect, s: Service, channel: str, value: float) -> None:
        e.allowed *= 1 - value


for _name in ("clock", "role"):
    _refuses(_name)


@lever("limit", 9.0)
def _limit(e: Effect, s: Service, channel: str, value: float) -> None:
    """Requests a second that a feature may have, to the usual load of the whole service."""
    over = share(s, channel) - value
    e.limit += over if over > 0 else 0.0


@lever("quota", 9.0)
def _quota(e: Effect, s: Service, channel: str, value: float) -> None:
    e.limit += 1 - value if value < 1 else 0.0


# Calls that never arrive.


@lever("path")
def _path(e: Effect, s: Service, channel: str, value: float) -> None:
    e.path *= 1 - share(s, channel) * value


def _loses(name: str) -> None:
    @lever(name)
    def apply(e: Effect, s: Service, channel: str, value: float) -> None:
        e.path *= 1 - value


for _name in ("denied", "certificate", "endpoint", "stale_instances", "proxies", "slots_switch"):
    _loses(_name)


@lever("zone_lost")
def _zone_lost(e: Effect, s: Service, channel: str, value: float) -> None:
    e.zone_lost = value


@lever("zone_lag")
def _zone_lag(e: Effect, s: Service, channel: str, value: float) -> None:
    e.zone_err = 1 - (1 - e.zone_err) * (1 - value)


@lever("minority")
def _minority(e: Effect, s: Service, channel: str, value: float) -> None:
    e.zone_err = 1 - (1 - e.zone_err) * (1 - value)


@lever("zone_fails")
def _zone_fails(e: Effect, s: Service, channel: str, value: float) -> None:
    """Hardware of zone b that spoils answers; no meter says so."""
    e.zone_err = 1 - (1 - e.zone_err) * (1 - value)


@lever("neighbour")
def _neighbour(e: Effect, s: Service, channel: str, value: float) -> None:
    e.zone_steal = value


# Capacity.


@lever("cpu", 1.0)
def _cpu(e: Effect, s: Service, channel: str, value: float) -> None:
    e.cpu += share(s, channel) * (value - 1)


@lever("logging")
def _logging(e: Effect, s: Service, channel: str, value: float) -> None:
    e.cpu += value


@lever("queries", 1.0)
def _queries(e: Effect, s: Service, channel: str, value: float) -> None:
    """Queries sent for one request, to each store that the service calls."""
    for call in s.calls:
        if call.callee.kind == "store":
            e.calls[call.callee.name] = value


@lever("cpu_limit", 1.0)
def _cpu_limit(e: Effect, s: Service, channel: str, value: float) -> None:
    e.cores *= value


@lever("slots", 1.0)
def _slots(e: Effect, s: Service, channel: str, value: float) -> None:
    """Size of a feature's pool to its usual size; a pool binds as its feature is used."""
    room = value / share(s, channel) if share(s, channel) > 0 else 9.0
    if room < e.slots:
        e.slots = room


def _holds(name: str) -> None:
    """A lever without channel: the share of all slots that it makes useless."""

    @lever(name)
    def apply(e: Effect, s: Service, channel: str, value: float) -> None:
        if 1 - value < e.slots:
            e.slots = 1 - value


for _name in ("blocked", "streams", "reconnects"):
    _holds(_name)


@lever("pods")
def _pods(e: Effect, s: Service, channel: str, value: float) -> None:
    """Share of the pods that serve a feature and do not become ready."""
    e.ready *= 1 - share(s, channel) * value


def _unready(name: str) -> None:
    @lever(name)
    def apply(e: Effect, s: Service, channel: str, value: float) -> None:
        e.ready *= 1 - value


for _name in ("environment", "cold", "probes", "backoff", "rollout", "image"):
    _unready(_name)


@lever("hot")
def _hot(e: Effect, s: Service, channel: str, value: float) -> None:
    """Extra share of the requests that one pod in ten gets."""
    e.hot += share(s, channel) * value


@lever("grow")
def _grow(e: Effect, s: Service, channel: str, value: float) -> None:
    """Share of the memory limit that a tick at the usual load adds."""
    e.grow += share(s, channel) * value


@lever("leak")
def _leak(e: Effect, s: Service, channel: str, value: float) -> None:
    """Memory that stuck threads hold and go on taking until the pods are replaced."""
    e.grow += value


@lever("fill")
def _fill(e: Effect, s: Service, channel: str, value: float) -> None:
    """Memory that builds up within some ticks of a start, and then no more."""
    e.grow += share(s, channel) * value / 5
    e.grow_cap = share(s, channel) * value


@lever("heap")
def _heap(e: Effect, s: Service, channel: str, value: float) -> None:
    e.heap += share(s, channel) * value


@lever("orphans")
def _orphans(e: Effect, s: Service, channel: str, value: float) -> None:
    e.orphans = value


# Meters alone: nothing that customers notice.


def _unnoticed(name: str) -> None:
    @lever(name)
    def apply(e: Effect, s: Service, channel: str, value: float) -> None:
        """Read by the evidence only."""


for _name in ("meter", "bots"):
    _unnoticed(_name)


# Calls.


@lever("calls", 1.0)
def _calls(e: Effect, s: Service, channel: str, value: float) -> None:
    e.calls[channel] = value


@lever("timeout", 1.0)
def _timeout(e: Effect, s: Service, channel: str, value: float) -> None:
    e.timeouts[channel] = value


@lever("tries", 1.0)
def _tries(e: Effect, s: Service, channel: str, value: float) -> None:
    e.tries[channel] = value


@lever("fallback")
def _fallback(e: Effect, s: Service, channel: str, value: float) -> None:
    e.breakers.add(channel)


@lever("hits", 1.0)
def _hits(e: Effect, s: Service, channel: str, value: float) -> None:
    e.hits *= 1 - share(s, channel) * (1 - value)


@lever("cold_cache", 1.0)
def _cold_cache(e: Effect, s: Service, channel: str, value: float) -> None:
    e.hits *= value


@lever("small_cache", 1.0)
def _small_cache(e: Effect, s: Service, channel: str, value: float) -> None:
    e.hits *= value


@lever("miss_cap", 9.0)
def _miss_cap(e: Effect, s: Service, channel: str, value: float) -> None:
    """Set by an action: at most so many misses, to the usual number; the rest go stale."""


@lever("pipeline", 1.0)
def _pipeline(e: Effect, s: Service, channel: str, value: float) -> None:
    e.stalled *= value


def derive(service: Service, tick: int) -> None:
    """Bring everything that follows from a service's levers up to date.

    Args:
        service: the service whose levers may have changed.
        tick: now; levers with a pulse count only within it.
    """
    e = Effect()
    for name in sorted(service.levers):
        pulse = service.pulses.get(name)
        if pulse is not None and (tick - pulse[2]) % pulse[0] >= pulse[1]:
            continue
        head, _, channel = name.partition(".")
        LEVERS[head].apply(e, service, channel, service.levers[name])
    service.err = 1 - e.ok
    service.refuse = 1 - e.allowed
    service.path = 1 - e.path
    service.limit = (1 - e.limit) * service.usual_load if e.limit > 0 else 0.0
    service.cpu = service.work * e.cpu
    service.cores = service.usual_cores * e.cores * e.ready * service.size
    service.slots = service.usual_slots * e.slots * e.ready * service.size
    service.grow, service.grow_cap = e.grow, e.grow_cap
    service.heap, service.orphans = e.heap, e.orphans
    service.hits, service.stalled = e.hits, e.stalled
    _derive_calls(service, e)
    _derive_parts(service, e)


def _derive_calls(service: Service, e: Effect) -> None:
    for call in service.calls:
        name = call.callee.name
        call.calls = call.usual_calls * e.calls.get(name, 1.0) * call.ratio
        call.timeout = call.usual_timeout * e.timeouts.get(name, 1.0)
        call.tries = int(call.usual_tries * e.tries.get(name, 1.0))
        # Ordinary retries wait, a policy that has been changed does not.
        call.pace = call.backoff or call.tries <= call.usual_tries
        if call.single:
            call.tries = 1
        elif call.backoff and call.tries > 2:
            call.tries = 2
        if name in e.breakers:
            call.breaker = True
    if service.kind == "cache":
        misses = (1 - service.hits) / (1 - USUAL_HITS)
        cap = service.levers.get("miss_cap", 9e9)
        stores = [store for store, cache in BEHIND.items() if cache == service.name]
        for caller in service.callers:
            for call in caller.caller.calls:
                if call.callee.name in stores:
                    call.ratio, before = min(misses, cap), call.ratio
                    call.calls = call.calls / before * call.ratio
        # Beyond the cap, readers are answered without the fresh value.
        if misses > cap:
            service.err = 1 - (1 - service.err) * (1 - 0.5 * (misses - cap) * (1 - USUAL_HITS))


def _derive_parts(service: Service, e: Effect) -> None:
    if e.hot > 0:
        if len(service.parts) == 1:
            service.parts.append(service.parts[0].copy())
        most, one = service.parts
        # Draining a zone idles its pods; the hot key moves to a pod elsewhere.
        most.share, one.share = 0.9 - ZONE_B * service.drained, 0.1
        one.weight = one.usual = 0.1 + e.hot if e.hot < 0.8 else 0.9
        most.weight = most.usual = 1 - one.weight
    elif service.zoned or e.zone_lost > 0 or e.zone_err > 0 or e.zone_steal > 0:
        service.zoned = True
        service.split()
        good, bad = service.parts
        bad.lost, bad.err, bad.steal = e.zone_lost, e.zone_err, e.zone_steal
        bad.weight = bad.usual * (1 - service.drained)
        good.weight = 1 - bad.weight
    elif len(service.parts) == 2:
        merged = service.parts[0]
        merged.weight = merged.usual = merged.share = 1.0
        service.parts = [merged]
