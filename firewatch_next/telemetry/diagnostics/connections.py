"""Connection pools of a service, and the connections that a store has by user."""

from __future__ import annotations

from firewatch_next.simulation.metrics import Label
from firewatch_next.simulation.service import CalleeClient, Service
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table, format_figure, format_ratio
from firewatch_next.telemetry.view import TelemetryView
from openenv_kit.float_sum import sum_left_to_right


def show_connections(view: TelemetryView, service: Service) -> Report:
    """Show pools by callee, idle transactions by flag, and connections by user.

    Numbers are totals over the pods. "idle" is idle in transaction: taken and not used. By flag it
    is a share of the pool, opened by requests with the flag or without it.
    """
    use = view.newest_by("pool_in_use", service.name, Label.CALLEE)
    pools = [
        _pool_row(view, service, client, use[client.callee])
        for client in service.clients
        if client.pool_size
    ]
    pools.sort(key=lambda row: -float(row[2]) / max(1.0, float(row[1])))
    idle = sum_left_to_right(_count_idle(service, client.callee) for client in service.clients)
    size = max((row[1] for row in pools if row[3] > 0), default=1)
    flags = []
    for flag in service.flags.values():
        with_flag = min(idle, flag.leaked_connections)
        shares = (format_ratio(min(1.0, part / size)) for part in (with_flag, idle - with_flag))
        flags.append((flag.name, format_figure(flag.percent), *shares))
    users = [_user_row(view, client) for client in view.world.incoming[service.name]]
    users = [row for row in users if row[1] > 0]
    tables = (
        Table(("pool", "size", "in_use", "idle", "wait_ms", "oldest_idle_min"), pools),
        Table(("flag", "percent", "idle_with", "idle_without"), flags),
        Table(("user", "size", "in_use", "idle"), users),
    )
    if pools:
        name, size, used, *_ = pools[0]
        headline = f"{name} {used} of {size} in use, {round(idle)} idle in transaction"
    else:
        total = sum_left_to_right(row[2] for row in users)
        headline = f"{total} connections in use by {len(users)} users"
    return Report(headline, tables)


def _count_idle(service: Service, callee: str) -> float:
    return sum_left_to_right(pod.leaked_connections.get(callee, 0.0) for pod in service.pods)


def _pool_row(
    view: TelemetryView, service: Service, client: CalleeClient, use: float
) -> tuple[str, int, int, int, str, str]:
    pods = len(service.ready_pods(view.tick))
    idle = _count_idle(service, client.callee)
    wait = 1000.0 * client.pool_wait_share * client.pool_wait_seconds
    return (
        client.callee,
        client.pool_size * pods,
        round(min(1.0, use) * client.pool_size * pods),
        round(idle),
        format_figure(wait),
        format_figure(_minutes_of_oldest_idle(view, service)) if idle >= 1.0 else "-",
    )


def _minutes_of_oldest_idle(view: TelemetryView, service: Service) -> float:
    """Return how long some pod has had an idle connection without a break."""
    tick = view.tick
    while tick > view.world.history.first_tick:
        pods = view.world.history.details(service.name, tick - 1).pods
        if not any(pod.leaked_connections >= 1.0 for pod in pods):
            break
        tick -= 1
    return view.minutes_since(tick)


def _user_row(view: TelemetryView, client: CalleeClient) -> tuple[str, int, int, int]:
    caller = view.service(client.caller)
    size = client.pool_size * len(caller.ready_pods(view.tick))
    use = view.newest_by("pool_in_use", client.caller, Label.CALLEE)[client.callee]
    idle = _count_idle(caller, client.callee)
    return client.caller, size, round(min(1.0, use) * size), round(idle)
