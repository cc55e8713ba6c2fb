"""Stored records by layout and writer, of a store or of the stores that a service uses."""

from __future__ import annotations

from firewatch_next.simulation.service import Service
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table, format_ratio
from firewatch_next.telemetry.view import TelemetryView


def show_records(view: TelemetryView, service: Service) -> Report:
    """Show the share of each layout and writer."""
    stores = [service, *(view.service(client.callee) for client in service.clients)]
    rows = [
        (store.name, record.layout, record.writer, format_ratio(record.share))
        for store in stores
        for record in sorted(store.records, key=lambda one: -one.share)
    ]
    if not rows:
        return Report("0 record sets here or in what it calls")
    store, layout, writer, share = rows[0]
    headline = f"{len(rows)} record sets, most in {store} {layout} by {writer} {share}"
    return Report(headline, (Table(("store", "layout", "writer", "share"), rows),))
