"""Alerts that fire on the metrics of services, worst first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from firewatch_next.simulation.latency import quantile_of_modes
from firewatch_next.simulation.log_event import LogEvent, LogLevel, Phrasings, choose_phrasing
from firewatch_next.simulation.rows import Column, modes_of_row
from firewatch_next.simulation.service import Service, ServiceKind
from firewatch_next.telemetry.limits import format_figure
from firewatch_next.telemetry.view import TelemetryView

HOLD_TICKS = 2  # a value must be past its threshold that long
_MAX_AGE_TICKS = 60
_MAX_DESCRIPTION_CHARACTERS = 160


class Severity(StrEnum):
    """How urgent an alert is, the most urgent first."""

    PAGE = "page"
    CRITICAL = "critical"
    WARNING = "warning"


@dataclass(frozen=True)
class Alert:
    """A firing alert, with the fields of the wire contract.

    Attributes:
        metric_value, threshold_value: in the metric's unit: shares, or seconds.
        fired_at_tick: tick at which it began to fire.
    """

    alert_id: str
    alertname: str
    service_name: str
    severity: Severity
    description: str
    metric_name: str
    metric_value: float
    threshold_value: float
    fired_at_tick: int


class _Rule(NamedTuple):
    """An alert rule. `read` returns the value of a service in a tick and `threshold` its limit."""

    alertname: str
    metric_name: str
    read: Callable[[TelemetryView, Service, int], float]
    threshold: float
    critical_from: float
    is_ratio: bool
    wording: LogEvent


def _wording(name: str, first: str, second: str, test: str, sealed: str) -> LogEvent:
    fields = ("service", "value", "threshold", "minutes")
    phrasings = Phrasings((first, second), test, sealed)
    return LogEvent(f"alert.{name}", LogLevel.ERROR, fields, {"any": phrasings})


def _read_server_errors(view: TelemetryView, service: Service, tick: int) -> float:
    values = view.world.history.service_values(service.name, tick)
    total = values[Column.EXCEPTION] + values[Column.REJECTED] + values[Column.BAD_GATEWAY]
    return total + values[Column.TIMEOUT] + values[Column.POOL_TIMEOUT]


def _read_customer_errors(view: TelemetryView, service: Service, tick: int) -> float:
    if service.entry_rate <= 0.0:
        return 0.0
    values = view.world.history.service_values(service.name, tick)
    failed = _read_server_errors(view, service, tick) + values[Column.CLIENT_ERRORS]
    return failed + values[Column.DEGRADED]


def _read_latency(view: TelemetryView, service: Service, tick: int) -> float:
    values = list(view.world.history.service_values(service.name, tick))
    return quantile_of_modes(modes_of_row(values, service.latency_step), 0.99)


def _read_column(column: Column) -> Callable[[TelemetryView, Service, int], float]:
    return lambda view, service, tick: view.world.history.service_values(service.name, tick)[column]


def _read_absent_pods(view: TelemetryView, service: Service, tick: int) -> float:
    values = view.world.history.service_values(service.name, tick)
    is_down = values[Column.PODS] < 1.0 or _read_server_errors(view, service, tick) >= 0.9
    return 1.0 if is_down else 0.0


def _read_queue_age(view: TelemetryView, service: Service, tick: int) -> float:
    if service.kind not in (ServiceKind.QUEUE, ServiceKind.WORKER):
        return 0.0
    values = view.world.history.service_values(service.name, tick)
    return values[Column.LEVEL] / values[Column.LOAD] if values[Column.LOAD] > 0.0 else 0.0


_RULES = (
    _Rule("HighErrorRate", "customer_error_ratio", _read_customer_errors, 0.03, 0.0, True, _wording(
        "customer_errors",
        "{service}: {value} of customer requests fail for {minutes} min (threshold {threshold})",
        "customers see failures at {service}: {value}, allowed {threshold}, since {minutes} min",
        "{service} user-facing failures {value} over budget {threshold} ({minutes} min)",
        "availability of {service} below target: {value} bad, limit {threshold}, {minutes} min",
    )),
    _Rule("ServiceDown", "up", _read_absent_pods, 0.5, 0.5, True, _wording(
        "service_down",
        "{service} answers no request for {minutes} min",
        "no healthy answer from {service} since {minutes} min",
        "{service} is unreachable ({minutes} min)",
        "probes of {service} fail without exception, {minutes} min",
    )),
    _Rule("HighErrorRate", "http_server_error_rate", _read_server_errors, 0.05, 0.25, True,
          _wording(
        "server_errors",
        "{service} 5xx {value} for {minutes} min (threshold {threshold})",
        "share of 5xx answers at {service} is {value}, above {threshold} since {minutes} min",
        "{service}: server errors {value} > {threshold}, {minutes} min",
        "error budget burn at {service}: {value} of answers are 5xx (limit {threshold}, "
        "{minutes} min)",
    )),
    _Rule("HighLatency", "http_server_request_duration_p99", _read_latency, 1.0, 2.0, False,
          _wording(
        "latency",
        "{service} p99 {value} s for {minutes} min (threshold {threshold} s)",
        "slow answers from {service}: p99 {value} s, limit {threshold} s, since {minutes} min",
        "{service}: 99th percentile at {value} s > {threshold} s, {minutes} min",
        "tail latency of {service} is {value} s (objective {threshold} s, {minutes} min)",
    )),
    _Rule("MemoryPressure", "process_memory_utilization", _read_column(Column.MEMORY), 0.9, 2.0,
          True, _wording(
        "memory",
        "{service} memory {value} of limit for {minutes} min (threshold {threshold})",
        "pods of {service} use {value} of their memory, above {threshold} since {minutes} min",
        "{service}: working set {value} > {threshold}, {minutes} min",
        "little memory left at {service}: {value} in use (limit {threshold}, {minutes} min)",
    )),
    _Rule("HighCPU", "process_cpu_utilization", _read_column(Column.UTILIZATION), 0.9, 2.0, True,
          _wording(
        "cpu",
        "{service} CPU {value} for {minutes} min (threshold {threshold})",
        "CPU of {service} at {value}, above {threshold} since {minutes} min",
        "{service}: processors {value} busy > {threshold}, {minutes} min",
        "{service} is short of CPU: {value} used (limit {threshold}, {minutes} min)",
    )),
    _Rule("RequestBacklog", "queue_age_seconds", _read_queue_age, 60.0, 600.0, False, _wording(
        "backlog",
        "{service}: oldest message waits {value} s (threshold {threshold} s) for {minutes} min",
        "backlog at {service}, {value} s old, limit {threshold} s, since {minutes} min",
        "{service} consumers behind by {value} s > {threshold} s, {minutes} min",
        "delay of {service} grew to {value} s (objective {threshold} s, {minutes} min)",
    )),
)  # fmt: skip
ALERT_WORDINGS = tuple(rule.wording for rule in _RULES)


def list_alerts(view: TelemetryView) -> list[Alert]:
    """Return the firing alerts: by severity, then by how far the value is past its threshold."""
    alerts = []
    full = view.world.history.row(view.tick).full
    for service in view.world.services.values():
        if service.name not in full:  # it is calm
            continue
        for rule in _RULES:
            since = _past_threshold_since(view, service, rule)
            if since is not None and view.tick - since >= HOLD_TICKS:
                alerts.append(_make_alert(view, service, rule, since))
    order = list(Severity)
    return sorted(
        alerts,
        key=lambda a: (order.index(a.severity), -a.metric_value / a.threshold_value, a.alert_id),
    )


def _past_threshold_since(view: TelemetryView, service: Service, rule: _Rule) -> int | None:
    """Return the first tick of the time during which the value is past its threshold till now."""
    since = None
    first = max(view.world.history.first_tick, view.tick - _MAX_AGE_TICKS)
    for tick in range(view.tick, first - 1, -1):
        if rule.read(view, service, tick) < rule.threshold:
            break
        since = tick
    return since


def _make_alert(view: TelemetryView, service: Service, rule: _Rule, since: int) -> Alert:
    value = rule.read(view, service, view.tick)
    severity = Severity.CRITICAL if value >= rule.critical_from else Severity.WARNING
    if rule.metric_name == "customer_error_ratio":
        severity = Severity.PAGE
    template = choose_phrasing(
        view.draws("phrasing", service.name, rule.wording.name), "any", rule.wording, view.wording
    )
    description = template.format(
        service=service.name,
        value=_format_value(value, rule),
        threshold=_format_value(rule.threshold, rule),
        minutes=format_figure(view.minutes_since(since)),
    )
    fired = since + HOLD_TICKS
    return Alert(
        f"{rule.alertname}-{service.name}-{rule.metric_name}-{fired}",
        rule.alertname,
        service.name,
        severity,
        description[:_MAX_DESCRIPTION_CHARACTERS],
        rule.metric_name,
        value,
        rule.threshold,
        fired,
    )


def _format_value(value: float, rule: _Rule) -> str:
    return f"{100.0 * value:.1f} %" if rule.is_ratio else format_figure(value)


def format_alerts(alerts: Sequence[Alert]) -> list[str]:
    """Return one line per alert: severity and description."""
    return [f"{alert.severity} {alert.alertname} {alert.description}" for alert in alerts]
