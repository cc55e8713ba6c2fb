"""How full services and pools are, from which fault types size their loads."""

from __future__ import annotations

from firewatch_next.simulation.service import CalleeClient, Service
from firewatch_next.simulation.world import World


def cpu_use(service: Service) -> float:
    """Return the share of a service's CPU that its present load needs, without effects."""
    busy = service.load * service.cpu_seconds_per_request
    return busy / (service.cpu_cores * len(service.pods))


def pool_use(service: Service, client: CalleeClient) -> float:
    """Return the share of a client's pool in use, 0 for an asynchronous client."""
    if not client.pool_size:
        return 0.0
    return client.offered * client.held_seconds / (len(service.pods) * client.pool_size)


def loads_from_entry(world: World, entry: Service) -> dict[str, float]:
    """Return the requests per second of each service that an entry's customers cause."""
    loads = {entry.name: entry.load}
    for service in world.ordered:
        if service.name in loads and service.load > 0.0:
            share = loads[service.name] / service.load
            for client in service.clients:
                loads[client.callee] = loads.get(client.callee, 0.0) + client.flow * share
    return loads
