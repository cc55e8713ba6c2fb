"""Pods: rollouts, restarts, scaling, kills, and the groups of ready pods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firewatch_next.simulation.service import SECONDS_PER_TICK, Pod, PodEvent, PodGroup, Service
from openenv_kit.float_sum import sum_left_to_right

if TYPE_CHECKING:
    from firewatch_next.simulation.world import World

AWAY_TICKS = 2  # replaced and restarted pods get no traffic that long
BATCH_TICKS = 2  # a quarter of the pods is replaced per minute
BATCHES = 4
FIRST_BACK_OFF_SECONDS = 10
MAX_BACK_OFF_SECONDS = 300
BACK_OFF_RESET_TICKS = 20  # after ten minutes without a kill
_BASE_36 = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(slots=True)
class Rollout:
    """Pods that are being replaced or restarted.

    Attributes:
        version, revision: of the new pods; "" keeps that of the old one.
        waiting: names of the pods still to be replaced, in order.
        batch_size: pods per batch. next_tick: tick of the next batch.
    """

    service: str
    version: str
    revision: str
    waiting: list[str]
    batch_size: int
    next_tick: int


def copy_rollout(rollout: Rollout) -> Rollout:
    """Return an independent copy."""
    return Rollout(
        rollout.service,
        rollout.version,
        rollout.revision,
        rollout.waiting.copy(),
        rollout.batch_size,
        rollout.next_tick,
    )


def start_rollout(
    world: World, service: Service, tick: int, version: str, revision: str, max_share: float
) -> None:
    """Replace the pods that are not of that version and revision, from this tick on.

    A rollout of the same service that is under way ends where it is. The pods of the newest builds
    and revisions are replaced first.
    """
    if version and version not in service.builds:
        service.builds.append(version)
    if revision and revision not in service.revisions:
        service.revisions.append(revision)
    outdated = [
        pod
        for pod in service.pods
        if (version and pod.version != version) or (revision and pod.revision != revision)
    ]
    outdated.sort(
        key=lambda pod: (
            -service.builds.index(pod.version),
            -service.revisions.index(pod.revision),
            pod.name,
        )
    )
    allowed = int(len(service.pods) * max_share + 0.5)
    service.version = version or service.version
    service.revision = revision or service.revision
    names = [pod.name for pod in outdated[: max(1, allowed)]]
    _begin(world, service, tick, version, revision, names)


def start_restart(world: World, service: Service, tick: int, zone: str) -> None:
    """Restart the pods of a zone, or all with "", keeping each pod's version and revision."""
    rollout = next((r for r in world.rollouts if r.service == service.name), None)
    if rollout is not None and not zone:
        # A rollout that is under way goes on: it starts every pod anew, in its own order.
        version, revision = rollout.version, rollout.revision
        fresh = set(rollout.waiting)
        waiting = [*rollout.waiting, *(p.name for p in service.pods if p.name not in fresh)]
        _begin(world, service, tick, version, revision, waiting)
        return
    names = [pod.name for pod in service.pods if not zone or pod.zone == zone]
    _begin(world, service, tick, "", "", names)


def _begin(
    world: World, service: Service, tick: int, version: str, revision: str, names: list[str]
) -> None:
    world.rollouts = [rollout for rollout in world.rollouts if rollout.service != service.name]
    if names:
        batch_size = (len(names) + BATCHES - 1) // BATCHES
        world.rollouts.append(Rollout(service.name, version, revision, names, batch_size, tick))


def continue_rollouts(world: World, tick: int) -> None:
    """Replace the next batch of each rollout that is due, and forget finished rollouts."""
    for rollout in world.rollouts:
        if rollout.next_tick > tick:
            continue
        service = world.services[rollout.service]
        batch = set(rollout.waiting[: rollout.batch_size])
        del rollout.waiting[: rollout.batch_size]
        rollout.next_tick = tick + BATCH_TICKS
        for position, pod in enumerate(service.pods):
            if pod.name in batch:
                service.pods[position] = _replacement(world, service, pod, rollout, tick)
        world.wake(service.name)
    world.rollouts = [rollout for rollout in world.rollouts if rollout.waiting]


def _replacement(world: World, service: Service, pod: Pod, rollout: Rollout, tick: int) -> Pod:
    new = start_pod(
        world,
        service,
        pod.zone,
        pod.node,
        rollout.version or pod.version,
        rollout.revision or pod.revision,
        tick,
    )
    world.pod_events.append(PodEvent(tick, service.name, pod.name, "stopped"))
    return new


def start_pod(
    world: World,
    service: Service,
    zone: str,
    node: str,
    version: str,
    revision: str,
    tick: int,
) -> Pod:
    """Return a new pod of a service that gets traffic after `AWAY_TICKS`."""
    world.pods_started += 1
    name = f"{service.name}-{pod_suffix(world.pods_started)}"
    world.pod_events.append(PodEvent(tick, service.name, name, "started"))
    pod = Pod(name, zone, version, revision, node, tick + AWAY_TICKS, tick)
    pod.memory_noise = memory_noise(world.pods_started)
    return pod


def pod_suffix(number: int) -> str:
    """Return five characters that differ for all numbers below 60 million and look random."""
    mixed = (number * 23_456_789 + 7_654_321) % 60_466_176  # 36⁵; the factor has no common divisor
    letters = ""
    for _ in range(5):
        mixed, digit = divmod(mixed, 36)
        letters += _BASE_36[digit]
    return letters


def memory_noise(number: int) -> float:
    """Return a factor from 0.985 to 1.015 that depends on the pod's number."""
    return 0.985 + (number * 7919 % 1000) * 0.00003


def scale_pods(world: World, service: Service, tick: int, count: int) -> None:
    """Add pods like the present ones in turn, or remove the newest."""
    present = service.pods.copy()
    while len(service.pods) < count:
        like = present[(len(service.pods) - len(present)) % len(present)]
        service.pods.append(
            start_pod(world, service, like.zone, like.node, service.version, service.revision, tick)
        )
    for pod in service.pods[count:]:
        world.pod_events.append(PodEvent(tick, service.name, pod.name, "stopped"))
    del service.pods[count:]
    world.wake(service.name)


def kill_pod(world: World, service: Service, pod: Pod, tick: int) -> None:
    """End a pod that has no memory left. It starts again after a back-off that doubles."""
    if tick - pod.started_tick > BACK_OFF_RESET_TICKS:
        pod.times_killed = 0
    back_off = FIRST_BACK_OFF_SECONDS
    for _ in range(min(pod.times_killed, 5)):
        back_off *= 2
    back_off = min(back_off, MAX_BACK_OFF_SECONDS)
    pod.times_killed += 1
    pod.started_tick = tick + 1
    pod.ready_at_tick = tick + 1 + (back_off + SECONDS_PER_TICK - 1) // SECONDS_PER_TICK
    pod.leaked_bytes = 0.0
    pod.leaked_connections = {}
    pod.is_frozen = False
    world.pod_events.append(PodEvent(tick, service.name, pod.name, "killed"))
    world.wake(service.name)


def compute_groups(service: Service, tick: int) -> None:
    """Group the ready pods and set the tick at which the groups expire."""
    counts: dict[tuple[str, str, str, str], int] = {}
    expire_tick = tick + 1_000_000
    for pod in service.pods:
        if pod.ready_at_tick > tick:
            expire_tick = min(expire_tick, pod.ready_at_tick)
            continue
        key = (pod.zone, pod.version, pod.revision, pod.node)
        counts[key] = counts.get(key, 0) + 1
    groups = [PodGroup(*key, pods, 0.0) for key, pods in sorted(counts.items())]
    weights = [_traffic_weight(service, group) for group in groups]
    total = sum_left_to_right(weights)
    if total <= 0.0:
        weights = [float(group.pods) for group in groups]
        total = sum_left_to_right(weights)
    for group, weight in zip(groups, weights, strict=True):
        group.traffic_share = weight / total
    service.groups = groups
    service.groups_expire_tick = expire_tick


def _traffic_weight(service: Service, group: PodGroup) -> float:
    weight = float(group.pods)
    weight *= service.zone_weights.get(group.zone, 1.0)
    weight *= service.version_weights.get(group.version, 1.0)
    if group.node == service.hot_node:
        weight *= service.hot_factor
    return weight * service.node_weights.get(group.node, 1.0)


def has_weights(service: Service) -> bool:
    """Return whether the balancer sends unequal traffic to the pods."""
    return bool(service.zone_weights or service.version_weights or service.node_weights)
