"""Log lines: what a service writes of itself and of those it calls."""

from __future__ import annotations

from zlib import crc32

from firewatch_env.engine.levers import family, felt
from firewatch_env.engine.motion import zone_share
from firewatch_env.engine.service import USUAL_QUEUE, Service
from firewatch_env.engine.world import World
from firewatch_env.evidence.meters import MISSES, RECENT, UNREADY, pods, reason, releases
from firewatch_env.evidence.signs import SIGNS, describe

_LEAST = 5
_ROUTINE: dict[str, tuple[str, ...]] = {
    "proxy": (
        "INFO  routes reloaded, none changed", "WARN  client 10.4.{n}.9 sent half a header",
        "INFO  {n} idle connections closed", "INFO  rate counters reset",
    ),
    "app": (
        "INFO  flags reloaded, none changed", "WARN  locale left empty, default used",
        "INFO  {n} stale entries dropped", "INFO  {n} sessions renewed",
    ),
    "store": (
        "INFO  checkpoint written, {n} pages", "INFO  vacuum: {n} dead rows removed",
        "INFO  statistics brought up to date", "INFO  backup segment shipped, {n} MB",
    ),
    "cache": (
        "INFO  snapshot saved in {n} ms", "INFO  {n} keys past their time removed",
        "INFO  idle reader 10.4.{n}.9 closed", "INFO  hash table resized, {n} thousand slots",
    ),
    "job": (
        "INFO  offset saved: {n}", "INFO  schedule read, none changed",
        "INFO  {n} finished items purged", "INFO  lease renewed",
    ),
}  # fmt: skip
"""What programs write on any day, by the kind of service."""


def lines(world: World, service: Service) -> tuple[str, ...]:
    """The service's last log lines, the most telling ones last."""
    said = sorted([*_own(world, service), *_resources(service), *_callees(service)])[-6:]
    texts = [text for _, text in said]
    if service.name in world.advice:
        texts.insert(max(len(texts) - 1, 0), f"WARN  {world.advice[service.name]}")
    # A failure fills as much of a log as of the requests.
    more = [text for share, text in said if share <= 1 for _ in range(round(share * _LEAST) - 1)]
    more = more[max(len(more) + len(texts) + 1 - _LEAST, 0) :]
    room = max(_LEAST - len(texts) - len(more), 1)
    failed = more + texts
    # One routine line a tick, before what this tick failed: it stays what and when it was.
    ticks = range(world.tick - room, world.tick)
    found = [(tick, _routine(world, service, tick)) for tick in ticks]
    found += [
        (world.tick, _now(world, service, n, len(failed), text)) for n, text in enumerate(failed)
    ]
    killed = service.killed
    if killed is not None and world.tick - killed < RECENT:  # at the end of that tick
        at = f"{world.clock(killed)}:{30 * (killed % 2) + 29}"
        found.append((killed, f"{at} ERROR OOMKilled, exit code 137: container restarts"))
    return tuple(text for _, text in sorted(found, key=lambda line: line[0]))


def _routine(world: World, service: Service, tick: int) -> str:
    """The line that a service wrote in a tick of any day."""
    texts, key = _ROUTINE[service.kind], _key(world, service, tick)
    text = texts[key % len(texts)].format(n=10 + key // 31 % 240)
    return f"{world.clock(tick)}:{30 * (tick % 2) + key % 30:02} {text}"


def _now(world: World, service: Service, number: int, of: int, text: str) -> str:
    """A line of this tick, the `number`th of so many; with an id if it is about one request."""
    key = _key(world, service, world.tick * 8 + number)
    about = any(part in text for part in (".java:", " 403 ", " 429 ", " 500 "))
    second = 30 * (world.tick % 2) + (30 * number + key % 30) // of
    return f"{world.clock(world.tick)}:{second:02} {text}" + f" req={key % 65536:04x}" * about


def _key(world: World, service: Service, number: int) -> int:
    return crc32(f"{service.name} {world.minute} {number}".encode())


def _own(world: World, service: Service) -> list[tuple[float, str]]:
    said = []
    for name in service.levers:
        head = family(name)
        sign = SIGNS.get(head)
        if sign is None or (sign.zone_b and zone_share(service, service.clock) == 0):
            continue
        channel = name.partition(".")[2]
        value = felt(service, name)
        weight = (service.features.get(channel, 1.0) if channel else 1.0) * min(value, 1.0)
        if head in MISSES:
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
        text = describe(service, name, _blamed(service, name) if world.blamed else "")
        said.append((weight, f"{sign.level:5} {text}"))
    return said


def _blamed(service: Service, lever: str) -> str:
    """The release that moved a lever, as a line names it."""
    for which, release in releases(service):
        if which not in service.rolled and any(s.lever == lever for s in release.settings):
            kind = "version" if which == "build" else "config"
            return f" ({kind} {release.version})"
    return ""


def _resources(service: Service) -> list[tuple[float, str]]:
    now, said = service.now, []
    if now.shed > 0.01:
        if not pods(service)[0]:
            said.append((now.shed, "WARN  503 no pod left to answer"))
        elif now.use > 0.95:
            said.append((now.shed, f"WARN  503 high latency, queue full, shedding {now.shed:.0%}"))
        elif not any(family(name) in UNREADY for name in service.levers):
            said.append((now.shed, f"WARN  503 no free worker, shedding {now.shed:.0%}"))
    if now.memory > 0.85:
        said.append((0.4, f"WARN  heap at {now.memory:.0%} of its limit, collector busy"))
    if service.queue < USUAL_QUEUE:
        said.append((0.1, "INFO  connection throttle on"))
    return said


def _callees(service: Service) -> list[tuple[float, str]]:
    said = []
    for call in service.calls:
        name = call.callee.name
        if call.breaker and f"fallback.{name}" not in service.levers:
            said.append((0.3, f"WARN  circuit breaker open for {name}, answering without it"))
        elif call.fail > 0.02 and f"timeout.{name}" not in service.levers:
            said.append(
                (
                    0.8 * call.fail * min(call.calls, 1.0),
                    f"WARN  call to {name} failed: {reason(call)}",
                )
            )
    return said
