"""Feature flags of a service, with the failed share of requests with and without each."""

from __future__ import annotations

from firewatch_next.simulation.rows import Column
from firewatch_next.simulation.service import Service
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table, format_figure, format_ratio
from firewatch_next.telemetry.noise import add_noise
from firewatch_next.telemetry.view import TelemetryView
from openenv_kit.float_sum import sum_left_to_right

_FAILURES = (
    Column.EXCEPTION, Column.REJECTED, Column.BAD_GATEWAY, Column.TIMEOUT, Column.POOL_TIMEOUT,
    Column.CLIENT_ERRORS,
)  # fmt: skip
_NOISE = 0.005


def show_flags(view: TelemetryView, service: Service) -> Report:
    """Show all flags. A holdout of a few requests measures flags at 0 and 100 percent too."""
    values = view.world.history.service_values(service.name, view.tick)
    failed = sum_left_to_right(values[column] for column in _FAILURES)
    rows = []
    largest = 0.0
    for flag in service.flags.values():
        without = max(0.0, failed - flag.error_share * flag.percent / 100.0)
        ratios = []
        for part, share in (("with", flag.error_share), ("without", 0.0)):
            key = f"{view.task_key}/{service.name}/flags/{flag.name}/{part}"
            exact = share + (1.0 - share) * without
            ratios.append(min(1.0, add_noise(exact, _NOISE, key, view.tick)))
        largest = max(largest, ratios[0])
        rows.append((flag.name, format_figure(flag.percent), *map(format_ratio, ratios)))
    columns = ("flag", "percent", "error_ratio_with", "error_ratio_without")
    headline = f"{len(rows)} flags, largest error_ratio with one {format_ratio(largest)}"
    return Report(headline, (Table(columns, rows),))
