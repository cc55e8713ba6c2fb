"""Time that a service's processes spend in system calls, as `strace -c` sums it up."""

from __future__ import annotations

from firewatch_next.simulation.rows import CallColumn
from firewatch_next.simulation.service import Service
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.diagnostics.threads import count_in_flight
from firewatch_next.telemetry.limits import Table, format_ratio
from firewatch_next.telemetry.noise import add_noise
from firewatch_next.telemetry.view import TelemetryView
from openenv_kit.float_sum import sum_left_to_right

_NOISE = 0.04
_CALLS = {"own_io": "pread64", "waiting_on": "recvfrom", "pool_wait": "futex"}
_DISK_FULL_SHARE = 0.999


def show_syscalls(view: TelemetryView, service: Service) -> Report:
    """Show waiting time by system call, and failed calls per second."""
    waits: dict[str, float] = {"pread64": 0.0, "recvfrom": 0.0, "futex": 0.0}
    for state, _, count in count_in_flight(service):
        if state in _CALLS:
            waits[_CALLS[state]] += count
    total = sum_left_to_right(waits.values()) or 1.0
    failed: dict[str, float] = {}
    for client in service.clients:
        values = view.world.history.call_values(service.name, client.callee, view.tick)
        rate = values[CallColumn.OFFERED] * values[CallColumn.CONNECTION_FAILED]
        failed["connect"] = failed.get("connect", 0.0) + rate
    if service.disk_used_share >= _DISK_FULL_SHARE:
        failed["write"] = service.load
    rows = []
    for name in (*waits, "connect", "write"):
        key = f"{view.task_key}/{service.name}/syscalls/{name}"
        share = min(1.0, add_noise(waits.get(name, 0.0) / total, _NOISE, key, view.tick))
        rows.append((name, format_ratio(share), failed.get(name, 0.0)))
    rows.sort(key=lambda row: -float(row[1]))
    errors = sum_left_to_right(failed.values())
    headline = f"most time in {rows[0][0]} {rows[0][1]}, {errors:.1f} failed calls per second"
    return Report(headline, (Table(("syscall", "time_share", "errors_per_second"), rows),))
