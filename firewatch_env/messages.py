"""The words that a player gets: the brief, the opening, and how things stand after each tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from firewatch_env.engine.service import Service
from firewatch_env.engine.world import World
from firewatch_env.evidence.alerts import CUSTOMERS
from firewatch_env.evidence.meters import (
    BELOW,
    ERRORS,
    HIGH_CPU,
    HIGH_MEMORY,
    POOR_HITS,
    RECENT,
    SLOW,
    TIMEOUTS,
    WAITING,
    Meters,
    by_status,
    idle,
    pods,
    severity,
)
from firewatch_env.evidence.signs import LOST
from firewatch_env.grade import MOST_CHANGES, Grade
from openenv_kit.float_sum import sum_left_to_right

BRIEF = """\
You are on call for an online shop. Customers are let down by errors, slow or incomplete answers; \
every tool call takes 30 seconds (one tick). End the incident: find what is broken, repair it, \
declare it resolved.

Looking costs time only. Start where customers come in and follow the calls that fail \
(trace_dependencies): the service that pages is not always the broken one, and not all page. \
get_metrics_detail splits a service's failures by version, zone, feature and client and says \
since when; inspect_commit_diff is its change log. Most of it is harmless. Logs are what programs \
wrote: some is about something else, and advice may be wrong.

Failures are shares of the requests sent to a service. 5xx: it answered with a server error. Own \
failures: they arise in the service itself, refused and lost requests included. A proxy passes \
its callees' failures on; they are not in its 5xx.

More pods or CPU, a drained zone, an open breaker, a throttle or a longer timeout buy time; when \
the incident ends they are taken back. A repair lasts: undoing the build or the setting that did \
it, restarting what is stuck, a runbook. Repairs go out by quarters in two minutes; as healthy \
pods take the load, the first may be enough. Undoing a good change brings back what it fixed, and \
a release older than a day cannot be undone safely.

One fault may hide another. When customers are well, look once more: something may still be \
filling up. Alerts may be false: if customers are well and stay well, declare without a change.

Score, 0 to 1: precision × (0.55 if it is over for good and declared + 0.45 × the share that you \
spared customers of what the reference player spares them). Each change without which customers \
would have been no worse off costs a quarter, as does a runbook that finds nothing to put right; \
setting what is set already is free. Only customers count, not other clients. The budget is what \
was left when you came: ten ticks with every customer let down use it up; harm counts on."""
_NAMED = 5  # unneeded changes, at most
_RISE = 0.05  # of memory since tick 0


def opening(
    world: World, alerts: Sequence[Mapping[str, Any]], graph: Mapping[str, Sequence[str]]
) -> str:
    """The page that wakes the engineer: alerts, where customers come in, and who calls whom."""
    rang = dict[str, str]()  # by service, after the severity of its worst alert
    for each in alerts[:5]:
        name, text = each["service_name"], each["description"]
        more = f"{rang[name]}, {text.partition(': ')[2]}" if name in rang else ""
        rang[name] = more or f"{each['severity'].upper()} {text}"
    paged = "; ".join(rang.values()) or "No alert"
    calls = "; ".join(
        f"{caller} → {', '.join(callees)}" for caller, callees in graph.items() if callees
    )
    entries = ", ".join(service.name for service in world.entries)
    let_down = [shares[-1] for shares in world.history or ()]
    well = [tick for tick, share in enumerate(let_down, world.first) if share < CUSTOMERS]
    rung = max(well, default=world.first - 1) + 1
    if rung < 0:
        paged += f". First paged at {world.clock(rung)}, not acknowledged, escalated to you"
    return f"{paged}. Customers come in at {entries}. Calls: {calls}."


def situation(
    world: World, meters: Mapping[str, Meters], memory: Mapping[str, float], budget: float, of: int
) -> str:
    """How customers and services are after a tick.

    Args:
        world: at the end of the tick.
        meters: of every service now.
        memory: of every service at tick 0.
        budget: per cent of the budget left.
        of: ticks of the episode.
    """
    unwell = [
        text
        for service in world.services
        if (text := _unwell(world, service, meters[service.name], memory[service.name]))
    ]
    customers = f"{world.let_down:.1%} are let down" if world.harm else "all well"
    left = f"{budget:.0f}% left"
    if world.harm and not budget:
        left = "used up, harm counts on"
    return (
        f"{world.clock(world.tick)}, tick {world.tick} of {of}. Customers: {customers}, budget "
        f"{left}. Unwell: {'; '.join(unwell) or 'none'}."
    )


def _unwell(world: World, service: Service, now: Meters, memory: float) -> str:
    """What is unusual about a service, after how bad that is; nothing where it looks well."""
    below = service.masks and any(call.fail and not call.optional for call in service.calls)
    rest = (
        service.now.refused or service.now.limited or service.now.lost or "bots" in service.levers
    )
    shares = by_status(service) if below or (rest and now.seen >= ERRORS) else {}
    failing = {how: share for how, share in shares.items() if how in (LOST, "403", "429")}
    if now.own >= (0.005 if failing else ERRORS):
        failing["5xx"] = now.own * (1 - service.now.lost)
    if service.masks and (passed := shares.get(TIMEOUTS, 0.0) + shares.get(BELOW, 0.0)) >= ERRORS:
        failing["passed on from callees"] = passed
    said = [f"{how} {share:.0%}" for how, share in failing.items()]
    if failing and idle(service):
        said = [f"hardly any requests, {max(failing.values()):.0%} fail"]
    ready, whole = pods(service)
    if ready < whole:
        said.append(f"{ready}/{whole} pods ready")
    if now.p99 >= SLOW:
        said.append(f"p99 {now.p99:.1f} s")
    if ready and now.cpu >= HIGH_CPU:  # of dead pods, meters show what they showed last
        said.append(f"CPU {now.cpu:.0%}")
    risen = now.memory >= memory + _RISE
    if ready and (risen or now.memory >= HIGH_MEMORY):
        said.append(f"memory {f'{memory:.0%} → ' * risen}{now.memory:.0%}")
    if service.killed is not None and world.tick - service.killed < RECENT:
        said.append(f"out of memory at {world.clock(service.killed)}")
    if service.backlog > WAITING * service.usual_load:
        said.append(f"{service.backlog:.0f} items wait")
    if service.hits < POOR_HITS:
        said.append(f"cache hits {service.hits:.0%}")
    if any(call.breaker for call in service.calls):
        said.append("breaker open")
    if not said:
        return ""
    fail = sum_left_to_right(failing.values())
    return f"{service.name} {severity(now, fail, ready / whole)} ({', '.join(said)})"


def verdict(grade: Grade) -> str:
    """The grade in a few sentences, with the changes that were not needed."""
    ended = "over for good" if grade.over else "not over"
    needless = "; ".join(grade.needless[:_NAMED])
    more = f" and {grade.unneeded - _NAMED} more" if grade.unneeded > _NAMED else ""
    if grade.changes > MOST_CHANGES:
        needless, more = f"more than {MOST_CHANGES} changes all count as such", ""
    return (
        f"Score {grade.score:.2f} = precision {grade.precision:.2f} × (0.55 × {grade.resolved:g} "
        f"({ended}) + 0.45 × {grade.impact:.2f} of the harm that the reference player spares). "
        f"Looks: {grade.looks}; changes that did something: {grade.changes}; "
        f"customers no worse off without: {needless or 'none'}{more}."
    )
