"""More pods, more memory, more CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firewatch_env.actions.inspections import MOST_MEMORY, memory_mb
from firewatch_env.actions.registry import STEPS, Outcome, action, minutes, no_use, number
from firewatch_env.actions.rollouts import roll
from firewatch_env.engine.motion import MOST_SIZE, STARTS, sized_at
from firewatch_env.engine.service import Service
from firewatch_env.engine.world import World


def _resize(world: World, service: Service, size: float) -> None:
    """Ask for so many pods, to the usual number; they start one after another."""
    service.sizing = (sized_at(service, world.tick), world.tick)
    service.size = min(size, MOST_SIZE)
    world.refresh(service)


@action("scale_replicas", "mitigate", "replicas", "memory_limit_mb")
def scale_replicas(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Run more pods (half as many again, or `replicas`), or give each more memory."""
    replicas, memory = number(parameters, "replicas"), number(parameters, "memory_limit_mb")
    said = []
    if memory is not None:
        to = min(max(memory / memory_mb(service), 0.25), MOST_MEMORY)
        service.memory_limit = to
        roll(service)
        said.append(f"memory limit {to * memory_mb(service):.0f} MB at once, pods roll")
    if replicas is not None or memory is None:
        size = service.size * 1.5 if replicas is None else replicas / service.pods
        _resize(world, service, max(size, 1 / service.pods))
        pods = f"{service.pods * service.size:.0f} pods (usual {service.pods})"
        said.append(f"{pods} within {minutes(STARTS)}")
    return Outcome(f"{service.name}: " + ", ".join(said))


action("scale_az_capacity", "mitigate")(scale_replicas)


@action("increase_cpu_limit", "mitigate")
def increase_cpu_limit(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Raise the CPU limit to the usual one, or by half; by quarters, as repairs go."""
    now = service.levers.get("cpu_limit", 1.0)
    to = min(max(1.0, now * 1.5), MOST_SIZE)
    world.ease(service, "cpu_limit", to)
    return Outcome(f"{service.name}: CPU limit {now:.2f} → {to:.2f} of the usual, {STEPS}")


@action("scale_pipeline_workers", "repair", runbook=True)
def scale_pipeline_workers(
    world: World, service: Service, parameters: Mapping[str, Any]
) -> Outcome:
    """Double a pipeline's workers."""
    if service.kind != "job":
        return no_use(service, "no pipeline here")
    _resize(world, service, service.size * 2)
    workers = f"{service.size:.1f} times the usual workers"
    return Outcome(f"{service.name}: {workers} within {minutes(STARTS)}")


@action("flush_pipeline_stage", "repair", runbook=True)
def flush_pipeline_stage(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Empty a pipeline's queue; what waited in it is done again later."""
    if service.kind != "job" or service.backlog <= 0:
        return no_use(service, "no items wait here")
    items, service.backlog = service.backlog, 0.0
    return Outcome(f"{service.name}: {items:.0f} waiting items moved aside at once")


@action("restart_pipeline_job", "repair", runbook=True)
def restart_pipeline_job(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Restart a pipeline's workers."""
    if service.kind != "job":
        return no_use(service, "no pipeline here")
    roll(service)
    world.ease(service, "pipeline", 1.0)
    return Outcome(f"{service.name}: workers restart {STEPS}")
