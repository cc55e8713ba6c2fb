"""From what fails at a service to what is off there, and to its repair."""

from __future__ import annotations

import re
from dataclasses import replace

from firewatch_env.policies.apart import (
    Figure,
    Read,
    Tell,
    by_burn,
    by_errors,
    in_feedback,
    in_logs,
    read,
    told_freely,
)
from firewatch_env.policies.capacity import mend_cpu, mend_slots
from firewatch_env.policies.heaps import mend_memory
from firewatch_env.policies.manual import (
    CONSENSUS,
    DROPPED,
    EDGE_KEYS,
    FEATURE_KEYS,
    IDENTITY,
    WAITING,
)
from firewatch_env.policies.reading import FAILS, METRICS, Hop, cure_of_figure, suspects, twins
from firewatch_env.policies.seen import Seen, order
from firewatch_env.policies.undoing import SIMPLE, Mending, look_ahead, one_of, read_changes, undo


def mend_call(tell: Tell, seen: Seen, hop: Hop) -> Mending:
    """Put right how a service calls another.

    Args:
        tell: how to tell a build of zone b from a change everywhere.
        seen: the last reply.
        hop: the call.
    """
    caller, name, kind = hop.caller, hop.name, hop.kind
    if kind == "breaker":
        return (yield order("disable_fallback_mode", caller)), True
    first = Read(hop.tick, hop.figure - 1)
    if kind == "calls" and name.endswith("-db"):
        for cache in seen.graph[caller]:
            if cache.endswith("-cache"):
                seen = yield order("fetch_logs", cache)
                if any(words in seen.lines(cache)[-1] for words in _CACHE_LINES):
                    return (yield from _mend_cache(tell, seen, cache))
    seen = yield from look_ahead(seen, caller)
    seen = yield from read_changes(seen, caller)
    changes = suspects(seen.notes.diffs[caller], name, EDGE_KEYS[kind])
    if len(changes) == 2:
        look = order("trace_dependencies", caller)
        figure = in_feedback(look, rf"{name} fail.*? n ([\d.]+)x", 1.0)
        return (yield from one_of(tell, seen.notes, changes, caller, figure, first))
    if changes:
        return (yield order(changes[0], caller)), True
    seen = yield order("optimize_query" if kind == "calls" else "disable_retries", caller)
    return seen, True


_BUSY = 0.9  # of the CPU
_TOLD = 0.1  # share of calls that fail from which on two digits tell it well enough
_CACHE_LINES = ("hits on", "keys loaded", "room for keys")


def _mend_cache(tell: Tell, seen: Seen, cache: str) -> Mending:
    """Put right what a cache's log lines, just fetched, say of its hits."""
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


def mend(tell: Tell, seen: Seen, hop: Hop) -> Mending:
    """Find out what is off at a service that fails by itself, and put it right.

    Its own log lines say the most, then those of its caller, then its meters.

    Args:
        tell: how to tell a build of zone b from a change everywhere.
        seen: the last reply.
        hop: the last call on the worst way down, to that service.
    """
    caller, root = hop.caller, hop.name
    view = seen.services[root]
    slow = view["http_server_request_duration_p99"] > 0.5
    if view["process_cpu_utilization"] > _BUSY:
        seen, done = yield from mend_cpu(tell, seen, root)
        if done:
            return seen, True
    elif seen.notes.ahead and not slow and len(seen.graph) > SIMPLE:
        seen, done = yield from _mend_twins(tell, seen, hop)
        if done:
            return seen, True
    seen = yield order("fetch_logs", root)
    last = seen.lines(root)[-1]
    full = [line for line in seen.lines(root) if _FULL in line]
    if full and "queue full" in last:
        last = full[-1]  # a heap that is full keeps the CPU busy
    for words, how in _BY_LINE.items():
        if words in last:
            seen, done = yield from how(tell, seen, root)
            if done:
                return seen, True
            break
    else:
        seen = yield order("fetch_logs", caller)
        if f"{root} UNAVAILABLE" in " ".join(seen.lines(caller)):
            return (yield from _mend_path(tell, seen, caller, root))
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
        busy = m["cpu"] > 0.9
        seen, done = yield from (mend_cpu if busy else mend_slots)(tell, seen, root)
        if not done and not busy:
            seen, done = yield from mend_cpu(tell, seen, root)
        if done:
            return seen, True
        return (yield from mend_memory(tell, seen, root))
    if m["own"] >= FAILS:
        seen = yield order("fetch_logs", root)
        return (yield from _mend_errors(tell, seen, root))
    return (yield from _mend_quiet(tell, seen, root))


def _mend_twins(tell: Tell, seen: Seen, hop: Hop) -> Mending:
    """Undo one of two changes to the same feature, where it fails without being slow.

    Such failures are in proportion to what is off, so that no log line need be read first.
    """
    caller, root = hop.caller, hop.name
    families: tuple[str, ...] = ("refuse", "path", "limit")
    figure = Figure(order("fetch_logs", root), by_burn.read, by_burn)
    first = Read(seen.tick, 0.0)
    if seen.errors(root) > 2 * FAILS:
        families = ("errors",)
        figure = Figure(figure.look, by_errors(root).read, by_errors(root))
    elif not told_freely(seen.notes, by_burn):
        look = order("trace_dependencies", caller)
        if hop.fail >= _TOLD:
            figure, first = in_feedback(look, rf"{root} fail ([\d.]+)"), Read(hop.tick, hop.fail)
        else:
            seen = yield look
            told = re.search(rf"{root} fail.*? lost ([\d.]+) says ([\d.]+)", seen.feedback)
            lost = told is not None and float(told[1]) >= float(told[2])
            families = ("path",) if lost else ("refuse", "limit")
            which = "lost" if lost else "says"
            figure = in_feedback(look, rf"{root} fail.*? {which} ([\d.]+)")
            first = read(seen, figure)
        figure = replace(figure, series=by_burn)
    seen = yield from look_ahead(seen, root)
    seen = yield from read_changes(seen, root)
    keys = tuple(key for each in families for key in FEATURE_KEYS[each])
    if not twins(seen.notes.diffs[root], keys):
        return seen, False
    changes = ["rollback_deploy", "revert_config"]
    return (yield from one_of(tell, seen.notes, changes, root, figure, first))


def _mend_path(tell: Tell, seen: Seen, caller: str, root: str) -> Mending:
    """Put right what loses calls to a service; its caller's log lines were just fetched."""
    told = re.findall(rf"{root} UNAVAILABLE.*\(by feature: (.*)\)", " ".join(seen.lines(caller)))
    features = re.findall(r"([a-z]+) [\d.]+", told[-1]) if told else []
    if features:
        pattern = rf"{root} UNAVAILABLE.*\(by feature: {features[0]} ([\d.]+)"
        figure = in_logs(caller, pattern, by_burn)
        return (yield from undo(tell, seen, root, features, "path", figure))
    seen = yield order("inspect_network_policy", root)
    cure = cure_of_figure(seen.feedback, DROPPED)
    if cure:
        return (yield order(cure, root)), True
    seen = yield order("inspect_mtls_status", root)
    cure = cure_of_figure(seen.feedback, IDENTITY)
    if cure:
        return (yield order(cure, root)), True
    look = order("trace_dependencies", caller)
    lost = in_feedback(look, rf"{root} fail.*? lost ([\d.]+)")
    return (yield from _zone_or(tell, seen, root, "deregister_stale_instances", lost))


def _zone_or(tell: Tell, seen: Seen, root: str, otherwise: str, figure: Figure) -> Mending:
    """Leave zone b for good if the figure follows its share of the requests."""
    seen = yield figure.look
    seen, where = yield from tell(seen.notes, root, figure, read(seen, figure), False)
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
    figure = in_logs(root, r"403 on [a-z]+: ([\d.]+)", by_burn)
    return (yield from undo(tell, seen, root, features, "refuse", figure))


def is_spoilt(seen: Seen) -> bool:
    """Whether the threads just looked at end requests in spoilt state."""
    return "spoilt state 0.00" not in seen.feedback


_STORES = ("-db", "-store", "-index", "-cache")


def _mend_errors(tell: Tell, seen: Seen, root: str) -> Mending:
    figure = in_logs(root, r"Exception on [a-z]+: ([\d.]+)", by_errors(root))
    features = _features(seen, root, "Exception on")
    if features or not figure.read(seen):
        return (yield from undo(tell, seen, root, features, "errors", figure))
    if root.endswith(_STORES):
        seen = yield order("inspect_consensus_state", root)
        cure = "force_leader_election" if "leaders 2" in seen.feedback else ""
        cure = cure or cure_of_figure(seen.feedback, CONSENSUS)
        if cure:
            return (yield order(cure, root)), True
    else:
        seen = yield order("thread_dump", root)
        if is_spoilt(seen):
            return (yield order("restart_service", root)), True
    seen = yield order("inspect_cluster_topology", root)
    builds = re.search(r"two builds ([\d.]+)", seen.feedback)
    if builds is not None and float(builds[1]) > 0:
        return (yield order("rollback_canary", root)), True
    return (yield from _zone_or(tell, seen, root, "restart_service", figure))


_FULL = "of the memory limit"
_BY_LINE = {
    "429 on": _mend_limit,
    "403 on": _mend_refusal,
    "Exception on": _mend_errors,
    "queue full": mend_cpu,
    "HikariPool": mend_slots,
    "readiness": _mend_pods,
    "OOMKilled": mend_memory,
    _FULL: mend_memory,
}
"""What the last log line of a service speaks of, and how to put that right."""


def _mend_quiet(tell: Tell, seen: Seen, root: str) -> Mending:
    """Nothing is off there at the moment: logs and profiles remember."""
    seen = yield order("fetch_logs", root)
    features = re.findall(r"Exception on ([a-z]+):", " ".join(seen.lines(root)))
    if features:
        return (yield from undo(tell, seen, root, features, "errors"))
    seen = yield order("strace_process", root)
    by = re.findall(r"([a-z]+) ([\d.]+) \(calls ([\d.]+)\)", seen.feedback)
    if by and float(by[0][1]) > 1.15 * float(by[0][2]):
        return (yield from undo(tell, seen, root, [by[0][0]], "cpu"))
    return (yield from mend_memory(tell, seen, root))
