"""The reference: an engineer who knows the manual and reads only what a client's model sees.

It follows failing calls from the customers' entry down to the service that fails by itself,
measures what fails there, and finds the change that touches the same feature; where no change
does, the figures of one more tool say what is off.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass

from firewatch_env.policies.manual import (
    CONSENSUS,
    DROPPED,
    EDGE_KEYS,
    FEATURE_KEYS,
    IDENTITY,
    WAITING,
)
from firewatch_env.policies.seen import Action, Script, Seen, order

_FAILS = 0.006
_WATCH = 8  # ticks
_LATEST = 17  # tick by which an easy task had better be declared over
_CALL = re.compile(
    r"(?P<name>[a-z-]+) fail (?P<fail>[\d.]+)(?: fallback (?P<fallback>[\d.]+))? "
    r"late (?P<late>[\d.]+)(?:@(?P<timeout>[\d.]+)s)? "
    r"lost (?P<lost>[\d.]+) says (?P<says>[\d.]+) lat (?P<lat>[\d.]+)x n (?P<n>[\d.]+)x "
    r"tries (?P<tries>[\d.]+)"
)
_METRICS = re.compile(
    r"own (?P<own>[\d.]+) 4xx (?P<refused>[\d.]+) 429 (?P<limited>[\d.]+) shed (?P<shed>[\d.]+) "
    r"cpu (?P<cpu>[\d.]+) mem (?P<mem>[\d.]+) pods (?P<ready>\d+)/(?P<pods>\d+) "
    r"load (?P<load>[\d.]+)x lat (?P<lat>[\d.]+)x(?: hits (?P<hits>[\d.]+))?"
    r"(?: hot pod (?P<hot>[\d.]+)x)?"
)
Step = Generator[Action, Seen, Seen]


@dataclass(frozen=True, slots=True)
class Worst:
    """The call of a service that hurts most."""

    caller: str
    name: str
    fail: float
    late: float
    lost: float
    lat: float
    n: float
    tries: float
    breaker: bool


def reference(seen: Seen) -> Script:
    """Play until it is over; then declare."""
    cured: set[str] = set()
    while True:
        seen, acted = yield from _round(seen, cured)
        seen = yield from _settle(seen, 5 if acted else 1)
        if _well(seen):
            seen = yield from _confirm(seen)
            if _well(seen):
                break
    yield order("declare_resolved")


def _well(seen: Seen) -> bool:
    return seen.burn == 0 and not any(a["severity"] == "page" for a in seen.alerts)


def _settle(seen: Seen, ticks: int) -> Step:
    """Wait for a repair to show."""
    for _ in range(ticks):
        if _well(seen):
            return seen
        seen = yield order("get_metrics_detail", seen.entries[0])
    return seen


def _confirm(seen: Seen) -> Step:
    """Some faults rest between two spells: watch for a while before saying that it is over."""
    for _ in range(_WATCH):
        if not _well(seen) or seen.tick >= _LATEST:
            break
        seen = yield order("get_metrics_detail", seen.entries[0])
    return seen


def _round(seen: Seen, cured: set[str]) -> Generator[Action, Seen, tuple[Seen, bool]]:
    """Find one thing that is off and put it right; False if nothing was found."""
    here = seen.entries[0]
    came: Worst | None = None
    if seen.burn == 0:
        seen, done = yield from _on_its_way(seen, cured)
        if done:
            return seen, True
        seen = yield from _wait_for_harm(seen)
    for _ in range(14):
        seen = yield order("trace_dependencies", here)
        worst = _worst(here, seen.feedback)
        if worst is None:
            if seen.burn == 0 and seen.graph[here]:
                # Quiet for the moment: what comes back is looked for when it is back.
                before = seen.tick
                seen = yield from _wait_for_harm(seen)
                if seen.burn > 0 and seen.tick > before:
                    continue
            break
        kind = _edge(worst)
        if kind:
            return (yield from _mend_call(seen, worst, kind))
        came, here = worst, worst.name
    if came is None or here.endswith("-queue"):
        return (yield from _pipelines(seen, cured))
    return (yield from _mend(seen, here, came))


def _wait_for_harm(seen: Seen) -> Step:
    for _ in range(12):
        if seen.burn > 0:
            break
        seen = yield order("get_metrics_detail", seen.entries[0])
    return seen


def _worst(here: str, text: str) -> Worst | None:
    broken = re.match(r"([a-z-]+) breaker open", text)
    if broken:
        return Worst(here, broken[1], 0, 0, 0, 1, 1, 1, breaker=True)
    found = _CALL.match(text)
    if found is None:
        return None
    values = found.groupdict()
    number = {key: float(values[key]) for key in ("fail", "late", "lost", "lat", "n", "tries")}
    worst = Worst(here, values["name"], **number, breaker=False)
    if float(values["fallback"] or 0) >= _FAILS:
        return worst
    return worst if worst.fail >= _FAILS or worst.n >= 2 or worst.lat > 4 else None


def _edge(worst: Worst) -> str:
    """What is off with the call itself, if anything."""
    if worst.breaker:
        return "breaker"
    if worst.n >= 2:
        return "calls"
    if worst.tries >= 2.5:
        return "tries"
    if worst.late > 0.3 and worst.lat < 3 and worst.lost < _FAILS:
        return "timeout"
    return ""


def _mend_call(seen: Seen, worst: Worst, kind: str) -> Generator[Action, Seen, tuple[Seen, bool]]:
    if kind == "breaker":
        return (yield order("disable_fallback_mode", worst.caller)), True
    caches = [name for name in seen.graph[worst.caller] if name.endswith("-cache")]
    if kind == "calls" and worst.name.endswith("-db") and caches:
        for cache in caches:
            seen = yield order("get_metrics_detail", cache)
            found = _METRICS.match(seen.feedback)
            if found and found["hits"] and float(found["hits"]) < 0.85:
                return (yield from _mend_cache(seen, cache))
    seen = yield order("inspect_commit_diff", worst.caller)
    change = _change(seen.feedback, worst.name, EDGE_KEYS[kind])
    if change:
        return (yield order(change, worst.caller)), True
    seen = yield order("optimize_query" if kind == "calls" else "disable_retries", worst.caller)
    return seen, True


def _mend_cache(seen: Seen, cache: str) -> Generator[Action, Seen, tuple[Seen, bool]]:
    seen = yield order("fetch_logs", cache)
    text = " ".join(seen.lines(cache))
    if "keys loaded" in text:
        for _ in range(4):
            seen = yield order("enable_cache_warming", cache)
            if seen.burn == 0 or float(seen.feedback.rpartition(" ")[2]) > 0.85:
                break
        return seen, True
    if "room for keys" in text:
        return (yield order("increase_cache_memory", cache)), True
    features = re.findall(r"hits on ([a-z]+): ([\d.]+)", text)
    return (yield from _undo(seen, cache, [f for f, _ in features], "hits"))


def _change(text: str, channel: str, keys: tuple[str, ...]) -> str:
    """The release whose diff moves a setting of this channel that can do this."""
    build, _, revision = text.partition(" | rev ")
    for part, action in ((build, "rollback_deploy"), (revision, "revert_config")):
        if any(f"{channel}.{key} " in part for key in keys):
            return action
    return ""


def _undo(
    seen: Seen, root: str, features: list[str], family: str
) -> Generator[Action, Seen, tuple[Seen, bool]]:
    """Undo the release that touches one of these features; False if none does."""
    seen = yield order("inspect_commit_diff", root)
    for feature in features:
        change = _change(seen.feedback, feature, FEATURE_KEYS[family])
        if change:
            return (yield order(change, root)), True
    return seen, False


def _mend(seen: Seen, root: str, came: Worst) -> Generator[Action, Seen, tuple[Seen, bool]]:
    if came.lost >= _FAILS and came.lat < 3:
        return (yield from _mend_path(seen, root, came))
    seen = yield order("get_metrics_detail", root)
    found = _METRICS.match(seen.feedback)
    if found is None:
        return seen, False
    m = {key: float(value) for key, value in found.groupdict().items() if value is not None}
    if "hot" in m:
        return (yield from _mend_skew(seen, root))
    if m["mem"] > 0.85 or (m["ready"] == 0 and m["mem"] == 0):
        return (yield from _mend_memory(seen, root))
    if m["ready"] < 0.7 * m["pods"]:
        return (yield from _mend_pods(seen, root))
    if m["limited"] >= _FAILS:
        return (yield from _mend_limit(seen, root))
    if m["refused"] >= _FAILS and m["refused"] >= m["own"]:
        return (yield from _mend_refusal(seen, root))
    if m["shed"] >= _FAILS or m["lat"] > 3:
        if m["cpu"] > 0.9:
            return (yield from _mend_cpu(seen, root, busy=True))
        return (yield from _mend_slots(seen, root))
    if m["own"] >= _FAILS:
        return (yield from _mend_errors(seen, root))
    return (yield from _mend_quiet(seen, root))


def _mend_path(seen: Seen, root: str, came: Worst) -> Generator[Action, Seen, tuple[Seen, bool]]:
    seen = yield order("inspect_network_policy", root)
    cure = _figure(seen.feedback, DROPPED)
    if cure:
        return (yield order(cure, root)), True
    seen = yield order("fetch_logs", came.caller)
    told = re.findall(
        rf"{root} UNAVAILABLE.*\(by feature: (.*)\)", " ".join(seen.lines(came.caller))
    )
    features = re.findall(r"([a-z]+) [\d.]+", told[-1]) if told else []
    if features:
        return (yield from _undo(seen, root, features, "path"))
    seen = yield order("inspect_mtls_status", root)
    cure = _figure(seen.feedback, IDENTITY)
    if cure:
        return (yield order(cure, root)), True
    return (yield from _try_zone(seen, root, "deregister_stale_instances"))


def _try_zone(seen: Seen, root: str, otherwise: str) -> Generator[Action, Seen, tuple[Seen, bool]]:
    """No figure tells: leave zone b alone for two ticks, and put that back if it was not it."""
    before = seen.burn
    seen = yield order("traffic_shift", root)
    seen = yield order("get_metrics_detail", seen.entries[0])
    if seen.burn < 0.5 * before:
        return seen, True
    yield order("traffic_shift", root, drain_percentage=0)
    return (yield order(otherwise, root)), True


def _figure(text: str, cures: dict[str, str]) -> str:
    """The cure of the first figure that is not zero."""
    for words, cure in cures.items():
        found = re.search(rf"{words} ([\d.]+)", text)
        if found and float(found[1].rstrip(".")) > 0:
            return cure
    return ""


def _mend_skew(seen: Seen, root: str) -> Generator[Action, Seen, tuple[Seen, bool]]:
    seen = yield order("inspect_cluster_topology", root)
    features = re.findall(r"extra: ([a-z]+) [\d.]+", seen.feedback)
    if features and features[0] != "every":
        seen, done = yield from _undo(seen, root, features, "hot")
        if done:
            return seen, True
    return (yield order("rebalance_load", root)), True


def _mend_memory(seen: Seen, root: str) -> Generator[Action, Seen, tuple[Seen, bool]]:
    seen = yield order("check_gc_pressure", root)
    features = re.findall(r"([a-z]+(?: feature)?) \+\d", seen.feedback.partition("usual: ")[2])
    if "every feature" in features:
        return (yield order("scale_replicas", root, memory_limit_mb=1e6)), True
    slope = re.search(r"([+-][\d.]+) a tick", seen.feedback)
    if features:
        seen, done = yield from _undo(seen, root, features[:1], "grow")
        if done:
            return seen, True
    if slope and float(slope[1]) > 0:
        return (yield order("restart_service", root)), True
    return seen, False


def _mend_pods(seen: Seen, root: str) -> Generator[Action, Seen, tuple[Seen, bool]]:
    seen = yield order("inspect_cluster_topology", root)
    waiting = re.findall(r"wait: ([a-z]+) [\d.]+", seen.feedback)
    if waiting and waiting[0] == "none":
        return (yield from _mend_memory(seen, root))
    if waiting and waiting[0] in WAITING:
        return (yield order(WAITING[waiting[0]], root)), True
    if waiting:
        return (yield from _undo(seen, root, waiting, "pods"))
    return (yield from _mend_memory(seen, root))


def _mend_limit(seen: Seen, root: str) -> Generator[Action, Seen, tuple[Seen, bool]]:
    seen = yield order("fetch_logs", root)
    text = " ".join(seen.lines(root))
    if "429 on every feature" in text:
        return (yield order("request_quota_increase", root)), True
    return (yield from _undo(seen, root, re.findall(r"429 on ([a-z]+):", text), "limit"))


def _mend_refusal(seen: Seen, root: str) -> Generator[Action, Seen, tuple[Seen, bool]]:
    seen = yield order("fetch_logs", root)
    text = " ".join(seen.lines(root))
    if "403 on every feature" in text:
        seen = yield order("inspect_mtls_status", root)
        cure = _figure(seen.feedback, IDENTITY)
        return ((yield order(cure, root)), True) if cure else (seen, False)
    return (yield from _undo(seen, root, re.findall(r"403 on ([a-z]+):", text), "refuse"))


def _mend_errors(seen: Seen, root: str) -> Generator[Action, Seen, tuple[Seen, bool]]:
    seen = yield order("fetch_logs", root)
    text = " ".join(seen.lines(root))
    if "Exception on every feature" in text:
        seen = yield order("inspect_consensus_state", root)
        cure = "force_leader_election" if "leaders 2" in seen.feedback else ""
        cure = cure or _figure(seen.feedback, CONSENSUS)
        if cure:
            return (yield order(cure, root)), True
        seen = yield order("inspect_cluster_topology", root)
        builds = re.search(r"two builds ([\d.]+)", seen.feedback)
        several = builds is not None and float(builds[1]) > 0
        if several:
            return (yield order("rollback_canary", root)), True
        return (yield from _try_zone(seen, root, "restart_service"))
    return (yield from _undo(seen, root, re.findall(r"Exception on ([a-z]+):", text), "errors"))


def _mend_cpu(seen: Seen, root: str, *, busy: bool) -> Generator[Action, Seen, tuple[Seen, bool]]:
    seen = yield order("strace_process", root)
    text = seen.feedback
    figures = re.match(r"CPU/req ([\d.]+)x limit ([\d.]+) stolen\(b\) ([\d.]+) logs ([\d.]+)", text)
    if figures is None:
        return seen, False
    each, limit, stolen, logs = (float(value) for value in figures.groups())
    if stolen > 0:
        return (yield order("evict_noisy_pod", root)), True
    if limit < 1:
        return (yield order("increase_cpu_limit", root)), True
    if logs > 0.2:
        return (yield order("set_log_level", root, level="info")), True
    by = re.findall(r"([a-z]+) ([\d.]+) \(requests ([\d.]+)", text)
    if by and float(by[0][1]) > 1.15 * float(by[0][2]):
        if each > 1.5:
            by.sort(key=lambda row: -float(row[1]) / (float(row[2]) + 0.01))
        return (yield from _undo(seen, root, [row[0] for row in by], "cpu"))
    if busy:
        return (yield order("enable_deadline_propagation", root)), True
    return (yield from _mend_memory(seen, root))


def _mend_slots(seen: Seen, root: str) -> Generator[Action, Seen, tuple[Seen, bool]]:
    seen = yield order("thread_dump", root)
    figures = re.match(r"blocked (\d+), no stream (\d+), pools (.*)", seen.feedback)
    if figures is None:
        return seen, False
    if int(figures[1]) > 0:
        return (yield order("restart_service", root)), True
    if int(figures[2]) > 0:
        return (yield order("restart_thread_pool", root)), True
    pools = re.findall(r"([a-z]+) (\d+)/(\d+)", figures[3])
    if pools and int(pools[0][1]) >= int(pools[0][2]):
        return (yield from _undo(seen, root, [pools[0][0]], "slots"))
    return (yield from _mend_cpu(seen, root, busy=False))


def _mend_quiet(seen: Seen, root: str) -> Generator[Action, Seen, tuple[Seen, bool]]:
    """Nothing is off there at the moment: logs and profiles remember."""
    seen = yield order("fetch_logs", root)
    features = re.findall(r"Exception on ([a-z]+):", " ".join(seen.lines(root)))
    if features:
        return (yield from _undo(seen, root, features, "errors"))
    seen = yield order("strace_process", root)
    by = re.findall(r"([a-z]+) ([\d.]+) \(requests ([\d.]+)", seen.feedback)
    if by and float(by[0][1]) > 1.15 * float(by[0][2]):
        return (yield from _undo(seen, root, [by[0][0]], "cpu"))
    return (yield from _mend_memory(seen, root))


def _pipelines(seen: Seen, cured: set[str]) -> Generator[Action, Seen, tuple[Seen, bool]]:
    """No call fails and customers are let down: what they read may be stale."""
    for name in sorted(seen.graph):
        if name.endswith("-queue"):
            seen = yield order("inspect_pipeline_topology", name)
            speed = re.search(r"speed ([\d.]+)", seen.feedback)
            if speed and float(speed[1]) < 1 and name not in cured:
                cured.add(name)
                yield order("restart_pipeline_job", name)
                return (yield order("flush_pipeline_stage", name)), True
    return seen, False


def _on_its_way(seen: Seen, cured: set[str]) -> Generator[Action, Seen, tuple[Seen, bool]]:
    """Memory that grows lets nobody down before it is full."""
    full = sorted(
        (view["process_memory_utilization"], name)
        for name, view in seen.services.items()
        if view["process_memory_utilization"] > 0.62 and name not in cured
    )
    for _, name in reversed(full):
        cured.add(name)
        seen = yield order("check_gc_pressure", name)
        slope = re.search(r"([+-][\d.]+) a tick", seen.feedback)
        if slope and float(slope[1]) > 0.004:
            return (yield from _mend_memory(seen, name))
    return seen, False
