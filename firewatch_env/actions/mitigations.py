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
_ZONE_LEVERS = ("zone_lost", "zone_fails", "zone_lag", "minority", "neighbour")


def _drain(world: World, service: Service, share: float, *, for_good: bool = False) -> Outcome:
    before = drained_at(service, world.tick)
    _, to, _, ends = service.drain or (0.0, 0.0, 0, None)
    if ends is not None and world.tick > ends:  # it has ended by itself
        to = 0.0
    if to == share and (ends is None or not for_good):
        return as_asked(service, f"zone b at {1 - share:.0%} of its usual traffic")
    ends = None if for_good or not share else world.tick + LASTS
    service.drain = (before, share, world.tick, ends)
    service.zoned = True
    world.refresh(service)
    until = f", for {minutes(LASTS)}" if ends else ", for good" if share else ""
    if before == share:
        return Outcome(f"{service.name}: zone b stays at {1 - share:.0%} of its traffic{until}")
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


def _drains(name: str, levers: tuple[str, ...], nothing: str, summary: str) -> None:
    """An action that drains zone b, but only where one of these levers is off."""

    def do(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
        if not any(lever in service.levers for lever in levers):
            if name == "rebalance_az_traffic" and service.drained:
                return _drain(world, service, 0.0)
            return no_use(service, nothing)
        return _drain(world, service, 1.0, for_good=True)

    do.__doc__ = summary
    action(name, "repair", runbook=True)(do)


_drains(
    "rebalance_az_traffic",
    _ZONE_LEVERS,
    "zones are even",
    "Leave zone b for good, where its machines, network, replicas or nodes are at fault.",
)
_drains(
    "redirect_reads_to_primary",
    ("zone_lag",),
    "replicas are level",
    "Read from the primary in zone a for good, where zone b's replicas lag.",
)
_drains(
    "isolate_minority_nodes",
    ("minority",),
    "no node is in a minority",
    "Keep requests from zone b's nodes for good, where they are without quorum.",
)
_drains(
    "redirect_config_reads_to_majority",
    ("minority",),
    "no node is in a minority",
    "Read from the nodes of zone a for good, where those of zone b are without quorum.",
)


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
