"""What follows for a service from its levers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from firewatch_env.engine.catalogue import BEHIND, USUAL_HITS
from firewatch_env.engine.effects import LEVERS, Apply, Effect, family
from firewatch_env.engine.families import UNNOTICED
from firewatch_env.engine.motion import EASE, ZONE_B, cut, drained_at, factor, sized_at, zone_share
from firewatch_env.engine.service import Call, Service

__all__ = ["LEVERS", "derive", "family", "felt", "forget", "moves", "sway"]

Follow = Callable[[Service, Effect], None]


def felt(service: Service, name: str) -> float:
    """A lever's value as the whole service feels it.

    What only zone b's pods have off counts by the share of the requests that go there: the
    balancer evens out what that costs the two zones.
    """
    value = service.levers[name]
    if name in service.easing:
        to, since = service.easing[name]
        value += (to - value) * (service.clock - since) / EASE
    if name in service.staged:
        part = zone_share(service, service.clock)
    elif name in service.waves:
        part = factor(service.waves[name], service.clock)
    else:
        return value
    usual = _usual(name)
    return usual + (value - usual) * part


@cache
def _usual(name: str) -> float:
    return LEVERS[family(name)].usual


@cache
def _how(name: str) -> tuple[Apply, str]:
    """How a lever takes effect, and its channel."""
    head, _, channel = name.partition(".")
    return LEVERS[head].apply, channel


def moves(service: Service) -> bool:
    """Whether what follows from the service's levers changes with time alone."""
    return bool(
        service.pulses
        or service.staged
        or service.easing
        or service.sizing
        or service.zoned
        or any(family(name) not in UNNOTICED for name in service.waves)
    )


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
    service.pulses.pop(name, None)
    service.waves.pop(name, None)
    service.easing.pop(name, None)
    service.staged.discard(name)


def derive(service: Service, tick: int) -> None:
    """Bring everything that follows from a service's levers up to date.

    Args:
        service: the service whose levers may have changed.
        tick: now; levers with a pulse count only within it.
    """
    service.clock, service.shown, service.telling = tick, None, None
    if service.easing:
        _arrive(service)
    e = Effect()
    for name in sorted(service.levers):
        if name in service.pulses:
            period, length, first = service.pulses[name]
            if (tick - first) % period >= length:
                continue
        apply, channel = _how(name)
        apply(e, service, channel, felt(service, name))
    for follow in _FOLLOWS:
        follow(service, e)
    _derive_parts(service, e)
    service.swaying = _swaying(service)


def sway(service: Service, tick: int) -> None:
    """The same, at less cost, where levers have only waxed or waned since the tick before."""
    levers, follows = service.swaying  # type: ignore[misc]
    service.clock, service.shown = tick, None
    in_zone_b = ZONE_B * factor(service.wave, tick)
    e = Effect()
    for apply, channel, value, usual, wave in levers:
        if wave is not None:
            part = factor(wave, tick) if wave else in_zone_b
            value = usual + (value - usual) * part
        apply(e, service, channel, value)
    for follow in follows:
        follow(service, e)


def _swaying(service: Service) -> tuple[Any, ...] | None:
    """What `sway` goes by: levers with their values, and what follows; None for the long way."""
    if (
        not (service.staged or service.waves)
        or service.pulses
        or service.easing
        or service.sizing
        or service.zoned
        or service.drain
        or service.kind == "cache"
        or len(service.parts) > 1
    ):
        return None
    levers, said, moved = [], [], set()
    for name in sorted(service.levers):
        apply, channel = _how(name)
        e = Effect()
        apply(e, service, channel, service.levers[name])
        if not vars(e).keys() <= _FOLLOWS_FROM.keys():
            return None
        follows = {_FOLLOWS_FROM[each] for each in vars(e)}
        wave = () if name in service.staged else service.waves.get(name)
        if wave is not None:
            moved |= follows
        levers.append((apply, channel, service.levers[name], _usual(name), wave))
        said.append(follows)
    if any(call.callee.name in BEHIND for call in service.calls):
        moved.add(_follow_calls)  # a cache's hits have a say in these
    kept = [lever for lever, follows in zip(levers, said, strict=True) if follows & moved]
    return tuple(kept), tuple(follow for follow in _FOLLOWS if follow in moved)


def _follow_requests(service: Service, e: Effect) -> None:
    service.err = 1 - e.ok * (1 - cut(service, service.clock))
    service.refuse = 1 - e.allowed
    service.path = 1 - e.path
    service.limit = (1 - e.limit) * service.usual_load if e.limit > 0 else 0.0


def _follow_cpu(service: Service, e: Effect) -> None:
    service.cpu = service.work * e.cpu


def _follow_room(service: Service, e: Effect) -> None:
    size = sized_at(service, service.clock)
    service.cores = service.usual_cores * e.cores * e.ready * size
    service.slots = service.usual_slots * e.slots * e.ready * size


def _follow_memory(service: Service, e: Effect) -> None:
    service.grow, service.grow_cap = e.grow, e.grow_cap
    service.settles = e.settles and e.grow_cap > 0
    service.heap = e.heap


def _follow_work(service: Service, e: Effect) -> None:
    service.orphans, service.hits, service.stalled = e.orphans, e.hits, e.stalled


def _derive_call(call: Call, e: Effect) -> None:
    name = call.callee.name
    call.calls = call.usual_calls * e.calls.get(name, 1.0) * call.ratio
    call.timeout = call.usual_timeout * e.timeouts.get(name, 1.0)
    call.tries = int(call.usual_tries * e.tries.get(name, 1.0))
    if name in e.breakers:
        call.breaker = True


def _follow_calls(service: Service, e: Effect) -> None:
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


_FOLLOWS: dict[Follow, tuple[str, ...]] = {
    _follow_requests: ("ok", "allowed", "path", "limit"),
    _follow_cpu: ("cpu",),
    _follow_room: ("cores", "slots", "ready"),
    _follow_memory: ("grow", "grow_cap", "settles", "heap"),
    _follow_work: ("orphans", "hits", "stalled"),
    _follow_calls: ("calls", "timeouts", "tries", "breakers"),
}
"""What follows from which effects; parts, which follow from the others, never sway."""
_FOLLOWS_FROM = {effect: follow for follow, effects in _FOLLOWS.items() for effect in effects}


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
