"""Rate limits and quotas of a service, and the load of each of its callers."""

from __future__ import annotations

from firewatch_next.simulation.metrics import Label
from firewatch_next.simulation.service import Service
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table, format_figure, format_ratio
from firewatch_next.telemetry.view import TelemetryView
from openenv_kit.float_sum import sum_left_to_right


def show_quota(view: TelemetryView, service: Service) -> Report:
    """Show load against the limit, by caller now and half an hour ago."""
    first = view.first_tick_of(30)
    series = view.read("request_rate", service.name, Label.CALLER, sorted({first, view.tick}))
    total = view.newest("request_rate", service.name)
    sent = sum_left_to_right(one.values[-1] for one in series)
    callers = [
        (
            one.labels["caller"],
            one.values[-1],
            one.values[0],
            format_ratio(one.values[-1] / sent if sent > 0.0 else 0.0),
        )
        for one in sorted(series, key=lambda one: -one.values[-1])
    ]
    limited = view.newest_by("error_ratio", service.name, Label.CODE).get("429", 0.0)
    limit = format_figure(service.rate_limit) if service.rate_limit > 0.0 else "none"
    headline = (
        f"{format_figure(total)} requests per second, limit {limit}, "
        f"429 share {format_ratio(limited)}"
    )
    keys = [item for item in service.settings.items() if "quota" in item[0] or "rate" in item[0]]
    columns = ("caller", "per_second", "per_second_before", "share")
    return Report(headline, (Table(columns, callers), Table(("key", "value"), keys)))
