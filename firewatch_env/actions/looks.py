"""Looks from outside: logs, metrics, traces and the change log. They change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firewatch_env.actions.registry import Outcome, look
from firewatch_env.engine.catalogue import USUAL_HITS
from firewatch_env.engine.service import PROMOTED, Call, Release, Service
from firewatch_env.engine.world import DAY, World
from firewatch_env.evidence.logs import lines
from firewatch_env.evidence.meters import (
    ERRORS,
    FROM_CALLEES,
    RECENT,
    asked,
    by_status,
    by_zone,
    failing,
    idle,
    in_zones,
    latency_ratio,
    pods,
    read,
    releases,
    seconds,
    since,
    split,
    timed_out,
)
from firewatch_env.evidence.signs import SPELL, began, event

_STEP, _POINTS = 16, 4  # ticks between points of a series, and how many
_LEAF = "It calls no other service."
_SLOWER = 1.45  # times the usual latency from which on, up or down, both are told


def _shares(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in shares.items())


def worst_first(shares: Mapping[str, float]) -> dict[str, float]:
    """Shares by name, the greatest first."""
    return dict(sorted(shares.items(), key=lambda pair: (-pair[1], pair[0])))


@look("fetch_logs")
def fetch_logs(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """The service's last log lines, newest first."""
    found = lines(world, service)
    return Outcome("\n".join(reversed(found)), None, {"lines": len(found)}, found)


@look("get_metrics_detail")
def get_metrics_detail(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Failures by status, version, zone and feature, since when, and CPU, memory and pods."""
    m, statuses = read(service), worst_first(by_status(service))
    ready, whole = pods(service)
    own, passed = (
        _shares({how: share for how, share in statuses.items() if (how in FROM_CALLEES) is callees})
        for callees in (False, True)
    )
    seen = [call for call in service.callers if timed_out(call) >= 0.01]
    own = own or ("none, callers time out first" if seen else "none")
    own += ", of hardly any requests" if idle(service) else ""
    said = [f"{service.name}: own failures: {own}{passed and '; '}{passed}."]
    for name, shares in split(service).items():
        most = max(shares.values(), default=0)
        if len(shares) > 1 and 0.005 <= most < min(shares.values()) + 0.005:
            said.append(f"By {name}: no difference.")
        elif most >= 0.005:
            shed = name in ("version", "feature") and service.now.shed >= 0.005
            of_each = f"own failures of each{', 503s apart' * shed}"
            said.append(f"By {name} ({of_each}): {_shares(worst_first(shares))}.")
    said += [f"Seen by {call.caller.name}: {failing(call)}." for call in seen]
    extra = ""
    if service.kind == "cache":
        zones = by_zone(service, "hits.", service.hits, "{:.0%}")
        extra = f", cache hits {service.hits:.0%}{zones} (usual {USUAL_HITS:.0%})"
    elif service.kind == "job":
        extra = f", {service.backlog:.0f} items wait"
    if service.killed is not None and world.tick - service.killed < RECENT:
        extra += f", pods out of memory at {world.clock(service.killed)}"
    a, b = in_zones(service, "use")
    zones = f" (zone a {a:.0%}, zone b {b:.0%})" if abs(a - b) >= 0.005 else ""
    # A client that is no customer asks as much on any day.
    load = asked(service) / (service.usual_load + service.stranger[0])
    said.append(
        f"{'last seen ' * (not ready)}CPU {m.cpu:.0%}{zones}, memory {m.memory:.0%}, "
        f"pods {ready}/{whole} ready, load {load:.1f}x usual, latency {_latency(service)}{extra}."
    )
    said += _series(world, service)
    return Outcome("\n".join(said), None, {"failing": statuses, "ready": ready, "pods": whole})


def _latency(service: Service) -> str:
    if not service.lat:
        return "unknown"
    usual, now = seconds(service.usual_lat), _answers_in(service)
    if latency_ratio(service) <= 1 / _SLOWER:
        return f"{now}, faster than the usual {usual}"
    return f"{now} as usual" if latency_ratio(service) < _SLOWER else f"{now}, usually {usual}"


def _answers_in(service: Service) -> str:
    """How long a request takes; the average, told so, where one zone or pod is slower."""
    slow = any(lat > _SLOWER * service.usual_lat for _, lat in service.answers)
    return f"{seconds(service.lat)} on average" if slow else seconds(service.lat)


def _series(world: World, service: Service) -> list[str]:
    """Failures over time, with what came out in between; nothing where hardly anything failed."""
    at = world.services.index(service)
    if not world.history:
        return []
    past = {tick: shares[at] for tick, shares in enumerate(world.history, world.first)}
    ticks = range(world.tick - _STEP * (_POINTS - 1), world.tick + 1, _STEP)
    # Before the history begins it was an ordinary day.
    shown = {tick: past.get(tick, 0.0) for tick in ticks}
    peak = max((share, tick) for tick, share in past.items() if tick >= ticks[0])
    if peak[0] >= max(shown.values()) + ERRORS:  # between two points
        shown[peak[1]] = peak[0]
    if max(shown.values()) < 0.01:
        return []
    points = [(tick, f"{share:.0%}") for tick, share in shown.items()]
    for which, release in releases(service):
        if release.tick >= ticks[0]:
            points.append((release.tick, f"[{_named(which, release)}]"))
    if spell := event(world, service, SPELL):
        points.append((spell[0], f"[{spell[1]}]"))
    # Within a minute a change stands before what it may have done.
    points.sort(key=lambda point: (point[0] // 2, point[1][0] != "["))
    text = ", ".join(f"{world.clock(tick)} {text}" for tick, text in points)
    fired = since(world, service)
    if fired is not None:
        text += f"; five-minute rate over {ERRORS:.0%} since {world.clock(fired)}"
    return [f"Own failures: {text}."]


def _named(which: str, release: Release) -> str:
    return f"{'build' if which == 'build' else 'config'} {release.version}"


@look("trace_dependencies")
def trace_dependencies(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """How its calls to each callee go, the worst first, and how those to it go."""
    calls = sorted(service.calls, key=lambda call: (-hurts(call), call.callee.name))
    described = [(call, _call(world, call)) for call in calls]
    said = [f"{call.callee.name}: {text}." for call, text in described if text]
    fine = [call.callee.name for call, text in described if not text]
    if fine:
        said.append(f"Fine: {', '.join(fine)}.")
    if not calls:
        said.append(_LEAF)
    said += [_caller(call) for call in service.callers]
    return Outcome("\n".join(said), None)


def hurts(call: Call) -> float:
    """How much a call costs its caller, as a share of its requests."""
    weight = call.weight if call.optional else 1.0
    many = call.calls if call.calls < 1 else 1.0
    if call.breaker:
        return many * call.weight
    return many * (call.fail * weight + 1 - call.callee.deg) + 0.01 * (_odd(call) - 1)


def _odd(call: Call) -> float:
    """The greatest of what is unusually high about a call; 1 on an ordinary day."""
    return max(1.0, latency_ratio(call.callee) / 2, call.calls / call.usual_calls)


def _call(world: World, call: Call) -> str:
    """What is unusual about a call; nothing where it goes as usual."""
    if call.breaker:
        at = began(world, call.caller, f"fallback.{call.callee.name}")
        return f"breaker open{at}, not called; {call.weight:.0%} of answers without it are bad"
    said = []
    if call.fail >= 0.005:
        said.append(failing(call))
    if call.callee.deg < 0.99:
        said.append(f"{1 - call.callee.deg:.0%} of answers are incomplete")
    slow = latency_ratio(call.callee)
    if slow >= 2:
        said.append(
            f"answers in {_answers_in(call.callee)}, usually {seconds(call.callee.usual_lat)}"
        )
    elif call.late > 0.02:
        said.append(f"answers in {seconds(call.callee.lat)} as usual")
    if (times := call.calls / call.usual_calls) >= 1.5:
        zones = by_zone(call.caller, f"calls.{call.callee.name}", times, "{:.1f}x")
        said.append(f"{times:.1f}x the usual calls per request{zones}")
    if call.attempts >= 1.5:
        said.append(f"each tried {call.attempts:.1f} times")
    if said and call.optional:
        said.append("optional call")
    return ", ".join(said)


def _caller(call: Call) -> str:
    times = call.calls / call.usual_calls * call.attempts
    more = f", {times:.1f}x the usual calls" if times >= 1.5 else ""
    state = "breaker open" if call.breaker else failing(call) if call.fail >= 0.005 else "fine"
    part = f" in {call.calls:.0%} of its requests" if call.calls < 1 else ""
    return f"Called by {call.caller.name}{part}: {state}{more}."


@look("trace_distributed_request")
def trace_distributed_request(
    world: World, service: Service, parameters: Mapping[str, Any]
) -> Outcome:
    """The worst way down from this service, call by call."""
    way, here = [], service
    while here.calls:
        call = min(here.calls, key=lambda call: (-hurts(call), call.callee.name))
        text = _call(world, call)
        if hurts(call) < 0.006 or not text:
            break
        way.append(f"{call.callee.name}: {text.split(',')[0]}")
        here = call.callee
    fine = "Every call goes as usual." if service.calls else _LEAF
    return Outcome(" > ".join(way) or fine, None)


@look("inspect_commit_diff")
def inspect_commit_diff(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """The change log: what the last build and the last configuration changed, within a day."""
    said, fresh = [], []
    for which, release in sorted(releases(service), key=lambda pair: -pair[1].tick):
        if world.tick - release.tick <= DAY:
            fresh.append(which)
            where = ", in zone b only so far" if release.staged else ""
            texts = "; ".join(each.text for each in release.settings)
            said.append(
                f"{world.clock(release.tick)} {_named(which, release)} "
                f"({service.name.partition('-')[0]} team{where}{_back(service, which)}): {texts}"
            )
    for which, last in (("build", "last build"), ("revision", "last config")):
        if which not in fresh:
            said.append(f"{last}: a day or more ago{_back(service, which)}")
    return Outcome("\n".join(said), None)


def _back(service: Service, which: str) -> str:
    if which == "build" and service.build and (standing := canary(service, service.build)):
        return f", {standing}"
    return ", rolled back" if which in service.rolled else ""


def canary(service: Service, build: Release) -> str:
    """Which pods run a build that went out as a canary; empty for any other build."""
    levers = {setting.lever for setting in build.settings} & {"canary", "mixed"}
    if not levers:
        return ""
    out = any(name in service.levers and service.easing.get(name, (1.0,))[0] for name in levers)
    if PROMOTED in service.moved and (out or "mixed" in levers) and "build" not in service.rolled:
        return f"all pods run {build.version}"
    if out:
        return f"canary pods run {build.version}, the others {build.before}"
    return f"canary rolled back, all pods return to {build.before}"
