"""Memory of pods: what is in use, the work of the garbage collector, and kills."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firewatch_next.simulation.pods import kill_pod
from firewatch_next.simulation.service import Pod, Service

if TYPE_CHECKING:
    from firewatch_next.simulation.world import World

GC_FROM_SHARE = 0.85
MAX_GC_SHARE = 0.6
_MAX_ASYNC_REQUESTS = 400.0  # in flight in a pod without a thread limit
_FLUCTUATION = 0.03


def update_memory(world: World, service: Service, now: int) -> None:
    """Set the service's memory share and GC share, and kill pods that have no memory left."""
    used = mean_base_memory_bytes(service) + in_flight_bytes(service)
    service.memory_used_share = used / service.memory_limit_bytes
    service.dead_share = 0.0
    near_limit = service.memory_used_share > GC_FROM_SHARE - 2 * _FLUCTUATION
    if not near_limit and not any(pod.leaked_bytes > 0.0 for pod in service.pods):
        service.gc_share = 0.0
        return
    gc_total, ready, killed = 0.0, 0, 0
    for pod in service.ready_pods(now):
        share = pod_memory_share(service, pod, now)
        if share >= 1.0:
            kill_pod(world, service, pod, now)
            killed += 1
        elif share > GC_FROM_SHARE and service.is_managed:
            gc_total += (share - GC_FROM_SHARE) / (1.0 - GC_FROM_SHARE) * MAX_GC_SHARE
        ready += 1
    service.gc_share = gc_total / ready if ready else 0.0
    # With every pod dead, the service has no pods, and that is counted there.
    service.dead_share = killed / ready if 0 < killed < ready else 0.0


def in_flight_bytes(service: Service) -> float:
    """Return the memory of a pod's requests in flight, bounded by its threads."""
    pods = sum(group.pods for group in service.groups)
    if not pods:
        return 0.0
    requests = service.load * service.admitted_share * service.held_seconds / pods
    most = float(service.threads) if service.threads else _MAX_ASYNC_REQUESTS
    return service.memory_bytes_per_request * (requests if requests < most else most)


def mean_base_memory_bytes(service: Service) -> float:
    """Return the mean memory of a pod without requests in flight."""
    pods = service.pods
    total = 0.0
    for pod in pods:
        total += service.base_memory_bytes * pod.memory_noise + pod.leaked_bytes
    total /= len(pods)
    for tenant in service.tenants.values():
        total += tenant.memory_bytes
    return total


def pod_memory_share(service: Service, pod: Pod, now: int) -> float:
    """Return the share of the memory limit that a pod uses, with its momentary fluctuation."""
    used = service.base_memory_bytes * pod.memory_noise + pod.leaked_bytes
    used += in_flight_bytes(service)
    for tenant in service.tenants.values():
        used += tenant.memory_bytes
    return used * _fluctuation(pod, now) / service.memory_limit_bytes


def _fluctuation(pod: Pod, now: int) -> float:
    """Return a factor of 1 ± 0.03 that depends on the pod and the tick."""
    number = int(pod.memory_noise * 1_000_000) * 7919 + (now + 10_000) * 104_729
    return 1.0 - _FLUCTUATION + 2.0 * _FLUCTUATION * (number % 2003) / 2003.0
