"""What the requests in flight of a service are doing, as a thread dump shows it."""

from __future__ import annotations

from firewatch_next.simulation.service import Service
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table, format_ratio
from firewatch_next.telemetry.noise import add_noise
from firewatch_next.telemetry.view import TelemetryView
from openenv_kit.float_sum import sum_left_to_right

_NOISE = 0.04


def count_in_flight(service: Service) -> list[tuple[str, str, float]]:
    """Return state, what is waited for, and number of the requests in flight.

    The number is rate × time, by Little's law.
    """
    served = service.load * service.admitted_share
    found = [
        ("runnable", "-", served * service.cpu_seconds_per_request),
        ("own_io", "-", served * service.base_latency_seconds),
    ]
    for client in service.clients:
        waiting = client.offered * client.pool_wait_share * client.pool_wait_seconds
        waiting += (
            client.offered * (1.0 - client.pool_passed_share) * client.acquire_timeout_seconds
        )
        found.append(("pool_wait", client.callee, waiting))
        found.append(("waiting_on", client.callee, client.flow * client.held_seconds))
    return sorted(found, key=lambda one: -one[2])


def show_threads(view: TelemetryView, service: Service) -> Report:
    """Show the states of the requests in flight, most first."""
    pods = max(1, len(service.ready_pods(view.tick)))
    rows = []
    for state, target, count in count_in_flight(service):
        key = f"{view.task_key}/{service.name}/threads/{state}/{target}"
        rows.append((state, target, add_noise(count, _NOISE, key, view.tick) / pods))
    table = Table(("state", "target", "per_pod"), rows)
    if not service.threads:
        total = sum_left_to_right(row[2] for row in rows)
        return Report(f"event loop, {total:.1f} requests in flight per pod", (table,))
    in_use = view.newest("threads_in_use", service.name)
    headline = f"{in_use * service.threads:.0f} of {service.threads} threads busy per pod"
    return Report(f"{headline} ({format_ratio(in_use)})", (table,))
