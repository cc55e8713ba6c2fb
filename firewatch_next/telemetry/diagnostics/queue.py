"""Lag of a queue and its consumers, like `kafka-consumer-groups --describe`."""

from __future__ import annotations

from firewatch_next.simulation.service import Service, ServiceKind
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table, format_figure
from firewatch_next.telemetry.view import TICKS_PER_MINUTE, TelemetryView


def show_queue(view: TelemetryView, service: Service) -> Report:
    """Show lag, inflow and the age of the oldest message of a queue or worker."""
    queues = [
        other
        for other in (service, *(view.service(client.callee) for client in service.clients))
        if other.kind in (ServiceKind.QUEUE, ServiceKind.WORKER)
    ]
    rows = []
    for queue in queues:
        lag = view.newest("backlog", queue.name)
        inflow = view.newest("request_rate", queue.name)
        before = view.read("backlog", queue.name, None, [_minutes_ago(view, 5)])
        growth = (lag - before[0].values[0]) / 5.0 if before else 0.0
        age = lag / inflow if inflow > 0.0 else 0.0
        rows.append((queue.name, queue.kind.value, lag, inflow, growth, age))
    if not rows:
        return Report("0 queues: it neither is one nor sends to one")
    name, _, lag, _, growth, age = rows[0]
    headline = (
        f"{name} lag {format_figure(lag)} messages, {format_figure(growth)} more per minute, "
        f"oldest {format_figure(age)} s"
    )
    columns = ("queue", "kind", "lag", "inflow_per_second", "growth_per_minute", "oldest_seconds")
    return Report(headline, (Table(columns, rows),))


def _minutes_ago(view: TelemetryView, minutes: int) -> int:
    return max(view.world.history.first_tick, view.tick - minutes * TICKS_PER_MINUTE)
