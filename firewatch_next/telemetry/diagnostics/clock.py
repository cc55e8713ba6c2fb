"""Clock offsets of a service's pods, like `chronyc tracking`."""

from __future__ import annotations

from firewatch_next.simulation.service import Service
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table
from firewatch_next.telemetry.noise import draw_noise
from firewatch_next.telemetry.view import TelemetryView

_NOISE_SECONDS = 0.002


def show_clock(view: TelemetryView, service: Service) -> Report:
    """Show the offset of each pod to the reference time, largest first."""
    rows = []
    for pod in service.pods:
        key = f"{view.task_key}/{pod.name}/clock"
        offset = pod.clock_offset_seconds + _NOISE_SECONDS * draw_noise(key, view.tick)
        rows.append((pod.name, pod.node, pod.zone, f"{offset:.3f}"))
    rows.sort(key=lambda row: -abs(float(row[3])))
    if not rows:
        return Report("0 pods")
    headline = f"{len(rows)} pods, largest offset {rows[0][3]} s on {rows[0][1]}"
    return Report(headline, (Table(("pod", "node", "zone", "offset_seconds"), rows),))
