"""Which callers may reach a service, and which share of their connections is dropped or denied."""

from __future__ import annotations

from firewatch_next.simulation.service import ErrorReason, Service
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table, format_ratio
from firewatch_next.telemetry.view import TelemetryView

_KEY_STARTS = ("policy.", "network_policy.", "role.")


def show_network_policy(view: TelemetryView, service: Service) -> Report:
    """Show dropped and denied shares by caller, and the keys of policies and roles."""
    rows = [
        (
            client.caller,
            service.name,
            format_ratio(client.errors.get(ErrorReason.RESET, 0.0)),
            format_ratio(client.errors.get(ErrorReason.FORBIDDEN, 0.0)),
            format_ratio(client.errors.get(ErrorReason.UNAUTHORIZED, 0.0)),
        )
        for client in view.world.incoming[service.name]
    ]
    rows.sort(key=lambda row: -max(float(share) for share in row[2:]))
    keys = [item for item in service.settings.items() if item[0].startswith(_KEY_STARTS)]
    headline = f"{len(rows)} callers, {len(keys)} keys of policies"
    if rows:
        headline += f", {rows[0][0]} reset {rows[0][2]} denied {rows[0][3]}"
    columns = ("caller", "callee", "reset_ratio", "denied_ratio", "unauthorized_ratio")
    return Report(headline, (Table(columns, rows), Table(("key", "value"), keys)))
