"""Investigations of one service's processes: threads, heap and CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firewatch_env.actions.capacity import MOST_MEMORY, memory_mb
from firewatch_env.actions.investigations import by_feature, rounded
from firewatch_env.actions.registry import Outcome, investigation
from firewatch_env.engine.families import SETTLES
from firewatch_env.engine.levers import felt
from firewatch_env.engine.service import Service
from firewatch_env.engine.tick import cpu_of_request
from firewatch_env.engine.world import World
from firewatch_env.evidence.measuring import four_digits, measured, share
from firewatch_env.evidence.meters import latency_ratio, read
from openenv_kit.adding import add_up

_THREADS = 20  # threads that one slot of the model stands for


def _pools(service: Service) -> dict[str, dict[str, float]]:
    sizes = by_feature(service, "slots")
    slow = max(latency_ratio(service), 1.0) if service.now.shed == 0 else 1.0
    # A tenth of the slots is in use on an ordinary day.
    load = measured(service, "busy", service.now.load / service.usual_load)
    need = _THREADS * service.usual_slots / 10 * load * slow
    usual = _THREADS * service.usual_slots
    pools = {}
    for f, part in service.features.items():
        size, wanted = usual * sizes.get(f, 1.0), need * part
        busy, waiting = (wanted, 0.0) if wanted < size else (size, wanted - size)
        pools[f] = {"size": size, "usual": usual, "busy": busy, "waiting": waiting}
    return pools


def _threads(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    pools = _pools(service)
    every = _THREADS * service.usual_slots
    blocked = service.levers.get("blocked", 0.0) * every
    held = every * max(service.levers.get(name, 0.0) for name in ("streams", "reconnects"))
    full = sorted(pools, key=lambda f: (-pools[f]["busy"] / (pools[f]["size"] + 1e-9), f))
    told = ", ".join(
        f"{f} {pools[f]['busy']:.0f}/{pools[f]['size']:.0f}" for f in full
    )  # of the pools, the fullest first
    spoilt = felt(service, "bad_process") if "bad_process" in service.levers else 0.0
    spoilt = share(service, "spoilt", spoilt)
    text = f"blocked {blocked:.0f}, no stream {held:.0f}, spoilt state {spoilt:.2f}; pools {told}"
    whole = {f: {name: int(v + 0.5) for name, v in pool.items()} for f, pool in pools.items()}
    figures = {
        **rounded({"blocked": blocked, "withheld": held}),
        "pools": whole,
        "spoilt_state": four_digits(spoilt),
    }
    return Outcome(text, None, figures)


@investigation("thread_dump")
def thread_dump(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Threads that are blocked, each feature's pool, and requests that spoilt state ends."""
    return _threads(world, service, parameters)


@investigation("inspect_thread_pool")
def inspect_thread_pool(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Each feature's pool: busy, size, usual size, waiting."""
    return _threads(world, service, parameters)


@investigation("check_gc_pressure")
def check_gc_pressure(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """The heap by feature, its slope, and what one request holds."""
    fill = max(part.fill for part in service.parts)
    left = 1 - fill / service.grow_cap if service.settles else 1.0
    rates: dict[str, float] = {}
    for head, ticks in (("grow", 1), ("fill", 5), ("settle", SETTLES)):
        for f, v in by_feature(service, head).items():
            rates[f] = rates.get(f, 0.0) + v * service.features[f] / ticks
    if "fill" in service.levers:
        rates["every feature"] = service.levers["fill"] / 5
    told = {f: v * service.features[f] for f, v in by_feature(service, "heap").items()}
    whole = add_up(rates.values())
    for f, rate in rates.items():
        told[f] = told.get(f, 0.0) + (fill * rate / whole if whole else 0.0)
    told = {f: measured(service, f"held {f}", held) for f, held in told.items()}
    rates = {f: measured(service, f"rate {f}", rate * left) for f, rate in rates.items()}
    text = ", ".join(
        f"{f} +{v:.2f}" + (f" (+{rates[f]:.4f})" if rates.get(f, 0.0) >= 0.0005 else "")
        for f, v in sorted(told.items(), key=lambda x: (-rates.get(x[0], 0.0), -x[1], x[0]))
    )
    slope = service.grow * left if fill < service.grow_cap - 1e-9 else 0.0
    slope = measured(service, "slope", slope)
    usual = memory_mb(service)
    figures = {
        "heap": read(service).memory, "slope": slope, "above_usual": told,
        "limit_mb": service.memory_limit * usual, "most_mb": MOST_MEMORY * usual,
    }  # fmt: skip
    return Outcome(
        f"heap {read(service).memory:.2f} of limit ({service.memory_limit:.2f} of usual), "
        f"{slope:+.4f} a tick; above usual: {text or 'nothing'}; "
        f"limit {figures['limit_mb']:.0f} MB, at most {figures['most_mb']:.0f}",
        None,
        rounded(figures),
    )


def _cpu(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    factors = by_feature(service, "cpu")
    spent = {f: part * factors.get(f, 1.0) for f, part in service.features.items()}
    logging = service.levers.get("logging", 0.0)
    whole = add_up(spent.values()) + logging
    stolen = service.levers.get("neighbour", 0.0)
    each = cpu_of_request(service)
    # Requests whose callers have given up cost CPU as well.
    abandoned = share(service, "abandoned", 1 - service.cpu / each)
    each = measured(service, "cpu", each / service.work)
    shares = {f: share(service, f"cpu {f}", v / whole) for f, v in spent.items()}
    told = ", ".join(
        f"{f} {v:.2f} (calls {service.features[f]:.2f})"
        for f, v in sorted(shares.items(), key=lambda x: (-x[1], x[0]))[:2]
    )
    limit = service.levers.get("cpu_limit", 1.0)
    figures = {
        "cpu_by_feature": shares, "limit": limit,
        "stolen_in_zone_b": stolen, "writing_logs": logging / whole,
        "cpu_per_request_ratio": each, "abandoned_work": abandoned,
    }  # fmt: skip
    return Outcome(
        f"CPU/req {each:.2f}x limit {limit:.2f} stolen(b) {stolen:.2f} "
        f"logs {logging / whole:.2f} abandoned {abandoned:.2f}; lately {told}",
        None,
        rounded(figures),
    )


@investigation("profiler_dump")
def profiler_dump(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """CPU per request and its limit now, and what CPU went to of late."""
    return _cpu(world, service, parameters)


@investigation("strace_process")
def strace_process(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """What threads spend their time on."""
    return _cpu(world, service, parameters)
