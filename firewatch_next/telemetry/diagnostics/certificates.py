"""Certificates that a service and its callees show, like `openssl s_client`."""

from __future__ import annotations

from firewatch_next.simulation.service import CalleeClient, ErrorReason, Service
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table, format_ratio
from firewatch_next.telemetry.view import TICKS_PER_MINUTE, TelemetryView

_MINUTES_PER_HOUR = 60


def show_certificates(view: TelemetryView, service: Service) -> Report:
    """Show issuer and expiry, and by connection which share of the handshakes fails."""
    rows = []
    for other in (service, *(view.service(client.callee) for client in service.clients)):
        certificate = other.certificate
        if certificate is not None:
            minutes = (certificate.expires_tick - view.tick) / TICKS_PER_MINUTE
            hours = f"{minutes / _MINUTES_PER_HOUR:.1f}"
            rows.append((other.name, certificate.name, certificate.issuer, hours))
    clients: list[CalleeClient] = [*view.world.incoming[service.name], *service.clients]
    handshakes = [
        (
            client.caller,
            client.callee,
            format_ratio(client.errors.get(ErrorReason.TLS, 0.0)),
            format_ratio(client.old_connections_share),
        )
        for client in clients
    ]
    handshakes.sort(key=lambda row: -float(row[2]))
    soonest = min(rows, key=lambda row: float(row[3]), default=None)
    headline = f"{len(rows)} certificates"
    if soonest is not None:
        headline += f", soonest {soonest[0]} expires in {soonest[3]} h"
    if handshakes:
        headline += f", most failed handshakes {handshakes[0][2]}"
    return Report(
        headline,
        (
            Table(("service", "certificate", "issuer", "expires_in_hours"), rows),
            Table(("caller", "callee", "tls_failed_ratio", "old_connections"), handshakes),
        ),
    )
