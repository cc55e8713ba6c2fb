"""Replicas of a store or queue by zone, with their lag."""

from __future__ import annotations

from firewatch_next.simulation.service import Service, ServiceKind
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table, format_figure
from firewatch_next.telemetry.view import TelemetryView

_TERM_KEY = "term"


def show_consensus(view: TelemetryView, service: Service) -> Report:
    """Show leader, replicas, terms and lag. The pods' first zone has the leader."""
    if service.kind not in (ServiceKind.STORE, ServiceKind.CACHE, ServiceKind.QUEUE):
        return Report("0 replicas: it keeps no data")
    lag = view.newest("replica_lag_seconds", service.name)
    if service.kind is not ServiceKind.STORE:  # its level is another quantity
        lag = service.replica_lag_seconds
    zones = sorted({pod.zone for pod in service.pods})
    term = service.settings.get(_TERM_KEY) or str(
        3 + view.draws("term", service.name).integer_below(40)
    )
    rows = []
    for number, zone in enumerate(zones):
        role = "leader" if number == 0 else "replica"
        behind = lag if number == len(zones) - 1 and number else 0.0
        own_term = service.settings.get(f"{_TERM_KEY}.{zone}", term)
        rows.append((f"{service.name}-{zone}", role, zone, own_term, behind))
    headline = f"{len(rows)} replicas, term {term}, largest lag {format_figure(lag)} s"
    return Report(headline, (Table(("replica", "role", "zone", "term", "lag_seconds"), rows),))
