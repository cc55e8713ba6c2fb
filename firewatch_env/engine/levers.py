"""What follows for a service from its levers."""

from __future__ import annotations

from functools import cache

from firewatch_env.engine import families
from firewatch_env.engine.catalogue import BEHIND, USUAL_HITS
from firewatch_env.engine.effects import LEVERS, Apply, Effect, family
from firewatch_env.engine.motion import EASE, ZONE_B, cut, drained_at, sized_at, zone_share
from firewatch_env.engine.service import Call, Service

__all__ = ["LEVERS", "derive", "families", "family", "felt", "forget", "moves"]

_LONGER = 4.0  # times the usual timeout, where it is extended


def felt(service: Service, name: str) -> float:
    """A lever's value as the whole service feels it.

    What only zone b's pods have off counts by the share of the requests that go there.
    """
    value = service.levers[name]
    if name in service.easing:
        to, since = service.easing[name]
        value += (to - value) * (service.clock - since) / EASE
    if name not in service.staged:
        return value
    usual = LEVERS[family(name)].usual
    return usual + (value - usual) * zone_share(service, service.clock)


@cache
def _how(name: str) -> tuple[Apply, str]:
    """How a lever takes effect, and its channel."""
    head, _, channel = name.partition(".")
    return LEVERS[head].apply, channel


def moves(service: Service) -> bool:
    """Whether what follows from the service's levers changes with time alone."""
    return bool(service.easing or service.sizing or service.drain)


def _arrive(service: Service) -> None:
    """Levers that are where they were going are so for good."""
    for name, (to, since) in tuple(service.easing.items()):
        if service.clock - since >= EASE:
            del service.easing[name]
            if to == LEVERS[family(name)].usual:
                forget(service, name)
            else:
                service.levers[name] = to


def forget(service: Service, name: str) -> None:
    """A lever at its usual value is off no longer, nor is anything remembered of it."""
    service.levers.pop(name, None)
    service.easing.pop(name, None)
    service.staged.discard(name)


def derive(service: Service, tick: int) -> None:
    """Bring everything that follows from a service's levers up to date."""
    service.clock = tick
    if service.easing:
        _arrive(service)
    e = Effect()
    for name in sorted(service.levers):
        apply, channel = _how(name)
        apply(e, service, channel, felt(service, name))
    _follow(service, e)
    _follow_calls(service, e)
    _derive_parts(service, e)
    service.special = bool(
        len(service.parts) > 1
        or service.limit
        or service.path
        or service.refuse
        or service.orphans
        or service.grow
        or service.cores <= 0
        or service.kind == "job"
    )


def _follow(service: Service, e: Effect) -> None:
    service.err = 1 - e.ok * (1 - cut(service, service.clock))
    service.refuse = 1 - e.allowed
    service.path = 1 - e.path
    service.limit = (1 - e.limit) * service.usual_load if e.limit > 0 else 0.0
    service.cpu = service.work * e.cpu
    size = sized_at(service, service.clock)
    service.cores = service.usual_cores * e.cores * e.ready * size
    service.slots = service.usual_slots * e.slots * e.ready * size
    service.grow, service.grow_cap, service.heap = e.grow / size, e.grow_cap, e.heap
    service.orphans, service.hits, service.stalled = e.orphans, e.hits, e.stalled
    service.stranger = families.stranger(service)


def _derive_call(call: Call, e: Effect) -> None:
    name = call.callee.name
    call.calls = call.usual_calls * e.calls.get(name, 1.0) * call.ratio
    call.timeout = call.usual_timeout * e.timeouts.get(name, 1.0)
    call.tries = int(call.usual_tries * e.tries.get(name, 1.0))
    if name in e.breakers:
        call.breaker = True


def _follow_calls(service: Service, e: Effect) -> None:
    if "timeout" in service.moved:  # whatever a release has set
        e.timeouts = {call.callee.name: _LONGER for call in service.calls}
    usual = not (e.calls or e.timeouts or e.tries or e.breakers)
    for call in service.calls:
        if usual:
            call.calls = call.usual_calls * call.ratio
            call.timeout, call.tries = call.usual_timeout, call.usual_tries
        else:
            _derive_call(call, e)
        # Ordinary retries wait, a policy that has been changed does not.
        call.pace = call.backoff or call.tries <= call.usual_tries
        if call.single:
            call.tries = 1
        elif call.backoff and call.tries > 2:
            call.tries = 2
    if service.kind == "cache":
        misses = (1 - service.hits) / (1 - USUAL_HITS)
        cap = felt(service, "miss_cap") if "miss_cap" in service.levers else 9e9
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
        most.share, one.share = 0.9 - ZONE_B * drained_at(service, service.clock), 0.1
        one.weight = one.usual = 0.1 + e.hot if e.hot < 0.8 else 0.9
        most.weight = most.usual = 1 - one.weight
    elif service.zoned or e.zone_lost > 0 or e.zone_err > 0 or e.zone_steal > 0:
        service.zoned = True
        service.split()
        good, bad = service.parts
        bad.lost, bad.err, bad.steal = e.zone_lost, e.zone_err, e.zone_steal
        bad.weight = zone_share(service, service.clock)
        good.weight = 1 - bad.weight
    elif len(service.parts) == 2:
        merged = service.parts[0]
        merged.weight = merged.usual = merged.share = 1.0
        service.parts = [merged]
