"""A player trained on drawn tasks that sees only the first observation: the honest blind one.

It learns from tasks whose faults are known which service is at fault, and which of the generic
repairs undoes that, each by a linear model over meters; then it repairs, without a look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firewatch_env.evidence.alerts import fire
from firewatch_env.evidence.observation import graph, services_view
from firewatch_env.policies.seen import Script, Seen, order
from firewatch_env.tasks.task import Task, open_world

FIXES = ("rollback_deploy", "revert_config", "restart_service", "traffic_shift")
_STATUS = {"healthy": 0.0, "degraded": 1.0, "critical": 2.0, "down": 3.0}
_KINDS = ("-db", "-cache", "-api", "-mesh", "-proxy", "-queue", "-gateway")
_ROUNDS = 1500
Array = NDArray[np.float64]


def _features(seen: Seen) -> tuple[list[str], Array]:
    """Services, and for each a row of what the first observation shows of it."""
    names = sorted(seen.graph)
    views, calls = seen.services, seen.graph
    alerts = [str(alert["service_name"]) for alert in seen.alerts]
    own = {}
    for name in names:
        v = views[name]
        error, p99 = v["http_server_error_rate"], v["http_server_request_duration_p99"]
        cpu, memory = v["process_cpu_utilization"], v["process_memory_utilization"]
        own[name] = [
            error, error > 0.05, error > 0.3, min(p99, 5.0), p99 > 0.5, p99 > 2, cpu, cpu > 0.9,
            cpu < 0.2, memory, memory > 0.7, memory > 0.85, memory == 0, _STATUS[v["status"]],
            v["status"] == "down", v["status"] != "healthy",
            min(v["http_server_active_requests"], 500) / 100, name in alerts[:1], name in alerts,
        ]  # fmt: skip
    rows = []
    for name in names:
        below = [own[callee] for callee in calls[name]]
        above = [own[other] for other in names if name in calls[other]]
        nothing = [0.0] * len(own[name])
        worst_below = [max(column) for column in zip(*below, strict=True)] or nothing
        worst_above = [max(column) for column in zip(*above, strict=True)] or nothing
        kind = [name.endswith(suffix) for suffix in _KINDS]
        rows.append([1.0, *own[name], *worst_below, *worst_above, *kind, not calls[name]])
    return names, np.array(rows, dtype=np.float64)


def first_seen(task: Task) -> Seen:
    """The first observation of a task, as a policy sees it."""
    world = open_world(task)
    observation = {
        "services": services_view(world, {}),
        "dependency_graph": graph(world),
        "active_alerts": fire(world, {}),
        "current_slo_burn_rate": world.harm / 0.005,
        "sim_tick": 0,
    }
    return Seen(observation, {})


def _culprit(task: Task) -> tuple[str, int]:
    """The service at fault, and the number of the generic repair that fits what moved it."""
    if task.faults[0]:
        put = task.puts[0]
        return put.service, FIXES.index(
            "rollback_deploy" if put.which == "build" else "revert_config"
        )
    first = task.circumstances[0]
    zone = first.lever in ("zone_lost", "zone_fails", "zone_lag", "minority", "neighbour")
    return first.service, FIXES.index("traffic_shift" if zone else "restart_service")


@dataclass(frozen=True, slots=True)
class Learned:
    """Weights: of being at fault, and of each repair given the service."""

    place: Array
    repair: Array

    def choices(self, seen: Seen, most: int) -> list[tuple[str, str]]:
        """Repairs and their targets, the likeliest first."""
        names, rows = _features(seen)
        places = _softmax(rows @ self.place)
        repairs = _softmax(rows @ self.repair)
        joint = places[:, None] * repairs
        flat = np.argsort(-joint, axis=None, kind="stable")[:most]
        return [(FIXES[int(n) % len(FIXES)], names[int(n) // len(FIXES)]) for n in flat]


def _softmax(scores: Array) -> Array:
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: Array = raised / raised.sum(axis=-1, keepdims=True)
    return result


def train(tasks: Iterable[Task]) -> Learned:
    """Fit both models by gradient descent.

    Args:
        tasks: whose faults are known; none of them should be played afterwards.
    """
    groups, roots, fixes = [], [], []
    for task in tasks:
        names, rows = _features(first_seen(task))
        service, fix = _culprit(task)
        groups.append(rows)
        roots.append(names.index(service))
        fixes.append(fix)
    scale = np.abs(np.concatenate(groups)).max(axis=0) + 1e-9
    widest = max(len(rows) for rows in groups)
    width = groups[0].shape[1]
    padded = np.zeros((len(groups), widest, width))
    mask = np.full((len(groups), widest), -1e9)
    for number, rows in enumerate(groups):
        padded[number, : len(rows)] = rows / scale
        mask[number, : len(rows)] = 0.0
    place, repair = np.zeros(width), np.zeros((width, len(FIXES)))
    chosen = np.zeros((len(groups), widest))
    chosen[np.arange(len(groups)), roots] = 1.0
    at_root = padded[np.arange(len(groups)), roots]
    wanted = np.eye(len(FIXES))[fixes]
    for _ in range(_ROUNDS):
        guess = _softmax(padded @ place + mask)
        place -= 0.8 * (np.einsum("gs,gsw->w", guess - chosen, padded) / len(groups) + 1e-4 * place)
        odds = _softmax(at_root @ repair)
        repair -= 0.8 * (at_root.T @ (odds - wanted) / len(groups) + 1e-4 * repair)
    return Learned(place / scale, repair / scale[:, None])


def learned_player(model: Learned, repairs: int) -> Callable[[Seen], Script]:
    """Repairs by what was learned, one at a time until customers are served."""

    def play(seen: Seen) -> Script:
        for fix, target in model.choices(seen, repairs):
            seen = yield order(fix, target)
            for _ in range(3):
                if seen.burn == 0:
                    break
                seen = yield order("get_metrics_detail", target)
            if seen.burn == 0:
                break
        for _ in range(4):
            seen = yield order("get_metrics_detail", seen.entries[0])
        yield order("declare_resolved")

    return play
