"""Tools that limit traffic: of robots, of one caller, of a job, or all requests of a service."""

from __future__ import annotations

from collections.abc import Callable

from firewatch_next.actions.action import ActionPlan, ActionTool, Arguments, PlannedEdit
from firewatch_next.actions.arguments import (
    require_name,
    require_number,
    require_service,
    require_text,
)
from firewatch_next.simulation.edits import (
    Edit,
    SetAdmissionLimit,
    SetBotLimit,
    SetBreaker,
    SetCallLimit,
    SetJobLimit,
    SetSetting,
)
from firewatch_next.simulation.service import BreakerState
from firewatch_next.simulation.settings import format_number
from firewatch_next.simulation.world import World

MAX_VALUE = 1e6


def _limit_bots(world: World, service: str, value: float, arguments: Arguments) -> list[Edit]:
    return [SetBotLimit(service, value)]


def _limit_rate(world: World, service: str, value: float, arguments: Arguments) -> list[Edit]:
    return [SetAdmissionLimit(service, value)]


def _limit_queue(world: World, service: str, value: float, arguments: Arguments) -> list[Edit]:
    return [SetSetting(service, "queue_length", format_number(value))]


def _limit_caller(world: World, service: str, value: float, arguments: Arguments) -> list[Edit]:
    """Limit one caller of the service, or one of its jobs."""
    jobs = world.services[service].jobs
    allowed = {*world.callers[service], *jobs}
    caller = require_name(require_text(arguments, "caller"), allowed, "caller")
    if caller in jobs:
        return [SetJobLimit(service, caller, value)]
    return [SetCallLimit(caller, service, value)]


def _set_quota(world: World, service: str, value: float, arguments: Arguments) -> list[Edit]:
    """Ask a third party for another quota. Other services have none."""
    if "quota_per_second" not in world.services[service].settings:
        return []
    return [SetSetting(service, "quota_per_second", format_number(value))]


def _limit_misses(world: World, service: str, value: float, arguments: Arguments) -> list[Edit]:
    """Limit the calls that follow the misses of a cache."""
    return [
        SetCallLimit(client.caller, client.callee, value)
        for caller in world.ordered
        for client in caller.clients
        if client.cache == service
    ]


LIMITS: dict[str, Callable[[World, str, float, Arguments], list[Edit]]] = {
    "bots": _limit_bots,
    "caller": _limit_caller,
    "cache_misses": _limit_misses,
    "queue": _limit_queue,
    "quota": _set_quota,
    "rate": _limit_rate,
}


def plan_set_limit(world: World, service: str, arguments: Arguments) -> ActionPlan:
    """Limit a kind of traffic of a service to `value` requests per second, or a queue's length."""
    require_service(world, service)
    kind = require_name(require_text(arguments, "kind"), LIMITS, "kind")
    value = require_number(arguments, "value", 0, MAX_VALUE)
    edits = tuple(PlannedEdit(0, edit) for edit in LIMITS[kind](world, service, value, arguments))
    if not edits:
        return ActionPlan((), "Nothing to change here.")
    return ActionPlan(edits, f"The limit {kind} of {service} is set to {value:g}.")


def plan_set_breaker(world: World, service: str, arguments: Arguments) -> ActionPlan:
    """Open or close the circuit breaker of a service's client for one callee, or for all."""
    callees = [client.callee for client in require_service(world, service).clients]
    name = require_name(str(arguments.get("callee", "all")), {"all", *callees}, "callee")
    state = BreakerState(
        require_name(require_text(arguments, "state"), list(BreakerState), "state")
    )
    changed = [
        client.callee
        for client in world.services[service].clients
        if name in ("all", client.callee) and client.breaker is not state
    ]
    edits = tuple(PlannedEdit(0, SetBreaker(service, callee, state)) for callee in changed)
    reply = f"The breaker of {service} is {state}." if edits else "Nothing to change here."
    return ActionPlan(edits, reply)


TOOLS = (
    ActionTool("set_limit", plan_set_limit),
    ActionTool("set_breaker", plan_set_breaker),
)
