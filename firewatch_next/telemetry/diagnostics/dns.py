"""Name lookups and connections of a service to its callees, like `dig` and `ss`."""

from __future__ import annotations

from firewatch_next.simulation.service import ErrorReason, Service
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table, format_ratio
from firewatch_next.telemetry.noise import add_noise
from firewatch_next.telemetry.view import TelemetryView

_NOISE = 0.03
_REASONS = (ErrorReason.DNS, ErrorReason.REFUSED, ErrorReason.RESET)


def show_dns(view: TelemetryView, service: Service) -> Report:
    """Show by callee which shares of its lookups and connections fail, and the configured name."""
    rows = []
    for client in service.clients:
        key = f"{view.task_key}/{service.name}/dns/{client.callee}"
        shares = [
            add_noise(client.errors.get(reason, 0.0), _NOISE, f"{key}/{reason}", view.tick)
            for reason in _REASONS
        ]
        name = service.settings.get(f"endpoint.{client.callee}", f"{client.callee}.internal")
        peers = len(view.service(client.callee).ready_pods(view.tick))
        missing, refused, reset = (format_ratio(min(1.0, share)) for share in shares)
        rows.append((client.callee, name, peers, missing, refused, reset))
    rows.sort(key=lambda row: -max(float(row[3]), float(row[4]), float(row[5])))
    if not rows:
        return Report("0 callees")
    callee, _, _, missing, refused, reset = rows[0]
    headline = f"{callee} NXDOMAIN {missing}, refused {refused}, reset {reset} of connections"
    columns = ("callee", "name", "peers", "nxdomain", "refused", "reset")
    return Report(headline, (Table(columns, rows),))
