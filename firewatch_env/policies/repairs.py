"""From what fails at a service to what is off there, and to its repair."""

from __future__ import annotations

import re
from collections.abc import Generator

from firewatch_env.policies.manual import (
    CONSENSUS,
    DROPPED,
    EDGE_KEYS,
    FEATURE_KEYS,
    IDENTITY,
    WAITING,
)
from firewatch_env.policies.reading import FAILS, METRICS, Worst, cure_of_figure, suspects
from firewatch_env.policies.seen import Action, Seen, order

Mending = Generator[Action, Seen, tuple[Seen, bool]]


def mend_call(seen: Seen, worst: Worst, kind: str) -> Mending:
    """Put right how a service calls another."""
    if kind == "breaker":
        return (yield order("disable_fallback_mode", worst.caller)), True
    caches = [name for name in seen.graph[worst.caller] if name.endswith("-cache")]
    if kind == "calls" and worst.name.endswith("-db") and caches:
        for cache in caches:
            seen = yield order("get_metrics_detail", cache)
            found = METRICS.match(seen.feedback)
            if found and found["hits"] and float(found["hits"]) < 0.85:
                return (yield from _mend_cache(seen, cache))
    seen = yield order("inspect_commit_diff", worst.caller)
    changes = suspects(seen.feedback, worst.name, EDGE_KEYS[kind])
    if len(changes) == 2:
        return (yield from _try_zone(seen, worst.caller, changes[1]))
    if changes:
        return (yield order(changes[0], worst.caller)), True
    seen = yield order("optimize_query" if kind == "calls" else "disable_retries", worst.caller)
    return seen, True


def _mend_cache(seen: Seen, cache: str) -> Mending:
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


def _undo(seen: Seen, root: str, features: list[str], family: str) -> Mending:
    """Undo the release that touches one of these features; False if none does.

    Where two do, only an experiment tells which: the build runs in zone b alone.
    """
    if not features:
        return seen, False
    seen = yield order("inspect_commit_diff", root)
    for feature in features:
        changes = suspects(seen.feedback, feature, FEATURE_KEYS[family])
        if len(changes) == 2 and family == "grow":
            return (yield from _try_zone_for_growth(root))
        if len(changes) == 2:
            return (yield from _try_zone(seen, root, changes[1]))
        if changes:
            return (yield order(changes[0], root)), True
    return seen, False


def mend(seen: Seen, root: str, came: Worst) -> Mending:
    """Find out what is off at a service that fails by itself, and put it right.

    Args:
        seen: the last reply.
        root: the service.
        came: the call that led there.
    """
    if came.lost >= FAILS and came.lat < 3:
        return (yield from _mend_path(seen, root, came))
    seen = yield order("get_metrics_detail", root)
    found = METRICS.match(seen.feedback)
    if found is None:
        return seen, False
    m = {key: float(value) for key, value in found.groupdict().items() if value is not None}
    if "hot" in m:
        return (yield from _mend_skew(seen, root))
    if m["mem"] > 0.85 or (m["ready"] == 0 and m["mem"] == 0):
        return (yield from mend_memory(seen, root))
    if m["ready"] < 0.7 * m["pods"]:
        return (yield from _mend_pods(seen, root))
    if m["limited"] >= FAILS:
        return (yield from _mend_limit(seen, root))
    if m["refused"] >= FAILS and m["refused"] >= m["own"]:
        return (yield from _mend_refusal(seen, root))
    if m["shed"] >= FAILS or m["lat"] > 3:
        if m["cpu"] > 0.9:
            return (yield from _mend_cpu(seen, root, busy=True))
        return (yield from _mend_slots(seen, root))
    if m["own"] >= FAILS:
        return (yield from _mend_errors(seen, root))
    return (yield from _mend_quiet(seen, root))


def _mend_path(seen: Seen, root: str, came: Worst) -> Mending:
    seen = yield order("inspect_network_policy", root)
    cure = cure_of_figure(seen.feedback, DROPPED)
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
    cure = cure_of_figure(seen.feedback, IDENTITY)
    if cure:
        return (yield order(cure, root)), True
    return (yield from _try_zone(seen, root, "deregister_stale_instances"))


def _try_zone(seen: Seen, root: str, otherwise: str) -> Mending:
    """No figure tells: leave zone b alone for two ticks, and put that back if it was not it."""
    before = seen.burn
    seen = yield order("traffic_shift", root)
    seen = yield order("get_metrics_detail", seen.entries[0])
    if seen.burn < 0.5 * before:
        return seen, True
    yield order("traffic_shift", root, drain_percentage=0)
    return (yield order(otherwise, root)), True


def _try_zone_for_growth(root: str) -> Mending:
    """Does the heap still grow once traffic has left the zone that alone runs the build?"""
    before = _slope((yield order("check_gc_pressure", root)))
    yield order("traffic_shift", root)
    after = _slope((yield order("check_gc_pressure", root)))
    yield order("traffic_shift", root, drain_percentage=0)
    change = "rollback_deploy" if after < 0.5 * before else "revert_config"
    return (yield order(change, root)), True


def _slope(seen: Seen) -> float:
    """Growth of a heap in a tick, as a share of its limit."""
    found = re.search(r"([+-][\d.]+) a tick", seen.feedback)
    return float(found[1]) if found else 0.0


def _mend_skew(seen: Seen, root: str) -> Mending:
    seen = yield order("inspect_cluster_topology", root)
    features = re.findall(r"extra: ([a-z]+) [\d.]+", seen.feedback)
    if features and features[0] != "every":
        seen, done = yield from _undo(seen, root, features, "hot")
        if done:
            return seen, True
    return (yield order("rebalance_load", root)), True


def mend_memory(seen: Seen, root: str) -> Mending:
    """Undo what fills the heap, or give it room, or fresh pods."""
    seen = yield order("check_gc_pressure", root)
    return (yield from mend_read_memory(seen, root))


def fills_up(seen: Seen) -> bool:
    """Whether the heap just read grows, and not only to a level that does no harm."""
    if _slope(seen) <= 0.004:
        return False
    heap = re.search(r"heap ([\d.]+)", seen.feedback)
    top = re.search(r"\+([\d.]+) \(\+[\d.]+ to \+([\d.]+)\)", seen.feedback)
    if heap is None or top is None:
        return True
    return float(heap[1]) - float(top[1]) + float(top[2]) > 0.87


def mend_read_memory(seen: Seen, root: str) -> Mending:
    """The same, where the heap has just been read."""
    told = seen.feedback.partition("usual: ")[2]
    growing = re.findall(r"([a-z]+(?: feature)?) \+[\d.]+ \(\+", told)
    features = growing or re.findall(r"([a-z]+(?: feature)?) \+\d", told)
    if "every feature" in features:
        return (yield order("scale_replicas", root, memory_limit_mb=1e6)), True
    slope = _slope(seen)
    if features:
        seen, done = yield from _undo(seen, root, features[:1], "grow")
        if done:
            return seen, True
    if slope > 0:
        return (yield order("restart_service", root)), True
    return seen, False


def _mend_pods(seen: Seen, root: str) -> Mending:
    seen = yield order("inspect_cluster_topology", root)
    waiting = re.findall(r"wait: ([a-z]+) [\d.]+", seen.feedback)
    if waiting and waiting[0] == "none":
        return (yield from mend_memory(seen, root))
    if waiting and waiting[0] in WAITING:
        return (yield order(WAITING[waiting[0]], root)), True
    if waiting:
        return (yield from _undo(seen, root, waiting, "pods"))
    return (yield from mend_memory(seen, root))


def _mend_limit(seen: Seen, root: str) -> Mending:
    seen = yield order("fetch_logs", root)
    text = " ".join(seen.lines(root))
    if "429 on every feature" in text:
        return (yield order("request_quota_increase", root)), True
    return (yield from _undo(seen, root, re.findall(r"429 on ([a-z]+):", text), "limit"))


def _mend_refusal(seen: Seen, root: str) -> Mending:
    seen = yield order("fetch_logs", root)
    text = " ".join(seen.lines(root))
    if "403 on every feature" in text:
        seen = yield order("inspect_mtls_status", root)
        cure = cure_of_figure(seen.feedback, IDENTITY)
        return ((yield order(cure, root)), True) if cure else (seen, False)
    return (yield from _undo(seen, root, re.findall(r"403 on ([a-z]+):", text), "refuse"))


def _mend_errors(seen: Seen, root: str) -> Mending:
    seen = yield order("fetch_logs", root)
    text = " ".join(seen.lines(root))
    seen, done = yield from _undo(seen, root, re.findall(r"Exception on ([a-z]+):", text), "errors")
    if not done and "Exception on every feature" in text:
        seen = yield order("inspect_consensus_state", root)
        cure = "force_leader_election" if "leaders 2" in seen.feedback else ""
        cure = cure or cure_of_figure(seen.feedback, CONSENSUS)
        if cure:
            return (yield order(cure, root)), True
        seen = yield order("inspect_cluster_topology", root)
        builds = re.search(r"two builds ([\d.]+)", seen.feedback)
        several = builds is not None and float(builds[1]) > 0
        if several:
            return (yield order("rollback_canary", root)), True
        return (yield from _try_zone(seen, root, "restart_service"))
    return seen, done


def _mend_cpu(seen: Seen, root: str, *, busy: bool) -> Mending:
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
    return (yield from mend_memory(seen, root))


def _mend_slots(seen: Seen, root: str) -> Mending:
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


def _mend_quiet(seen: Seen, root: str) -> Mending:
    """Nothing is off there at the moment: logs and profiles remember."""
    seen = yield order("fetch_logs", root)
    features = re.findall(r"Exception on ([a-z]+):", " ".join(seen.lines(root)))
    if features:
        return (yield from _undo(seen, root, features, "errors"))
    seen = yield order("strace_process", root)
    by = re.findall(r"([a-z]+) ([\d.]+) \(requests ([\d.]+)", seen.feedback)
    if by and float(by[0][1]) > 1.15 * float(by[0][2]):
        return (yield from _undo(seen, root, [by[0][0]], "cpu"))
    return (yield from mend_memory(seen, root))


def mend_pipelines(seen: Seen, cured: set[str]) -> Mending:
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
