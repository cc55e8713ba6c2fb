"""Memory of a service by pod, and what is kept in it by flag and by tenant."""

from __future__ import annotations

from firewatch_next.simulation.metrics import Label
from firewatch_next.simulation.service import Service
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table, format_ratio
from firewatch_next.telemetry.noise import add_noise
from firewatch_next.telemetry.view import TelemetryView
from openenv_kit.float_sum import sum_left_to_right

_MEGABYTE = 1e6
_NOISE = 0.02
_USUAL_SHARE = 0.01  # of the base memory: what requests and tenants keep anyway


def show_heap(view: TelemetryView, service: Service) -> Report:
    """Show memory by pod, largest first, then by flag and by tenant."""
    limit = service.memory_limit_bytes / _MEGABYTE
    shares = view.newest_by("memory_ratio", service.name, Label.POD)
    started = {pod.name: pod.started_tick for pod in service.pods}
    pods = [
        (name, view.minutes_since(started[name]), share * limit, limit, format_ratio(share))
        for name, share in sorted(shares.items(), key=lambda item: -item[1])
        if name in started
    ]
    count = max(1, len(service.pods))
    usual = service.base_memory_bytes * _USUAL_SHARE
    leaked = sum_left_to_right(pod.leaked_bytes for pod in service.pods)
    flags = []
    for flag in service.flags.values():
        share = flag.percent / 100.0
        with_flag = usual * share + flag.leaked_bytes / count
        without = usual * (1.0 - share) + max(0.0, leaked - flag.leaked_bytes) / count
        flags.append(
            (
                flag.name,
                round(_read(view, service, f"{flag.name}/with", with_flag)),
                round(_read(view, service, f"{flag.name}/without", without)),
            )
        )
    tenants = []
    for tenant in service.tenants.values():
        exact = (usual + tenant.memory_bytes) / _MEGABYTE
        tenants.append((tenant.name, _read(view, service, tenant.name, exact)))
    mean = view.newest("memory_ratio", service.name)
    gc = view.newest("gc_share", service.name)
    headline = f"memory {format_ratio(mean)} of {limit:.0f} MB per pod, gc {format_ratio(gc)}"
    if pods:
        headline += f", largest {pods[0][4]}"
    return Report(
        headline,
        (
            Table(("flag", "bytes_with", "bytes_without"), flags),
            Table(("tenant", "heap_mb_per_pod"), tenants),
            Table(("pod", "minutes_up", "heap_mb", "limit_mb", "memory_ratio"), pods),
        ),
    )


def _read(view: TelemetryView, service: Service, name: str, exact: float) -> float:
    key = f"{view.task_key}/{service.name}/heap/{name}"
    return add_noise(exact, _NOISE, key, view.tick)
