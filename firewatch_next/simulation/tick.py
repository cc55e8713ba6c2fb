"""One tick of 30 seconds in three sub-steps: loads go down to the callees, answers come back.

Only + − × ÷, √ and comparisons are used, so that a tick gives the same bytes on every machine.

A calm service is one where nothing changes but its load: no fault acts on it or a callee, less than
half of its CPU, threads and pools is in use, nothing waits or is rejected, and no value still moves
towards its target. Its latency, errors and attempts are then independent of its load, so they are
not computed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from firewatch_next.simulation.answer import answer_requests
from firewatch_next.simulation.caches import update_hit_target
from firewatch_next.simulation.latency import share_of_modes_above
from firewatch_next.simulation.memory import update_memory
from firewatch_next.simulation.pods import compute_groups, has_weights
from firewatch_next.simulation.service import BreakerState, CalleeClient, Service
from firewatch_next.simulation.waiting import CALM_UTILIZATION

if TYPE_CHECKING:
    from firewatch_next.simulation.world import World

SUB_STEPS = 3
ALLOWED_HARM = 0.005
_CACHE_SHARE_PER_TICK = 1.0 / 6.0
_CALM_MEMORY_SHARE = 0.8
_OPEN = BreakerState.OPEN


class Call(NamedTuple):
    """A client with the two services that decide what it does."""

    client: CalleeClient
    callee: Service
    cache: Service | None


class ServiceLink(NamedTuple):
    """A service with its callers' clients and its own calls."""

    service: Service
    incoming: tuple[CalleeClient, ...]
    calls: tuple[Call, ...]


def link_services(world: World) -> list[ServiceLink]:
    """Return the links of all services, callers before callees."""
    services = world.services
    return [
        ServiceLink(
            service,
            tuple(world.incoming[service.name]),
            tuple(
                Call(client, services[client.callee], services.get(client.cache))
                for client in service.clients
            ),
        )
        for service in world.ordered
    ]


def reset_effects(world: World) -> None:
    """Make the effects of the last tick neutral, and renew pod groups."""
    now = world.tick
    for name in world.affected:
        _reset_service(world.services[name])
    world.affected.clear()
    for service in world.ordered:
        if service.groups_expire_tick <= now:
            compute_groups(service, now)
            service.is_calm = False


def _reset_service(service: Service) -> None:
    service.has_effects = False
    service.extra_load = service.bot_load = 0.0
    service.capacity_factor = 1.0
    service.stale_share = 0.0
    service.frozen_share = 0.0
    for group in service.groups:
        group.own_errors.clear()
        group.cpu_factor = 1.0
        group.cpu_stolen_share = group.extra_latency_seconds = 0.0
        group.slow_share = group.slow_seconds = 0.0
    for client in service.clients:
        client.calls_factor = 1.0
        client.extra_latency_seconds = 0.0
        client.errors.clear()
        client.is_settled = False
    if service.key_miss_share:
        service.key_miss_share = 0.0
        update_hit_target(service)
    for statement in service.statements.values():
        statement.cost_factor = statement.runs_factor = 1.0
    for flag in service.flags.values():
        flag.error_share = flag.leaked_bytes = flag.leaked_connections = 0.0
        flag.disk_growth = 0.0
        flag.cpu_factor = flag.calls_factor = flag.query_factor = 1.0


def _move_cache_hits(world: World) -> None:
    """Move each hit ratio a sixth towards its target, which faults may just have set."""
    for service in world.ordered:
        change = service.cache_hit_target - service.cache_hit_share
        if change == 0.0:
            continue
        if -1e-6 < change < 1e-6:
            service.cache_hit_share = service.cache_hit_target
        else:
            service.cache_hit_share += change * _CACHE_SHARE_PER_TICK
        service.is_calm = False


def compute_tick(world: World, now: int) -> None:
    """Compute the loads and answers of a tick, then memory, calmness and harm."""
    _move_cache_hits(world)
    demand = world.demand[now - world.first_tick]
    links = world.links
    backwards = links[::-1]
    shortcut = world.uses_calm_shortcut
    for _ in range(SUB_STEPS):
        send_load(links, demand)
        for link in backwards:
            service = link.service
            if not (
                service.is_calm
                and shortcut
                and service.load <= service.calm_load_limit
                and _has_calm_callees(link)
            ):
                service.is_calm = False
                answer_requests(link.service, link.calls)
    world.computed_services = [service for service in world.ordered if not service.is_calm]
    for link in backwards:
        service = link.service
        if not service.is_calm:
            update_memory(world, service, now)
            service.is_calm = shortcut and _may_be_calm(link, now)
    _measure_harm(world)


def send_load(links: list[ServiceLink], demand: float) -> None:
    """Compute the load of every service from the top down, with the last answers' attempts."""
    for service, incoming, calls in links:
        load = service.entry_rate * demand + service.extra_load
        for client in incoming:
            load += client.flow
        service.load = load
        admitted = load * service.admitted_share
        for client, _, cache in calls:
            if client.breaker is _OPEN:
                client.offered = client.flow = 0.0
                continue
            offered = admitted * client.calls_per_request * client.calls_factor * client.attempts
            if cache is not None:
                offered *= 1.0 - cache.cache_hit_share
            client.offered = offered
            client.flow = offered * client.pool_passed_share
            if client.rate_limit > 0.0:
                _limit_flow(client)


def _limit_flow(client: CalleeClient) -> None:
    """Refuse the calls beyond the client's rate limit."""
    client.limited_share = 0.0
    if client.flow > client.rate_limit:
        client.limited_share = 1.0 - client.rate_limit / client.flow
        client.flow = client.rate_limit


def _has_calm_callees(link: ServiceLink) -> bool:
    # A loop is faster than all() with a generator.
    for call in link.calls:  # noqa: SIM110
        if not call.callee.is_calm:
            return False
    return True


def _may_be_calm(link: ServiceLink, now: int) -> bool:
    """Return whether a service that was computed in full can skip that, and set its load limit."""
    service = link.service
    if (
        service.has_effects
        or not service.is_settled
        or not service.groups
        or service.load <= 0.0
        or service.utilization > CALM_UTILIZATION
        or service.threads_in_use > CALM_UTILIZATION
        or service.admitted_share != 1.0
        or service.admission_limit > 0.0
        or service.memory_used_share > _CALM_MEMORY_SHARE
        or service.version_errors
        or has_weights(service)
        or service.cache_hit_share != service.cache_hit_target
    ):
        return False
    highest_use = max(service.utilization, service.threads_in_use)
    for client, callee, _ in link.calls:
        if (
            not callee.is_calm
            or not client.is_settled
            or client.breaker is _OPEN
            or client.rate_limit > 0.0
            or client.pool_in_use > CALM_UTILIZATION
        ):
            return False
        highest_use = max(highest_use, client.pool_in_use)
    if any(pod.ready_at_tick > now or pod.leaked_connections for pod in service.pods):
        return False
    if any(pod.leaked_bytes > 0.0 for pod in service.pods):
        return False
    if any(job.is_running for job in service.jobs.values()):
        return False
    # Everything that is in use grows with the load, so the fullest part sets the limit.
    service.calm_load_limit = service.load * CALM_UTILIZATION / highest_use
    if service.rate_limit > 0.0:
        service.calm_load_limit = min(service.calm_load_limit, service.rate_limit)
    return True


def _measure_harm(world: World) -> None:
    bad = customers = failing = slow_total = 0.0
    for service in world.entries:
        failed = service.failed_share + (1.0 - service.failed_share) * service.degraded_share
        slow = share_of_modes_above(service.modes, service.slow_after_seconds) * (1.0 - failed)
        bad += service.load * (failed + 0.5 * slow)
        failing += service.load * failed
        slow_total += service.load * slow
        customers += service.load
    world.customers = customers
    world.failing_share = failing / customers
    world.slow_share = slow_total / customers
    harm = bad / customers - ALLOWED_HARM
    world.harm = harm if harm > 0.0 else 0.0
