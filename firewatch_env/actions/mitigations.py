"""Where requests go, how often they are tried, and what callers do without a callee.

Most of this is lent: whoever takes over takes it back (see `World.take_back`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firewatch_env.actions.registry import Outcome, action, as_asked, minutes, no_use, number
from firewatch_env.engine.levers import derive
from firewatch_env.engine.motion import LASTS, SHIFT, drained_at
from firewatch_env.engine.service import Service
from firewatch_env.engine.world import World

_THROTTLED = 0.5  # seconds that requests may wait behind a throttle


def _drain(world: World, service: Service, share: float) -> Outcome:
    before = drained_at(service, world.tick)
    _, to, _, ends = service.drain or (0.0, 0.0, 0, None)
    if ends is not None and world.tick > ends:  # it has ended by itself
        to = 0.0
    if to == share:
        return as_asked(service, f"zone b at {1 - share:.0%} of its usual traffic")
    ends = world.tick + LASTS if share else None
    service.drain = (before, share, world.tick, ends)
    service.zoned = True
    world.refresh(service)
    until = f", for {minutes(LASTS)}" if ends else ""
    return Outcome(
        f"{service.name}: zone b's traffic {1 - before:.0%} → {1 - share:.0%} of its usual within "
        f"{minutes(SHIFT)}{until}; connections that move are cut"
    )


@action("traffic_shift", "mitigate", "drain_percentage")
def traffic_shift(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Send a share (100 %, or `drain_percentage`) of zone b's requests to zone a for a while."""
    percentage = number(parameters, "drain_percentage")
    return _drain(world, service, min(100.0 if percentage is None else percentage, 100.0) / 100)


action("drain_availability_zone", "mitigate", "drain_percentage")(traffic_shift)


@action("circuit_break", "mitigate", "state")
def circuit_break(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Make callers answer without this service, or (`state` closed) ask it again."""
    to = str(parameters.get("state", "open")).lower() not in ("closed", "close", "off")
    if not service.callers:
        return no_use(service, "no service calls it")
    word = "open" if to else "closed"
    if all(call.breaker == to for call in service.callers):
        return as_asked(service, f"breakers {word}")
    for call in service.callers:
        call.breaker = to
        if not to:
            call.caller.levers.pop(f"fallback.{service.name}", None)
    names = ", ".join(call.caller.name for call in service.callers)
    return Outcome(f"{service.name}: breakers {word} at once in {names}")


@action("disable_fallback_mode", "repair", runbook=True)
def disable_fallback_mode(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Ask callees again that this service has been left to answer without."""
    stuck = [call for call in service.calls if f"fallback.{call.callee.name}" in service.levers]
    if not stuck:
        return no_use(service, "no fallback in use here")
    for call in stuck:
        call.breaker = False
        world.set_lever(service, f"fallback.{call.callee.name}", 0.0)
    return Outcome(
        f"{service.name}: asks {', '.join(call.callee.name for call in stuck)} again, at once"
    )


def _retries(name: str, attribute: str, said: str, summary: str) -> None:
    def do(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
        calls = service.calls + service.callers
        if all(getattr(call, attribute) for call in calls):
            return as_asked(service, said)
        unspaced = any(not call.pace for call in calls)
        for call in calls:
            setattr(call, attribute, True)
            derive(call.caller, world.tick)
        relief = "" if unspaced else "; retries were spaced already and added no load"
        return Outcome(f"{service.name}: {said}, at once{relief}")

    do.__doc__ = summary
    action(name, "mitigate")(do)


_retries(
    "disable_retries",
    "single",
    "one try only, to and from it",
    "Allow one try only for calls to and from this service.",
)
_retries(
    "configure_retry_backoff",
    "backoff",
    "one more try at most, spaced, to and from it",
    "Allow one more try at most, spaced, for calls to and from this service.",
)


@action("enable_connection_throttle", "mitigate")
def enable_connection_throttle(
    world: World, service: Service, parameters: Mapping[str, Any]
) -> Outcome:
    """Shed what would wait longer than half a second."""
    if service.queue == _THROTTLED:
        return as_asked(service, "throttled")
    service.queue = _THROTTLED
    return Outcome(f"{service.name}: sheds requests beyond {_THROTTLED} s of queue, at once")


@action("extend_timeout", "mitigate")
def extend_timeout(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Let this service wait four times as long as usual for those it calls."""
    if "timeout" in service.moved:
        return as_asked(service, "timeouts extended")
    service.moved.add("timeout")
    derive(service, world.tick)
    times = ", ".join(f"{call.callee.name} {call.timeout:.3g}s" for call in service.calls)
    return Outcome(
        f"{service.name}: its calls wait four times the usual from now on: {times or 'no calls'}"
    )
