"""Answers the questions of hypotheses from the state of a world, without tools and their texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from firewatch_next.changes.change import Change
from firewatch_next.faults.evidence import ParsedReply, ParsedSeries, Question, Suspect
from firewatch_next.simulation.metrics import METRICS, Label
from firewatch_next.simulation.series import Series, read_series
from firewatch_next.simulation.service import NEVER, Service
from firewatch_next.simulation.world import World
from support.direct_platform_replies import PLATFORM_DIAGNOSTICS

Row = Mapping[str, str | float]


def make_suspect(world: World, service: str) -> Suspect:
    """Return what the reference knows of a service that it examines."""
    callees = [client.callee for client in world.services[service].clients]
    callers = world.callers[service]
    near = {service, *callers, *callees}
    caches = {
        client.cache
        for name in (service, *callers)
        for client in world.services[name].clients
        if client.cache
    }
    caches |= {caller.cache for caller in world.incoming[service] if caller.cache}
    if world.services[service].usual_cache_megabytes and service.endswith("cache"):
        caches.add(service)
    return Suspect(
        service,
        tuple(callers),
        tuple(callees),
        callees[0] if callees else "",
        _onset_minutes(world),
        tuple(
            _change_row(world, change)
            for change in reversed(world.changes)
            if isinstance(change, Change) and change.service in near | caches
        ),
        tuple(sorted(caches)),
        tuple(entry.name for entry in world.entries),
    )


def answer(world: World, question: Question) -> ParsedReply:
    """Return the parsed reply to a question, with the noise of readings."""
    arguments = question.call.arguments
    if question.call.name == "list_changes":
        changes = [change for change in reversed(world.changes) if isinstance(change, Change)]
        return ParsedReply((), tuple(_change_row(world, change) for change in changes))
    service = world.services[str(arguments["service"])]
    if question.call.name == "run_diagnostic":
        return ParsedReply((), tuple(DIAGNOSTICS[str(arguments["kind"])](world, service)))
    assert question.call.name == "query_metrics"
    points, minutes = int(str(arguments["points"])), int(str(arguments["window_minutes"]))
    first = max(world.first_tick, world.tick - 2 * minutes + 1)
    step = (world.tick - first) / (points - 1)
    ticks = sorted({first + int(step * point + 0.5) for point in range(points)})
    group_by = Label(str(arguments["group_by"])) if "group_by" in arguments else None
    found: list[ParsedSeries] = []
    for metric in str(arguments["metrics"]).split(","):
        assert metric in METRICS
        for series in read_series(
            world.history, world.services, metric, service.name, group_by, ticks, "test"
        ):
            found.append(_parse_series(world, series))
    return ParsedReply(tuple(found))


def _parse_series(world: World, series: Series) -> ParsedSeries:
    minutes = tuple((world.tick - tick) / 2.0 for tick in series.ticks)
    return ParsedSeries(series.metric, series.labels, series.values, minutes)


def _onset_minutes(world: World) -> float:
    ticks = range(world.first_tick, world.tick + 1)
    harmed = [tick for tick in ticks if world.history.harm_at(tick) > 0.005]
    return (world.tick - harmed[0]) / 2.0 if harmed else 0.0


def _change_row(world: World, change: Change) -> Row:
    return {
        "id": change.id, "kind": change.kind, "service": change.service, "key": change.key,
        "before": change.before, "after": change.after, "migration": change.migration,
        "minutes_ago": (world.tick - change.tick) / 2.0,
    }  # fmt: skip


def _settings(world: World, service: Service) -> list[Row]:
    return [{"key": key, "value": value} for key, value in service.settings.items()]


def _flags(world: World, service: Service) -> list[Row]:
    base = service.base_error_share
    return [
        {
            "flag": flag.name, "percent": flag.percent,
            "error_ratio_with": base + flag.error_share, "error_ratio_without": base,
            "calls_with": flag.calls_factor, "calls_without": 1.0,
            "query_ms_with": flag.query_factor, "query_ms_without": 1.0,
        }
        for flag in service.flags.values()
    ]  # fmt: skip


def _connections(world: World, service: Service) -> list[Row]:
    rows: list[Row] = []
    pods = len(service.pods)
    sizes = [pods * client.pool_size for client in service.clients if client.pool_size]
    for flag in service.flags.values():
        share = flag.leaked_connections / min(sizes, default=1)
        rows.append({"flag": flag.name, "idle_with": share, "idle_without": 0.0})
    return rows


def _heap(world: World, service: Service) -> list[Row]:
    return [
        {"flag": flag.name, "bytes_with": flag.leaked_bytes, "bytes_without": 0.0}
        for flag in service.flags.values()
    ]


def _cpu_profile(world: World, service: Service) -> list[Row]:
    usual = 1000.0 * service.cpu_seconds_per_request
    return [
        {"flag": flag.name, "cpu_ms_with": usual * flag.cpu_factor, "cpu_ms_without": usual}
        for flag in service.flags.values()
    ]


def _slow_queries(world: World, store: Service) -> list[Row]:
    usual = 1000.0 * (store.cpu_seconds_per_request + store.base_latency_seconds)
    times: list[float] = []
    rows: list[dict[str, str | float]] = []
    for statement in store.statements.values():
        flow = world.services[statement.user].client_of(store.name).flow
        cost = usual * (1.0 + 0.4 * (statement.cost_factor - 1.0))
        times.append(flow * statement.share * statement.cost_factor)
        rows.append({
            "statement": statement.name, "user": statement.user, "index": statement.index,
            "job": "", "mean_ms": cost, "usual_mean_ms": usual,
        })  # fmt: skip
    for job in store.jobs.values():
        if job.is_running and job.load:
            times.append(job.allowed_load)
            rows.append({"statement": "COPY", "user": job.user, "index": "", "job": job.name,
                         "mean_ms": usual, "usual_mean_ms": usual})  # fmt: skip
    total = max(1e-9, float(sum(times)))
    return [{**row, "time_share": time / total} for row, time in zip(rows, times, strict=True)]


def _locks(world: World, store: Service) -> list[Row]:
    waiting = sum(g.traffic_share * g.slow_share * g.slow_seconds for g in store.groups)
    return [
        {"blocker": job.name, "user": job.user, "waiting": store.load * waiting}
        for job in store.jobs.values()
        if job.is_running and job.blocks_rows
    ]


def _cache(world: World, cache: Service) -> list[Row]:
    is_full = cache.cache_megabytes < cache.usual_cache_megabytes * cache.working_set_factor
    misses = cache.load * (1.0 - cache.cache_hit_share)
    return [{
        "hit_ratio": cache.cache_hit_share, "ttl_s": cache.cache_ttl_seconds,
        "usual_ttl_s": cache.usual_cache_ttl_seconds, "size_mb": cache.cache_megabytes,
        "usual_mb": cache.usual_cache_megabytes, "evicted_per_second": misses if is_full else 0.0,
    }]  # fmt: skip


def _threads(world: World, service: Service) -> list[Row]:
    return [
        {"pod": pod.name, "blocked": float(service.threads) if pod.is_frozen else 0.0}
        for pod in service.pods
        if pod.ready_at_tick < NEVER
    ]


def _quota(world: World, entry: Service) -> list[Row]:
    bots = entry.bot_load / entry.load if entry.load else 0.0
    return [{"source": "customers", "share": 1.0 - bots}, {"source": "robots", "share": bots}]


DIAGNOSTICS: dict[str, Callable[[World, Service], list[Row]]] = {
    **PLATFORM_DIAGNOSTICS,
    "cache": _cache,
    "connections": _connections,
    "cpu_profile": _cpu_profile,
    "flags": _flags,
    "heap": _heap,
    "locks": _locks,
    "quota": _quota,
    "settings": _settings,
    "slow_queries": _slow_queries,
    "threads": _threads,
}
