"""Configuration keys and values of a service."""

from __future__ import annotations

from firewatch_next.simulation.service import Service
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table
from firewatch_next.telemetry.view import TelemetryView


def show_settings(_view: TelemetryView, service: Service) -> Report:
    """Show every key with its present value."""
    headline = (
        f"{len(service.settings)} settings, version {service.version}, revision {service.revision}"
    )
    return Report(headline, (Table(("key", "value"), list(service.settings.items())),))
