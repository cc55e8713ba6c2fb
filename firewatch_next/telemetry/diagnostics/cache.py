"""Hits and misses of caches, like `redis-cli info stats`."""

from __future__ import annotations

from firewatch_next.simulation.service import Service, ServiceKind
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table, format_figure, format_ratio
from firewatch_next.telemetry.view import TICKS_PER_MINUTE, TelemetryView


def show_cache(view: TelemetryView, service: Service) -> Report:
    """Show hit ratios now and half an hour ago of a cache, or of the caches that a service uses."""
    callees = [view.service(client.callee) for client in service.clients]
    caches = [one for one in (service, *callees) if one.kind is ServiceKind.CACHE]
    first = view.first_tick_of(30)
    rows = []
    for cache in caches:
        series = view.read("cache_hit_ratio", cache.name, None, sorted({first, view.tick}))[0]
        hits = min(1.0, series.values[-1])
        lookups = view.newest("request_rate", cache.name)
        memory = view.newest("memory_mb", cache.name)
        rows.append((cache.name, format_ratio(hits), format_ratio(min(1.0, series.values[0])),
                     lookups, lookups * (1.0 - hits), memory))  # fmt: skip
    if not rows:
        return Report("0 caches: it neither is one nor calls one")
    name, hits_text, before, _, misses, _ = rows[0]
    minutes = format_figure((view.tick - first) / TICKS_PER_MINUTE)
    headline = (
        f"{name} hit_ratio {hits_text}, {minutes} min ago {before}, "
        f"{format_figure(misses)} misses per second"
    )
    columns = ("cache", "hit_ratio", "hit_ratio_before", "lookups_per_second",
               "misses_per_second", "memory_mb")  # fmt: skip
    settings = [
        (cache.name, key, value)
        for cache in caches
        for key, value in cache.settings.items()
        if "ttl" in key or "cache" in key or "key_" in key
    ]
    return Report(headline, (Table(columns, rows), Table(("cache", "key", "value"), settings)))
