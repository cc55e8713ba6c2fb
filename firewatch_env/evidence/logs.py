"""Log lines: what a service writes of itself and of those it calls."""

from __future__ import annotations

import re
from zlib import crc32

from firewatch_env.engine.families import UNNOTICED, no_customers
from firewatch_env.engine.levers import family, felt
from firewatch_env.engine.motion import cut, zone_share
from firewatch_env.engine.service import USUAL_QUEUE, Service
from firewatch_env.engine.tick import SECONDS
from firewatch_env.engine.world import World
from firewatch_env.evidence.meters import (
    MISSES,
    RECENT,
    UNREADY,
    asked,
    by_status,
    pods,
    releases,
    ways,
)
from firewatch_env.evidence.signs import SIGNS, describe, event

_MOST = 5
_TAIL = 12  # lines that a reader gets
_Said = tuple[float, str, float]  # what a line matters, its text, how often a second it is written
_ROUTINE: dict[str, tuple[str, ...]] = {
    "proxy": (
        "INFO  routes reloaded, none changed", "WARN  incomplete header from client 10.4.2.{n}",
        "INFO  {n} idle connections closed", "INFO  rate counters reset",
    ),
    "app": (
        "INFO  flags reloaded, none changed", "WARN  locale left empty, default used",
        "INFO  {n} stale entries dropped", "INFO  metrics flushed, {n} series",
    ),
    "store": (
        "INFO  checkpoint written, {n} pages", "INFO  vacuum: {n} dead rows removed",
        "INFO  statistics updated", "INFO  backup segment shipped, {n} MB",
    ),
    "cache": (
        "INFO  snapshot saved in {n} ms", "INFO  {n} expired keys removed",
        "INFO  idle client 10.4.2.{n} closed", "INFO  hash table resized, {n} thousand slots",
    ),
    "job": (
        "INFO  offset saved: {n}", "INFO  schedule read, none changed",
        "INFO  {n} finished items purged", "INFO  lease renewed",
    ),
}  # fmt: skip
"""What programs write on any day, by the kind of service."""


def lines(world: World, service: Service) -> tuple[str, ...]:
    """The service's last log lines, the most telling ones last.

    What repeats stands once, with how often; a service that is asked little says little.
    """
    said = sorted([*_own(world, service), *_resources(service), *_callees(service)])[-6:]
    if said and service.name in world.advice:  # monitors warn while something is wrong
        said.insert(-1, (0.0, f"WARN  {world.advice[service.name]}", 0.0))
    # Routine lines, one a tick at most, the more often the more requests there are.
    read = world.logs.setdefault(service.name, [])
    since = max((tick for tick, _ in read), default=world.first)
    ticks = range(max(since + 1, world.tick - max(_MOST - len(said), 1)), world.tick)
    often = min(service.load, 100) if pods(service)[0] else 0
    found = [
        (tick, _routine(world, service, tick))
        for tick in ticks
        if _key(world, service, tick) // 7 % 100 < often
    ]
    found += [(world.tick, _now(world, service, n, len(said), said[n])) for n in range(len(said))]
    killed = service.killed
    if killed is not None and world.tick - killed < RECENT:  # at the end of that tick
        text = "ERROR OOMKilled, exit code 137: container restarts"
        found.append((killed, f"{world.clock(killed)}:{30 * (killed % 2) + 29} {text}"))
    moved = [each for tick in world.changes for each in world.changes[tick]]
    for name in dict.fromkeys(each.lever for each in moved if each.service == service.name):
        if began := event(world, service, name):
            tick, text = began
            second = 30 * (tick % 2) + _key(world, service, tick) // 3 % 30
            found.append((tick, f"{world.clock(tick)}:{second:02} INFO  ops-event: {text}"))
    # What was read stays: a log is only ever added to.
    found = sorted({*found, *read}, key=lambda line: (line[0], line[1]))
    world.logs[service.name] = found
    return tuple(text for _, text in found[-_TAIL:]) or ("no line in the last two minutes",)


def _routine(world: World, service: Service, tick: int) -> str:
    """The line that a service wrote in a tick of any day."""
    texts, key = _ROUTINE[service.kind], _key(world, service, tick)
    text = texts[key % len(texts)].format(n=10 + key // 31 % 240)
    return f"{world.clock(tick)}:{30 * (tick % 2) + key % 30:02} {text}"


def _now(world: World, service: Service, number: int, of: int, said: _Said) -> str:
    """A line of this tick, the `number`th of so many; with an id if it is about one request."""
    _, text, rate = said
    key = _key(world, service, world.tick * 8 + number)
    about = re.search(r"\.java:| (403|429|500) (?!ms)", text) is not None
    second = 30 * (world.tick % 2) + (30 * number + key % 30) // of
    request = f" req={key % 65536:04x}" * about
    times = round(rate * SECONDS)
    often = f" (×{times:,} in {SECONDS} s)" if times > 1 else ""
    return f"{world.clock(world.tick)}:{second:02} {text}{request}{often}"


def _key(world: World, service: Service, number: int) -> int:
    return crc32(f"{service.name} {world.minute} {number}".encode())


def _own(world: World, service: Service) -> list[_Said]:
    said = []
    ended = by_status(service)
    for name in service.levers:
        head = family(name)
        sign = SIGNS.get(head)
        if sign is None or (sign.zone_b and zone_share(service, service.clock) == 0):
            continue
        channel = name.partition(".")[2]
        value = felt(service, name)
        weight = (service.features.get(channel, 1.0) if channel else 1.0) * min(value, 1.0)
        if head in UNNOTICED:
            weight = no_customers(service)
        elif head in MISSES:
            weight = 1.0 if value < 0.95 else 0.0
        elif head in ("limit", "slots", "timeout", "cpu_limit"):
            weight = 1.0 if value < 0.5 else 0.0
            if head == "limit" and service.now.limited < 0.005:
                weight = 0.0
        elif head in ("cpu", "calls", "tries", "queries"):
            weight = 0.6 if value >= 2 else 0.0
        elif head in ("heap", "grow", "fill", "leak"):
            weight = 0.5 if service.now.memory > 0.8 else 0.0
        if weight < 0.02:
            continue
        told = _blamed(service, name) if world.blamed else ""
        level = sign.level or ("ERROR" if sign.status == "500" else "WARN")
        text = f"{level:5} {describe(service, name, told)}"
        said.append((weight, text, asked(service) * min(weight, ended.get(sign.status, 0.0))))
    return said


def _blamed(service: Service, lever: str) -> str:
    """The release that moved a lever, as a line names it."""
    for which, release in releases(service):
        if which not in service.rolled and any(s.lever == lever for s in release.settings):
            kind = "version" if which == "build" else "config"
            return f" ({kind} {release.version})"
    return ""


def _resources(service: Service) -> list[_Said]:
    now, said = service.now, []
    if now.shed > 0.01:
        shed = asked(service) * now.shed
        if not pods(service)[0]:
            said.append((now.shed, "WARN  ingress: 503 no healthy upstream", shed))
        elif now.use > 0.95:
            said.append((now.shed, "WARN  503 queue full, request shed", shed))
        elif not any(family(name) in UNREADY for name in service.levers):
            said.append((now.shed, "WARN  503 worker timed out, request dropped", shed))
    if now.memory > 0.85 and pods(service)[0]:
        busy = "collector busy" if service.kind == "app" else "pages are reclaimed"
        said.append((0.4, f"WARN  memory at {now.memory:.0%} of its limit, {busy}", 0.0))
    if (moving := cut(service, service.clock)) > 0.01:
        said.append((moving, "ERROR 500 connection reset, zone b drains", service.load * moving))
    if service.queue < USUAL_QUEUE:
        said.append((0.1, "INFO  connection throttle on", 0.0))
    return said


def _callees(service: Service) -> list[_Said]:
    said = []
    for call in service.calls:
        name = call.callee.name
        if call.breaker and f"fallback.{name}" not in service.levers:
            said.append((0.3, f"WARN  circuit breaker open for {name}, answering without it", 0.0))
        elif call.fail > 0.02 and f"timeout.{name}" not in service.levers:
            sent = service.load * service.passing * call.calls
            for how, share in ways(call).items():
                if share >= 0.1 * call.fail:
                    weight = 0.8 * share * min(call.calls, 1.0)
                    said.append((weight, f"WARN  call to {name} failed: {how}", sent * share))
    return said
