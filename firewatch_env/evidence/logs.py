"""Log lines: what a service writes about itself and about those it calls."""

from __future__ import annotations

from firewatch_env.engine.levers import family, felt
from firewatch_env.engine.service import Service
from firewatch_env.engine.world import World
from firewatch_env.evidence.measuring import share
from firewatch_env.evidence.meters import count, pods, read

# What a lever that is off makes a service write; {f} is the feature, {v} the share of its requests.
_LINES: dict[str, str] = {
    "errors": "ERROR 500 NullPointerException on {f}: {v:.2f} of its requests",
    "stale_build": "ERROR 500 unknown field, written by a later build: {v:.2f}",
    "stale_revision": "ERROR 500 setting not understood: {v:.2f}",
    "refuse": "WARN 403 on {f}: {v:.2f} of its requests",
    "limit": "WARN 429 on {f}: {v:.2f} of its requests",
    "quota": "WARN 429 on {f}: {v:.2f} of its requests",
    "hits": "INFO hits on {f}: {v:.2f} of usual",
    "cold_cache": "INFO keys loaded since the start: {v:.2f} of usual",
    "small_cache": "INFO room for keys: {v:.2f} of usual",
    "logging": "INFO request body follows",
    "meter": "ERROR 500 NullPointerException on {f}: {v:.2f} of its requests",
    "bots": "WARN 403 on {f}: {v:.2f} of its requests",
    **dict.fromkeys(
        ("bad_process", "leaders", "bad_keys", "bad_cache", "canary", "mixed", "zone_lag",
         "minority", "zone_fails"),
        "ERROR 500 NullPointerException on {f}: {v:.2f} of its requests",
    ),
    **dict.fromkeys(("clock", "role"), "WARN 403 on {f}: {v:.2f} of its requests"),
    **dict.fromkeys(
        ("pods", "environment", "cold", "probes", "backoff", "rollout"),
        "WARN readiness: probe of a pod of this version failed",
    ),
}  # fmt: skip
_IN_ZONE_B = frozenset({"zone_lag", "minority", "zone_fails"})
_NOISE = (
    "INFO started request batch",
    "INFO config reloaded, no difference",
    "INFO deploy of docs finished",
    "INFO connection pool stats written",
    "INFO retention job done",
)
SHOWN = 8


def lines(world: World, service: Service, injected: str = "") -> tuple[str, ...]:
    """The service's last log lines, the most telling ones last."""
    said: list[tuple[float, str]] = []
    for name in sorted(service.levers):
        text = _LINES.get(family(name))
        if text is None or not _shows(service, name):
            continue
        channel = name.partition(".")[2]
        value = felt(service, name)
        if family(name) in ("limit", "quota"):
            value = _over(service, name, value)
        if family(name) in _IN_ZONE_B and len(service.parts) > 1:
            # Lines are of all pods: which of them wrote one, they do not say.
            value *= service.parts[1].weight
        weight = _weight(service, name)
        value = share(service, f"log {channel}", value)
        # What concerns every request is written of those that there are most of.
        most = sorted(service.features, key=lambda f: -service.features[f])[:2]
        for feature in [channel] if channel or "{f}" not in text else most:
            said.append((weight, text.format(f=feature, v=value)))
    said += _own(service, count(service).shed, read(service).memory)
    said += _callees(service)
    said.sort(key=lambda pair: (pair[0], pair[1]))
    told = [text for _, text in said][-SHOWN:]
    quiet = [_NOISE[(service.pods + number) % len(_NOISE)] for number in range(SHOWN - len(told))]
    stamped = [*quiet, *told]
    if injected:
        stamped.insert(len(stamped) - 1, injected)
    return tuple(f"t={world.tick} {service.name} {text}" for text in stamped[-SHOWN:])


def _over(service: Service, name: str, value: float) -> float:
    """Share of a feature's requests that are over a limit."""
    channel = name.partition(".")[2]
    over = 1 - value / service.features[channel] if channel else 1 - value
    return over if over > 0 else 0.0


def _shows(service: Service, name: str) -> bool:
    """Whether a lever's channel has requests that can fail, and its pulse is on."""
    channel = name.partition(".")[2]
    if channel and service.features.get(channel, 0.0) <= 0:
        return False
    if family(name) == "limit":
        return service.now.limited > 0.001 and service.features[channel] > service.levers[name]
    return True


def _weight(service: Service, name: str) -> float:
    channel = name.partition(".")[2]
    value = felt(service, name)
    return (service.features.get(channel, 1.0) if channel else 1.0) * (value if value < 1 else 1.0)


def _own(service: Service, shed: float, memory: float) -> list[tuple[float, str]]:
    said: list[tuple[float, str]] = []
    if shed > 0.01:
        if service.now.use > 0.95:
            said.append((shed, f"WARN 503 queue full, high latency: {shed:.2f} of all requests"))
        else:
            said.append(
                (shed, f"WARN 503 HikariPool: no connection, timed out after 3000ms: {shed:.2f}")
            )
    if any(part.down for part in service.parts):
        ready, whole = pods(service)
        said.append((0.9, f"ERROR OOMKilled, exit code 137; {ready} of {whole} pods left"))
    elif memory > 0.85:
        said.append((0.3, f"WARN heap {memory:.2f} of the memory limit, collector busy"))
    if service.kind == "job" and service.backlog > 60 * service.usual_load:
        said.append((0.5, f"WARN {service.backlog:.0f} items wait"))
    return said


def _callees(service: Service) -> list[tuple[float, str]]:
    said = []
    for call in service.calls:
        name = call.callee.name
        if call.breaker:
            said.append((0.2, f"WARN circuit breaker open: {name}"))
        elif call.fail > 0.02:
            lost = call.callee.now.lost
            told = [share(service, f"log {name}", each) for each in (call.fail, call.late, lost)]
            if call.late > lost and call.late > 0.05:
                text = f"WARN {name} DEADLINE after {call.timeout:.3g}s: {told[1]:.2f}"
            elif lost > 0.02:
                by = ", ".join(
                    f"{key[5:]} {share(call.callee, f'log {key}', felt(call.callee, key)):.2f}"
                    for key in sorted(call.callee.levers)
                    if family(key) == "path" and call.callee.features.get(key[5:], 0.0) > 0
                )
                text = f"WARN {name} UNAVAILABLE, connection refused: {told[2]:.2f}"
                text += f" (by feature: {by})" if by else ""
            else:
                text = f"WARN {name} answers with failures: {told[0]:.2f}"
            said.append((0.8 * call.fail * min(call.calls, 1.0), text))
    return said
