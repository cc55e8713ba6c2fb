"""Reads the history as metric series, with noise.

The noise belongs to the metric, service, label and tick, so overlapping windows agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from firewatch_next.simulation.history import GroupRow, History
from firewatch_next.simulation.latency import quantile_of_modes
from firewatch_next.simulation.metrics import METRICS, Label, Metric
from firewatch_next.simulation.rows import CallColumn, Column, modes_of_row
from firewatch_next.simulation.service import Mode, Service
from openenv_kit.bitstream import BitStream
from openenv_kit.float_sum import sum_left_to_right

_QUANTILES = {"latency_p50_ms": 0.5, "latency_p95_ms": 0.95, "latency_p99_ms": 0.99}
_CODE_COLUMNS = {
    "500": (Column.EXCEPTION, Column.POOL_TIMEOUT),
    "502": (Column.BAD_GATEWAY,),
    "503": (Column.REJECTED,),
    "504": (Column.TIMEOUT,),
}
_SERVER_ERRORS = (
    Column.EXCEPTION, Column.REJECTED, Column.BAD_GATEWAY, Column.TIMEOUT, Column.POOL_TIMEOUT,
)  # fmt: skip
_CODE_OF_REASON = {"unauthorized": "401", "forbidden": "403", "rate_limited": "429"}
_PLAIN_COLUMNS = {
    "request_rate": Column.LOAD,
    "cpu_utilization": Column.UTILIZATION,
    "threads_in_use": Column.THREADS,
    "memory_ratio": Column.MEMORY,
    "gc_share": Column.GC,
    "pods_ready": Column.PODS,
    "rejected_ratio": Column.REJECTED,
    "degraded_ratio": Column.DEGRADED,
    "cache_hit_ratio": Column.LEVEL,
    "backlog": Column.LEVEL,
    "replica_lag_seconds": Column.LEVEL,
    "disk_used_ratio": Column.DISK,
}
_CALL_COLUMNS = {
    "error_ratio": CallColumn.FAILED,
    "call_rate": CallColumn.OFFERED,
    "attempts": CallColumn.ATTEMPTS,
    "connect_error_ratio": CallColumn.CONNECTION_FAILED,
    "pool_timeout_ratio": CallColumn.POOL_TIMEOUT,
    "pool_size": CallColumn.POOL_SIZE,
    "pool_in_use": CallColumn.POOL_IN_USE,
}
_NOISE_TICKS = 400  # from the first tick of a history on


@dataclass(frozen=True)
class Series:
    """Readings of one metric of one service for one set of labels, oldest first.

    Attributes:
        labels: empty for the whole service.
        ticks: of the readings; a tick is 30 seconds and 0 is the reset.
    """

    metric: str
    service: str
    labels: Mapping[str, str]
    ticks: tuple[int, ...]
    values: tuple[float, ...]


def read_series(
    history: History,
    services: Mapping[str, Service],
    metric: str,
    service: str,
    group_by: Label | None,
    ticks: Sequence[int],
    noise_key: str,
) -> list[Series]:
    """Return one series per label value, or one for the service without `group_by`.

    Args:
        history: of the world.
        services: of the world; only what never changes is read from them.
        metric: name in `METRICS`.
        service: name.
        group_by: one of the metric's labels, or None.
        ticks: recorded ticks in increasing order.
        noise_key: text of the task; the same key gives the same noise.

    Raises:
        KeyError: for an unknown metric or service.
        ValueError: if the metric cannot be grouped by that label.
    """
    description = METRICS[metric]
    if group_by is not None and group_by not in description.labels:
        allowed = ", ".join(description.labels) or "none"
        raise ValueError(f"{metric} cannot be grouped by {group_by}; allowed: {allowed}")
    columns: dict[str, dict[int, float]] = {}
    for tick in ticks:
        values = _values_at(history, services[service], metric, group_by, tick)
        for label, value in values.items():
            columns.setdefault(label, {})[tick] = value
    result = []
    for label in sorted(columns):
        found = columns[label]
        noise = _noise(description, f"{noise_key}/{service}/{metric}/{group_by}/{label}")
        present = tuple(tick for tick in ticks if tick in found)
        readings = tuple(found[tick] * (1.0 + noise[tick - history.first_tick]) for tick in present)
        labels = {} if group_by is None else {str(group_by): label}
        result.append(Series(metric, service, labels, present, readings))
    return result


def _noise(metric: Metric, key: str) -> Sequence[float]:
    if metric.noise == 0.0:
        return [0.0] * _NOISE_TICKS
    normals: list[float] = BitStream(key).draw_normals(_NOISE_TICKS).tolist()
    return [metric.noise * normal for normal in normals]


def _values_at(
    history: History, service: Service, metric: str, group_by: Label | None, tick: int
) -> dict[str, float]:
    """Return the exact values of a metric in one tick, by label value."""
    if group_by is Label.CALLEE:
        return {
            callee: _call_value(history, service, callee, metric, tick)
            for callee in history.callees[service.name]
        }
    if group_by is Label.CALLER:
        return {
            caller: history.call_values(caller, service.name, tick)[CallColumn.OFFERED]
            for caller in history.callers[service.name]
        }
    if group_by is Label.CODE:
        return _values_by_code(history, service, metric, tick)
    if group_by is Label.POD:
        return _values_by_pod(history, service, metric, tick)
    if group_by is not None:
        return _values_by_group(history, service, metric, group_by, tick)
    if metric in ("call_rate", "calls_per_request", "attempts", "connect_error_ratio",
                  "pool_size", "pool_in_use", "pool_timeout_ratio"):  # fmt: skip
        values = _values_at(history, service, metric, Label.CALLEE, tick).values()
        return {"": max(values)} if values else {}
    return {"": _service_value(history, service, metric, tick)}


def _service_value(history: History, service: Service, metric: str, tick: int) -> float:
    row = history.service_values(service.name, tick)
    if metric in _PLAIN_COLUMNS:
        return row[_PLAIN_COLUMNS[metric]]
    if metric == "error_ratio":
        total = row[Column.CLIENT_ERRORS]
        for column in _SERVER_ERRORS:
            total += row[column]
        return total
    if metric in _QUANTILES:
        modes = modes_of_row(list(row), service.latency_step)
        return 1000.0 * quantile_of_modes(modes, _QUANTILES[metric])
    limits = history.limits(service.name, tick)
    if metric == "memory_mb":
        return row[Column.MEMORY] * limits.memory_bytes / 1e6
    if metric == "cpu_ms_per_request":
        served = row[Column.LOAD] * (1.0 - row[Column.REJECTED])
        cores = row[Column.UTILIZATION] * limits.cpu_cores * row[Column.PODS]
        return 1000.0 * cores / served if served > 0.0 else 0.0
    if metric == "pods_killed":
        return float(len(_killed_pods(history, service, tick)))
    if metric == "cpu_stolen_share":
        groups = history.details(service.name, tick).groups
        pods = sum(group.pods for group in groups)
        return sum_left_to_right(g.stolen_share * g.pods for g in groups) / pods if pods else 0.0
    raise KeyError(metric)


def _killed_pods(history: History, service: Service, tick: int) -> list[str]:
    events = history.pod_events(service.name, tick, tick)
    return [event.pod for event in events if event.kind == "killed"]


def _call_value(history: History, service: Service, callee: str, metric: str, tick: int) -> float:
    """Return a metric of the calls to a callee, as the caller measures it."""
    row = history.call_values(service.name, callee, tick)
    if metric == "error_ratio":
        no_connection = row[CallColumn.POOL_TIMEOUT]
        return no_connection + (1.0 - no_connection) * row[CallColumn.FAILED]
    if metric in _CALL_COLUMNS:
        return row[_CALL_COLUMNS[metric]]
    if metric == "calls_per_request":
        own = history.service_values(service.name, tick)
        load = own[Column.LOAD] * (1.0 - own[Column.REJECTED])
        return row[CallColumn.OFFERED] / row[CallColumn.ATTEMPTS] / load if load > 0.0 else 0.0
    answers = history.service_values(callee, tick)
    modes = modes_of_row(list(answers), service.latency_step)
    timeout_ms = 1000.0 * service.client_of(callee).timeout_seconds
    return min(timeout_ms, 1000.0 * quantile_of_modes(modes, _QUANTILES[metric]))


def _values_by_code(history: History, service: Service, metric: str, tick: int) -> dict[str, float]:
    row = history.service_values(service.name, tick)
    values = {}
    for code, columns in _CODE_COLUMNS.items():
        values[code] = sum_left_to_right(row[column] for column in columns)
    for reason, share in history.details(service.name, tick).errors:
        reason_code = _CODE_OF_REASON.get(reason)
        if reason_code is not None and share > 0.0:
            values[reason_code] = values.get(reason_code, 0.0) + share
    if metric == "request_rate":
        failed = sum_left_to_right(values.values())
        values = {code: share * row[Column.LOAD] for code, share in values.items()}
        values["200"] = (1.0 - failed) * row[Column.LOAD]
    return {code: value for code, value in values.items() if value > 0.0}


def _values_by_pod(history: History, service: Service, metric: str, tick: int) -> dict[str, float]:
    pods = history.details(service.name, tick).pods
    if metric == "pods_killed":
        return dict.fromkeys(_killed_pods(history, service, tick), 1.0)
    if metric == "memory_ratio" and pods:
        return {pod.name: pod.memory_share for pod in pods if pod.is_ready}
    value = _service_value(history, service, metric, tick)
    by_group: dict[tuple[str, str, str, str], float] = {}
    if metric in _GROUP_VALUES:
        for group in history.details(service.name, tick).groups:
            by_group[group.zone, group.version, group.revision, group.node] = _GROUP_VALUES[metric](
                group
            )
    return {
        pod.name: by_group.get((pod.zone, pod.version, pod.revision, pod.node), value)
        for pod in service.pods
        if pod.started_tick <= tick or pod.times_killed
    }


_GROUP_VALUES: dict[str, Callable[[GroupRow], float]] = {
    "cpu_utilization": lambda group: group.utilization,
    "cpu_stolen_share": lambda group: group.stolen_share,
}


def _values_by_group(
    history: History, service: Service, metric: str, label: Label, tick: int
) -> dict[str, float]:
    """Return values by zone or version. Where groups do not differ, all have the service's."""
    groups = history.details(service.name, tick).groups
    whole = _service_value(history, service, metric, tick)
    if not groups:
        shares: dict[str, float] = {}
        for pod in service.pods:
            name = pod.zone if label is Label.ZONE else pod.version
            shares[name] = shares.get(name, 0.0) + 1.0 / len(service.pods)
        if label is Label.VERSION and len(shares) > 1:
            shares = {service.version: 1.0}
        is_sum = metric in ("request_rate", "pods_ready")
        return {name: whole * share if is_sum else whole for name, share in shares.items()}
    by_label: dict[str, list[GroupRow]] = {}
    for group in groups:
        name = group.zone if label is Label.ZONE else group.version
        by_label.setdefault(name, []).append(group)
    own = _mean_own_errors(groups)
    return {
        name: _group_value(history, service, metric, members, whole, own, tick)
        for name, members in by_label.items()
    }


def _mean_own_errors(groups: Sequence[GroupRow]) -> float:
    load = sum_left_to_right(group.load for group in groups)
    if load <= 0.0:
        return 0.0
    return sum_left_to_right(group.load * group.own_error_ratio for group in groups) / load


def _group_value(
    history: History,
    service: Service,
    metric: str,
    members: list[GroupRow],
    whole: float,
    mean_own_errors: float,
    tick: int,
) -> float:
    """Return a metric of some groups: the service's value with what is special to them."""
    pods = sum(group.pods for group in members)
    load = sum_left_to_right(group.load for group in members)
    if metric == "pods_ready":
        return float(pods)
    if metric == "request_rate":
        return load
    if metric in _GROUP_VALUES:
        return (
            sum_left_to_right(_GROUP_VALUES[metric](group) * group.pods for group in members) / pods
        )
    if metric == "cpu_ms_per_request":
        factor = sum_left_to_right(group.cpu_factor * group.pods for group in members) / pods
        return 1000.0 * service.cpu_seconds_per_request * factor
    if metric == "error_ratio":
        own = _mean_own_errors(members)
        return max(0.0, min(1.0, whole + own - mean_own_errors))
    modes = modes_of_row(list(history.service_values(service.name, tick)), service.latency_step)
    delay = sum_left_to_right(group.extra_latency_seconds * group.pods for group in members) / pods
    slow = sum_left_to_right(group.slow_share * group.pods for group in members) / pods
    seconds = max(group.slow_seconds for group in members)
    fast = modes[0]
    own_modes = (
        Mode(1.0 - slow, fast.median + delay, fast.step),
        Mode(slow, fast.median + delay + seconds, fast.step),
    )
    return 1000.0 * quantile_of_modes(own_modes, _QUANTILES[metric])
