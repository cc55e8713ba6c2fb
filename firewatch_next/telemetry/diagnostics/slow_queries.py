"""Statements of a store by execution time, like `pg_stat_statements`."""

from __future__ import annotations

from firewatch_next.simulation.service import Service, ServiceKind
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table, format_ratio
from firewatch_next.telemetry.noise import add_noise
from firewatch_next.telemetry.statements import list_statements
from firewatch_next.telemetry.view import TelemetryView

_NOISE = 0.03
_STORES = (ServiceKind.STORE, ServiceKind.CACHE, ServiceKind.QUEUE)


def show_slow_queries(view: TelemetryView, service: Service) -> Report:
    """Show a store's statements, or those that a service sends to its stores."""
    is_store = service.kind in _STORES
    callees = [view.service(client.callee) for client in service.clients]
    stores = [service] if is_store else [store for store in callees if store.kind in _STORES]
    rows = []
    for store in stores:
        for statement in list_statements(view, store):
            if not is_store and statement.user != service.name:
                continue
            key = f"{view.task_key}/{store.name}/statements/{statement.user}/{statement.text}"
            mean = add_noise(statement.mean_milliseconds, _NOISE, key, view.tick)
            share = format_ratio(statement.time_share)
            rows.append(
                (store.name, statement.user, statement.per_second, mean, share, statement.text)
            )
    rows.sort(key=lambda row: -float(row[4]))
    if not rows:
        return Report("0 statements: it is no store and calls none")
    store_name, user, _, mean, share, _ = rows[0]
    headline = f"top statement of {user} in {store_name}: mean {mean:.1f} ms, time share {share}"
    columns = ("store", "user", "per_second", "mean_ms", "time_share", "statement")
    return Report(headline, (Table(columns, rows),))
