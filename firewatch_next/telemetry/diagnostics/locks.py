"""Sessions of a store that hold locks or wait for them, like `pg_stat_activity`."""

from __future__ import annotations

from firewatch_next.simulation.service import Service
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table, format_figure, format_ratio
from firewatch_next.telemetry.view import TelemetryView
from openenv_kit.float_sum import sum_left_to_right


def show_locks(view: TelemetryView, service: Service) -> Report:
    """Show long sessions, and which callers' statements wait and how long.

    A running job without CPU of its own is a session that holds locks.
    """
    sessions = [
        (
            job.name,
            job.user,
            "idle_in_transaction" if job.cpu_seconds_per_request == 0.0 else "active",
            view.minutes_since(job.started_tick),
        )
        for job in service.jobs.values()
        if job.is_running
    ]
    holders = [row for row in sessions if row[2] == "idle_in_transaction"]
    share = seconds = 0.0
    for group in service.groups:
        share += group.traffic_share * group.slow_share
        seconds = max(seconds, group.slow_seconds)
    blocker = holders[0][0] if holders else "-"
    waits = [
        (client.caller, client.flow * share * seconds, 1000.0 * seconds, blocker)
        for client in view.world.incoming[service.name]
        if holders and share > 0.0
    ]
    waiting = sum_left_to_right(row[1] for row in waits)
    headline = (
        f"{waiting:.0f} waiting, {len(holders)} blocking sessions, "
        f"{format_ratio(share if holders else 0.0)} of statements wait "
        f"{format_figure(1000.0 * seconds if holders else 0.0)} ms"
    )
    return Report(
        headline,
        (
            Table(("session", "user", "state", "minutes"), sessions),
            Table(("user", "waiting", "wait_ms", "blocked_by"), waits),
        ),
    )
