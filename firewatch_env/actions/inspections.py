"""Looks inside a service: threads, memory, CPU, pods, ways in and stored data.

They state figures at the end of the tick and change nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from firewatch_env.actions.looks import canary, worst_first
from firewatch_env.actions.registry import ACTIONS, Outcome, look, minutes
from firewatch_env.engine.levers import LEVERS, family, felt
from firewatch_env.engine.motion import drained_at, sized_at
from firewatch_env.engine.service import Service
from firewatch_env.engine.tick import cpu_of_request
from firewatch_env.engine.world import World
from firewatch_env.evidence.meters import MISSES, UNREADY, by_zone, in_zones, latency_ratio, pods
from firewatch_env.evidence.signs import TENANT, began, describe, fills_up

MOST_MEMORY = 2.5  # to the usual limit
LEAKED = "replayed spool file"
_HELD = ("blocked", "streams", "reconnects")  # what takes threads and connections out of use
_WORKERS = 200  # worker threads of a pod on an ordinary day, ten times what it needs


def memory_mb(service: Service) -> float:
    """Memory limit of a pod on an ordinary day."""
    return float(service.memory_mb * 2)


def _threads(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Worker threads and connections: how many are busy, and what blocks them."""
    if not pods(service)[0]:
        return Outcome("no pod is ready to be asked", None)
    sheds = service.now.shed > 0
    need = _WORKERS / 10 * service.load / service.usual_load
    held = max((felt(service, name) for name in service.levers if name in _HELD), default=0.0)
    if not sheds:
        need *= max(latency_ratio(service), 1.0)
    size = _WORKERS * (felt(service, "slots") if "slots" in service.levers else 1.0)
    if size < _WORKERS and need > 0.95 * size:
        said = [f"worker pool is full: {size:.0f} of {size:.0f} busy"]
    elif sheds or need > 0.95 * _WORKERS:
        a, b = in_zones(service, "shed")
        where = "in the busiest pod " if _busiest(service) < 1 else "in zone b " if a < b else ""
        said = [f"{where}{_WORKERS} of {_WORKERS} busy, requests wait"]
    else:
        said = [f"{min(need + held * _WORKERS, size):.0f} of {size:.0f} busy"]
    said += _off(world, service, (*_HELD, "pipeline")) or ["none blocked"]
    return Outcome("; ".join(said + _off(world, service, ("bad_process", "leak"))), None)


def _busiest(service: Service) -> float:
    """Share of the requests that the busiest pod gets; 1 where pods are even."""
    return next((part.weight for part in service.parts if part.share == 0.1), 1.0)


look("thread_dump")(_threads)
look("inspect_thread_pool")(_threads)


@look("check_gc_pressure")
def check_gc_pressure(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """The heap: how full, what fills it, how fast it grows, and its limit."""
    limit, usual = service.memory_limit, memory_mb(service)
    used, held = min(service.now.memory, 1) * limit, dict[str, float]()
    above = max(used - service.memory, 0.0)
    steady = min(service.heap, above)
    for name in sorted(service.levers):
        if (head := family(name)) in ("grow", "fill", "heap", "leak"):
            what = name.partition(".")[2] or {"leak": LEAKED, "fill": TENANT}[head]
            share = felt(service, name) * service.features.get(what, 1.0)
            if head == "heap":
                share *= steady / (service.heap or 1)
            else:  # what has grown is of all that grow, each as fast as it does
                grows = service.grow * sized_at(service, world.tick)
                share *= (above - steady) / (grows or 1) / (5 if head == "fill" else 1)
            held[what] = held.get(what, 0.0) + share
    fills = ", ".join(
        f"{what} {share * usual:+.0f} MB"
        for what, share in worst_first(held).items()
        if share / limit >= 0.015
    )
    return Outcome(
        f"memory {used / limit:.0%} of {limit * usual:.0f} MB, {_growth(service)}; "
        f"above usual: {fills or ('nothing yet' if service.grow else 'nothing')}; "
        f"the limit can be at most {MOST_MEMORY * usual:.0f} MB",
        None,
    )


def _growth(service: Service) -> str:
    """Where a heap is going, by its limit as it is now."""
    grows, room = service.grow / service.memory_limit, 1 - service.now.memory
    if any(part.renew for part in service.parts):
        return "pods are being replaced and start empty"
    if room <= 0:
        return "full"
    if grows == 0 or max(part.fill for part in service.parts) >= service.grow_cap - 1e-9:
        return "steady"
    most = service.memory + service.heap + service.grow_cap
    end = f"bounded at {most / service.memory_limit:.0%}"
    if fills_up(service):
        end = f"full in about {minutes(max(int(room / grows), 1))}"
    return f"{2 * grows:+.1%} a minute, {end}"


def _cpu(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """CPU per request, what it goes to, and its limit."""
    spent = {
        feature: part * felt(service, name)
        if (name := f"cpu.{feature}") in service.levers
        else part
        for feature, part in service.features.items()
    }
    logging = felt(service, "logging") if "logging" in service.levers else 0.0
    whole = logging
    for each in spent.values():
        whole += each
    most = max(spent, key=lambda feature: spent[feature] / service.features[feature])
    ratio = cpu_of_request(service) / service.work
    said = [f"CPU per request {ratio:.1f}x usual{by_zone(service, 'cpu.', ratio, '{:.1f}x')}"]
    if spent[most] / service.features[most] > 1.5:
        said.append(
            f"{most} {spent[most] / whole:.0%} of it ({service.features[most]:.0%} of requests)"
        )
    if logging:
        said.append(f"writing logs {logging / whole:.0%} of it")
    if (late := 1 - service.cpu / cpu_of_request(service)) > 0.02:
        said.append(f"cleaning up after abandoned requests {late:.0%} of it")
    limit = service.levers.get("cpu_limit", 1.0)
    said.append(f"CPU limit {limit:.2f}x usual")
    if "neighbour" in service.levers:
        said.append(
            f"{felt(service, 'neighbour'):.0%} of its CPU in zone b taken by another team's pods"
        )
    return Outcome("; ".join(said), None)


look("profiler_dump")(_cpu)
look("strace_process")(_cpu)

OBJECTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "inspect_network_policy": (
        "Ways in: network policy, endpoints, registered instances, certificates, roles, clock.",
        ("denied", "endpoint", "stale_instances", "slots_switch", "proxies", "path", "zone_lost",
         "certificate", "role", "clock"),
    ),
    "inspect_mtls_status": ("Certificates, roles and clock.", ("certificate", "role", "clock")),
    "inspect_quota_usage": ("Rate limits and provider quota.", ("limit", "quota")),
    "inspect_consensus_state": (
        "Stored data: primaries, quorum, replicas' lag, diverged keys, cache entries and hits.",
        ("leaders", "minority", "zone_lag", "bad_keys", "bad_cache", *MISSES),
    ),
    "inspect_pipeline_topology": ("A pipeline's workers.", ("pipeline",)),
}  # fmt: skip


def _off(world: World, service: Service, families: Collection[str]) -> list[str]:
    """What is off, how much (the share concerned, or what is left of the usual), and since when."""
    said = []
    for name in sorted(service.levers):
        head, value = family(name), felt(service, name)
        if head in families:
            left = " of usual" if LEVERS[head].usual else ""
            much = "" if head in ("hot", "leak", *UNREADY) else f" ({value:.0%}{left})"
            said.append(f"{describe(service, name)}{much}{began(world, service, name)}")
    return said


def _found(name: str, service: Service, said: list[str]) -> Outcome:
    """What a look found, or that it found nothing and where."""
    nothing = f"{service.name}: nothing unusual. Looked at: {ACTIONS[name].summary}"
    return Outcome("; ".join(said) or nothing, None)


def _object_look(name: str, summary: str, families: tuple[str, ...]) -> None:
    def do(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
        said = _off(world, service, families)
        if service.kind == "job" and "pipeline" in families:
            said.append(f"{service.backlog:.0f} items wait")
        return _found(name, service, said)

    do.__doc__ = summary
    look(name)(do)


for _name, (_summary, _families) in OBJECTS.items():
    _object_look(_name, _summary, _families)


@look("inspect_cluster_topology")
def inspect_cluster_topology(
    world: World, service: Service, parameters: Mapping[str, Any]
) -> Outcome:
    """Pods and why some are not ready, zones, versions side by side, the busiest pod, nodes."""
    ready, whole = pods(service)
    said = [f"pods {ready}/{whole} ready"] if ready < whole else []
    said += _off(world, service, {*UNREADY, "pipeline"})
    if service.kind == "job":
        said.append(f"{service.backlog:.0f} items wait")
    if (hot := _busiest(service)) < 1:
        shares = f"{hot:.0%} of the requests, each other {(1 - hot) / (service.pods - 1):.0%}"
        said.append(f"busiest pod has {shares}")
    if build := service.build:
        if build.staged and "build" not in service.rolled:
            said.append(f"zone a runs {build.before}, zone b {build.version}")
        elif standing := canary(service, build):
            said.append(standing)
    if drained := drained_at(service, world.tick):
        said.append(f"zone b drained by {drained:.0%}")
    said += _off(
        world,
        service,
        ("hot", "proxies", "zone_lost", "zone_fails", "neighbour", "minority", "zone_lag"),
    )
    return _found("inspect_cluster_topology", service, said)
