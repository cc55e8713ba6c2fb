"""Disk use of a service's volumes, like `df` and `du`."""

from __future__ import annotations

from firewatch_next.simulation.service import Service, ServiceKind
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table, format_ratio
from firewatch_next.telemetry.view import TICKS_PER_MINUTE, TelemetryView

_VOLUME_GIGABYTES = {ServiceKind.STORE: 500.0, ServiceKind.QUEUE: 500.0}
_OTHER_VOLUME_GIGABYTES = 40.0


def show_disk(view: TelemetryView, service: Service) -> Report:
    """Show size, use and growth of the volume, and the time until it is full."""
    first = view.first_tick_of(10)
    used_before, used = (
        view.read("disk_used_ratio", service.name, None, [tick])[0].values[0]
        for tick in (first, view.tick)
    )
    minutes = max(1, view.tick - first) / TICKS_PER_MINUTE
    growth = (used - used_before) / minutes
    size = _VOLUME_GIGABYTES.get(service.kind, _OTHER_VOLUME_GIGABYTES)
    # Below this growth, the noise of the two readings decides.
    full_in = f"{(1.0 - used) / growth:.0f}" if growth > 0.001 and used < 1.0 else "-"
    row = ("/var/lib", size, size * min(1.0, used), format_ratio(min(1.0, used)),
           size * growth, full_in, service.settings.get("log_level", "-"))  # fmt: skip
    columns = ("mount", "size_gb", "used_gb", "used_ratio", "gb_per_minute", "full_in_minutes",
               "log_level")  # fmt: skip
    headline = f"disk used {row[3]} of {size:.0f} GB, {size * growth:.2f} GB more per minute"
    return Report(headline, (Table(columns, [row]),))
