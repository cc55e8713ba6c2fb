"""From what fails at a service to what is off there, and to its repair."""

from __future__ import annotations

import re

from firewatch_env.policies.apart import Figure, Read, Tell, in_feedback, in_logs, read
from firewatch_env.policies.heaps import mend_memory
from firewatch_env.policies.manual import (
    CONSENSUS,
    DROPPED,
    EDGE_KEYS,
    IDENTITY,
    WAITING,
)
from firewatch_env.policies.reading import FAILS, METRICS, Worst, cure_of_figure, suspects
from firewatch_env.policies.seen import Seen, order
from firewatch_env.policies.undoing import Mending, one_of, undo


def mend_call(tell: Tell, seen: Seen, worst: Worst, kind: str) -> Mending:
    """Put right how a service calls another."""
    if kind == "breaker":
        return (yield order("disable_fallback_mode", worst.caller)), True
    caches = [name for name in seen.graph[worst.caller] if name.endswith("-cache")]
    if kind == "calls" and worst.name.endswith("-db") and caches:
        for cache in caches:
            seen = yield order("get_metrics_detail", cache)
            found = METRICS.match(seen.feedback)
            if found and found["hits"] and float(found["hits"]) < 0.85:
                return (yield from _mend_cache(tell, seen, cache))
    first = Read(seen.tick, worst.n - 1)
    seen = yield order("inspect_commit_diff", worst.caller)
    changes = suspects(seen.feedback, worst.name, EDGE_KEYS[kind])
    if len(changes) == 2:
        look = order("trace_dependencies", worst.caller)
        figure = in_feedback(look, rf"{worst.name} fail.*? n ([\d.]+)x", 1.0)
        return (yield from one_of(tell, changes, worst.caller, figure, first))
    if changes:
        return (yield order(changes[0], worst.caller)), True
    seen = yield order("optimize_query" if kind == "calls" else "disable_retries", worst.caller)
    return seen, True


def _mend_cache(tell: Tell, seen: Seen, cache: str) -> Mending:
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
    missed = in_logs(cache, r"hits on [a-z]+: ([\d.]+)")
    figure = Figure(missed.look, lambda seen: 1 - missed.read(seen))
    return (yield from undo(tell, seen, cache, [f for f, _ in features], "hits", figure))


def mend(tell: Tell, seen: Seen, root: str, came: Worst) -> Mending:
    """Find out what is off at a service that fails by itself, and put it right.

    Args:
        tell: how to tell a build of zone b from a change everywhere.
        seen: the last reply.
        root: the service.
        came: the call that led there.
    """
    if came.lost >= FAILS and came.lat < 3:
        return (yield from _mend_path(tell, seen, root, came))
    if came.says >= FAILS and came.lat < 3:
        seen = yield order("fetch_logs", root)
        for words, how in _BY_LINE.items():
            if words in seen.lines(root)[-1]:
                return (yield from how(tell, seen, root))
    seen = yield order("get_metrics_detail", root)
    found = METRICS.match(seen.feedback)
    if found is None:
        return seen, False
    m = {key: float(value) for key, value in found.groupdict().items() if value is not None}
    if "hot" in m:
        return (yield from _mend_skew(tell, seen, root))
    if m["mem"] > 0.85 or (m["ready"] == 0 and m["mem"] == 0):
        return (yield from mend_memory(tell, seen, root))
    if m["ready"] < 0.7 * m["pods"]:
        return (yield from _mend_pods(tell, seen, root))
    if m["limited"] >= FAILS:
        seen = yield order("fetch_logs", root)
        return (yield from _mend_limit(tell, seen, root))
    if m["refused"] >= FAILS and m["refused"] >= m["own"]:
        seen = yield order("fetch_logs", root)
        return (yield from _mend_refusal(tell, seen, root))
    if m["shed"] >= FAILS or m["lat"] > 3:
        if m["cpu"] > 0.9:
            return (yield from _mend_cpu(tell, seen, root, busy=True))
        return (yield from _mend_slots(tell, seen, root))
    if m["own"] >= FAILS:
        seen = yield order("fetch_logs", root)
        return (yield from _mend_errors(tell, seen, root))
    return (yield from _mend_quiet(tell, seen, root))


def _mend_path(tell: Tell, seen: Seen, root: str, came: Worst) -> Mending:
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
        pattern = rf"{root} UNAVAILABLE.*\(by feature: {features[0]} ([\d.]+)"
        figure = in_logs(came.caller, pattern)
        return (yield from undo(tell, seen, root, features, "path", figure))
    seen = yield order("inspect_mtls_status", root)
    cure = cure_of_figure(seen.feedback, IDENTITY)
    if cure:
        return (yield order(cure, root)), True
    look = order("trace_dependencies", came.caller)
    lost = in_feedback(look, rf"{root} fail.*? lost ([\d.]+)")
    return (yield from _zone_or(tell, seen, root, "deregister_stale_instances", lost))


def _zone_or(tell: Tell, seen: Seen, root: str, otherwise: str, figure: Figure) -> Mending:
    """Leave zone b for good if the figure follows its share of the requests."""
    seen = yield figure.look
    seen, where = yield from tell(root, figure, read(seen, figure), False)
    cure = "rebalance_az_traffic" if where == "zone b" else otherwise
    return (yield order(cure, root)), True


def _mend_skew(tell: Tell, seen: Seen, root: str) -> Mending:
    seen = yield order("inspect_cluster_topology", root)
    features = re.findall(r"hot: ([a-z]+) [\d.]+", seen.feedback)
    if features and features[0] != "every":
        seen, done = yield from undo(tell, seen, root, features, "hot")
        if done:
            return seen, True
    return (yield order("rebalance_load", root)), True


def _mend_pods(tell: Tell, seen: Seen, root: str) -> Mending:
    seen = yield order("inspect_cluster_topology", root)
    waiting = re.findall(r"wait: ([a-z]+) [\d.]+", seen.feedback)
    if waiting and waiting[0] == "none":
        return (yield from mend_memory(tell, seen, root))
    if waiting and waiting[0] in WAITING:
        return (yield order(WAITING[waiting[0]], root)), True
    if waiting:
        return (yield from undo(tell, seen, root, waiting, "pods"))
    return (yield from mend_memory(tell, seen, root))


def _features(seen: Seen, root: str, words: str) -> list[str]:
    """What the last log lines with these words are about; nothing where it is everything."""
    told = re.findall(rf"{words} ([a-z]+): ([\d.]+)", " ".join(seen.lines(root)))
    shares = dict(told)
    return [] if len(shares) > 1 and len(set(shares.values())) == 1 else list(shares)


def _mend_limit(tell: Tell, seen: Seen, root: str) -> Mending:
    features = _features(seen, root, "429 on")
    if not features:
        return (yield order("request_quota_increase", root)), True
    return (yield from undo(tell, seen, root, features, "limit"))


def _mend_refusal(tell: Tell, seen: Seen, root: str) -> Mending:
    features = _features(seen, root, "403 on")
    if not features:
        seen = yield order("inspect_mtls_status", root)
        cure = cure_of_figure(seen.feedback, IDENTITY)
        return ((yield order(cure, root)), True) if cure else (seen, False)
    figure = in_logs(root, r"403 on [a-z]+: ([\d.]+)")
    return (yield from undo(tell, seen, root, features, "refuse", figure))


def _mend_errors(tell: Tell, seen: Seen, root: str) -> Mending:
    figure = in_logs(root, r"Exception on [a-z]+: ([\d.]+)")
    features = _features(seen, root, "Exception on")
    if features or not figure.read(seen):
        return (yield from undo(tell, seen, root, features, "errors", figure))
    seen = yield order("inspect_consensus_state", root)
    cure = "force_leader_election" if "leaders 2" in seen.feedback else ""
    cure = cure or cure_of_figure(seen.feedback, CONSENSUS)
    if cure:
        return (yield order(cure, root)), True
    seen = yield order("inspect_cluster_topology", root)
    builds = re.search(r"two builds ([\d.]+)", seen.feedback)
    if builds is not None and float(builds[1]) > 0:
        return (yield order("rollback_canary", root)), True
    return (yield from _zone_or(tell, seen, root, "restart_service", figure))


_BY_LINE = {"429 on": _mend_limit, "403 on": _mend_refusal, "Exception on": _mend_errors}


def _mend_cpu(tell: Tell, seen: Seen, root: str, *, busy: bool) -> Mending:
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
        look = order("strace_process", root)
        figure = in_feedback(look, r"CPU/req ([\d.]+)x", 1.0)
        return (yield from undo(tell, seen, root, [row[0] for row in by], "cpu", figure))
    if busy:
        return (yield order("enable_deadline_propagation", root)), True
    return (yield from mend_memory(tell, seen, root))


def _mend_slots(tell: Tell, seen: Seen, root: str) -> Mending:
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
        return (yield from undo(tell, seen, root, [pools[0][0]], "slots"))
    return (yield from _mend_cpu(tell, seen, root, busy=False))


def _mend_quiet(tell: Tell, seen: Seen, root: str) -> Mending:
    """Nothing is off there at the moment: logs and profiles remember."""
    seen = yield order("fetch_logs", root)
    features = re.findall(r"Exception on ([a-z]+):", " ".join(seen.lines(root)))
    if features:
        return (yield from undo(tell, seen, root, features, "errors"))
    seen = yield order("strace_process", root)
    by = re.findall(r"([a-z]+) ([\d.]+) \(requests ([\d.]+)", seen.feedback)
    if by and float(by[0][1]) > 1.15 * float(by[0][2]):
        return (yield from undo(tell, seen, root, [by[0][0]], "cpu"))
    return (yield from mend_memory(tell, seen, root))


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
