"""Investigations of services and their calls: figures at the end of the tick, never a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firewatch_env.actions.registry import Outcome, investigation
from firewatch_env.engine.catalogue import USUAL_HITS
from firewatch_env.engine.levers import family, felt
from firewatch_env.engine.service import Call, Release, Service
from firewatch_env.engine.world import DAY, World
from firewatch_env.evidence.logs import lines
from firewatch_env.evidence.measuring import four_digits, measured, share
from firewatch_env.evidence.meters import calls_ratio, count, latency_ratio, pods, read


def by_feature(service: Service, head: str) -> dict[str, float]:
    """Values of a family's levers, by the feature that they concern."""
    return {
        name.partition(".")[2]: felt(service, name)
        for name in sorted(service.levers)
        if family(name) == head and "." in name
    }


@investigation("fetch_logs")
def fetch_logs(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """The service's last log lines."""
    found = lines(world, service, world.injected.get(service.name, ""))
    last = found[-1].partition(f" {service.name} ")[2]
    return Outcome(
        f"{service.name}: {len(found)} lines, last: {last}", None, {"lines": len(found)}, found
    )


@investigation("get_metrics_detail")
def get_metrics_detail(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Status classes, CPU, memory, pods, load and ages of the last changes."""
    m, counted = read(service), count(service)
    ready, whole = pods(service)
    latency = latency_ratio(service)
    figures: dict[str, Any] = {
        "own_5xx": m.own, "refused_4xx": counted.refused, "limited_429": counted.limited,
        "shed": counted.shed, "cpu": m.cpu, "memory": m.memory, "ready": ready, "pods": whole,
        "load": counted.load_ratio, "latency": latency,
        "build_age_s": _age(world, service, "build"),
        "revision_age_s": _age(world, service, "revision"),
        "requests_by_feature": {
            f: v * counted.load_ratio * service.usual_load for f, v in service.features.items()
        },
    }  # fmt: skip
    extra = ""
    if service.kind == "cache":
        figures["hits"] = share(service, "hits", service.hits)
        extra = f" hits {figures['hits']:.2f} (usual {USUAL_HITS})"
    elif any(part.share == 0.1 for part in service.parts):
        extra = f" hot pod {measured(service, 'hot', service.parts[1].weight * 10):.1f}x"
    text = (
        f"own {m.own:.2f} 4xx {counted.refused:.2f} 429 {counted.limited:.2f} "
        f"shed {counted.shed:.2f} cpu {m.cpu:.2f} mem {m.memory:.2f} "
        f"pods {ready}/{whole} load {counted.load_ratio:.2f}x "
        f"lat {latency:.1f}x{extra}"
    )
    return Outcome(text, None, rounded(figures))


@investigation("trace_dependencies")
def trace_dependencies(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """What the service's calls come to, the worst callee first, and what its callers ask."""
    asks = {call: calls_ratio(call) for call in service.calls}
    asked = {call: calls_ratio(call) for call in service.callers}
    calls = sorted(asks, key=lambda call: (-_hurts(call, asks[call]), call.callee.name))
    figures = {
        "callees": {call.callee.name: _call(call, asks[call]) for call in calls},
        "callers": {
            call.caller.name: {
                "calls_per_request": call.usual_calls * ratio,
                "usual": call.usual_calls,
                "tries": measured(service, "tries", call.attempts),
            }
            for call, ratio in asked.items()
        },
    }  # fmt: skip
    told = []
    for call in calls:
        if call.breaker:
            told.append(f"{call.callee.name} breaker open: answered without it")
            continue
        now = figures["callees"][call.callee.name]
        late = f"{now['late']:.2f}" + (f"@{call.timeout:.3g}s" if call.late > 0.02 else "")
        stale = 1 - call.callee.deg
        fallback = f" fallback {stale:.2f}" if stale >= 0.005 else ""
        told.append(
            f"{call.callee.name} fail {now['fail']:.2f}{fallback} late {late} "
            f"lost {now['lost']:.2f} says {now['says']:.2f} lat {now['latency_ratio']:.1f}x "
            f"n {asks[call]:.1f}x tries {now['tries']:.1f}"
        )
    callers = "; ".join(
        f"{call.caller.name} asks {ratio:.1f}x, tries {call.attempts:.1f}"
        for call, ratio in asked.items()
    )
    text = "; ".join(told) or f"{service.name} calls nobody here"
    return Outcome(f"{text} | {callers}", None, rounded(figures))


def _hurts(call: Call, ratio: float) -> float:
    """How much a call costs its caller; `ratio` is of calls made to the usual number."""
    weight = call.weight if call.optional else 1.0
    many = call.calls if call.calls < 1 else 1.0
    if call.breaker:
        return many * call.weight
    odd = ratio - 1
    return (
        many * call.fail * weight
        + many * (1 - call.callee.deg)
        + (0.001 * odd if odd > 0.2 else 0.0)
    )


def _says(service: Service) -> float:
    """Share of failures that the service itself counts: 5xx of its own, 4xx and 429."""
    counted = count(service)
    return 1 - (1 - read(service).own) * (1 - counted.refused) * (1 - counted.limited)


def _call(call: Call, ratio: float) -> dict[str, float]:
    usual = {"usual_calls": call.usual_calls, "timeout_s": call.timeout}
    if call.breaker:
        return {**usual, "calls_per_request": 0.0}
    return {
        **usual,
        "fail": _told(call, "fail", call.fail), "late": _told(call, "late", call.late),
        "lost": _told(call, "lost", call.callee.now.lost), "fallback": 1 - call.callee.deg,
        "says": _says(call.callee), "latency_ratio": latency_ratio(call.callee),
        "calls_per_request": call.usual_calls * ratio,
        "tries": measured(call.callee, "tries", call.attempts),
    }  # fmt: skip


def _told(call: Call, meter: str, value: float) -> float:
    """A share of the calls to a callee, as the caller measures it."""
    return share(call.caller, f"{meter} {call.callee.name}", value)


def _age(world: World, service: Service, which: str) -> int | None:
    """Seconds since a build or a revision came out; None for none, or one that is taken back."""
    release: Release | None = getattr(service, which)
    if release is None or which in service.rolled:
        return None
    return (world.tick - release.tick) * 30


def _changes(world: World, release: Release | None, undone: bool) -> str:
    if release is None or world.tick - release.tick > DAY:
        return "days old"
    if undone:
        return "taken back"
    told = ", ".join(f"{s.key} {s.old}→{s.new}" for s in release.settings)
    where = "in b " if release.staged else ""
    return f"{(world.tick - release.tick) // 2}m {where}{told}"


@investigation("inspect_commit_diff")
def inspect_commit_diff(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """What the last build and the last revision set, if they are younger than a day."""
    build = _changes(world, service.build, "build" in service.rolled)
    revision = _changes(world, service.revision, "revision" in service.rolled)
    return Outcome(f"build {build} | rev {revision}", None, {"build": build, "revision": revision})


SHOWN = 100  # characters of a feedback that existing clients show their models


@investigation("trace_distributed_request")
def trace_distributed_request(
    world: World, service: Service, parameters: Mapping[str, Any]
) -> Outcome:
    """The worst way down from this service: the share of calls that fail, and what is odd."""
    way, here = [], service
    while here.calls:
        hurts = {call: _hurts(call, calls_ratio(call)) for call in here.calls}
        call = min(hurts, key=lambda call: (-hurts[call], call.callee.name))
        if hurts[call] < 0.006:
            break
        way.append(f"{call.callee.name} {_told(call, 'fail', call.fail):.2f}{_odd(call)}")
        here = call.callee
    told = way
    while len(" > ".join(told)) > SHOWN and len(told[0].split()) == 2:  # nothing odd there
        told = told[1:]  # what matters is where the way ends
    return Outcome(" > ".join(told) or "no call fails", None, {"way": way})


def _odd(call: Call) -> str:
    """What is unusual about how a call is made, if anything."""
    if call.breaker:
        return " not asked"
    if calls_ratio(call) >= 2:
        return f" n {calls_ratio(call):.1f}x"
    if call.attempts >= 2.5:
        return f" tries {measured(call.callee, 'tries', call.attempts):.1f}"
    if call.late > 0.3 and latency_ratio(call.callee) < 3 and call.callee.now.lost < 0.006:
        return f" late {_told(call, 'late', call.late):.2f}"
    return ""


def rounded(value: Any) -> Any:
    """Figures with four digits, however deep in an object."""
    if isinstance(value, float):
        return four_digits(value)
    if isinstance(value, dict):
        return {
            key: four_digits(each) if type(each) is float else rounded(each)
            for key, each in value.items()
        }
    return value
