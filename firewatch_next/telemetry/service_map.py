"""The service map: who calls whom, and which pods a service has where."""

from __future__ import annotations

from firewatch_next.simulation.metrics import Label
from firewatch_next.simulation.service import BreakerState, Service
from firewatch_next.telemetry.limits import Table, build_reply, format_ratio
from firewatch_next.telemetry.view import TelemetryView


def show_service_map(view: TelemetryView, name: str) -> str:
    """Return the reply with callers, callees and pods of a service, or of all with ""."""
    if not name:
        return _show_all(view)
    service = view.service(name)
    ready = len(service.ready_pods(view.tick))
    headline = (
        f"{name} {service.kind} {service.stack} version {service.version} "
        f"pods ready {ready}/{len(service.pods)}"
    )
    pods = Table(("zone", "version", "node", "pods", "ready"), _pod_rows(view, service))
    lines = [*_call_lines(view, service), "", *pods.format_lines()]
    return build_reply(headline, lines, view.max_characters)


def _call_lines(view: TelemetryView, service: Service) -> list[str]:
    rows: list[tuple[str | float, ...]] = []
    for client in view.world.incoming[service.name]:
        rows.append(("caller", *_call_row(view, client.caller, service.name, client.caller)))
    for client in service.clients:
        rows.append(("callee", *_call_row(view, service.name, client.callee, client.callee)))
    columns = ("role", "service", "kind", "per_second", "failed_ratio", "attempts", "breaker")
    return Table(columns, rows).format_lines()


def _call_row(view: TelemetryView, caller: str, callee: str, shown: str) -> tuple[str | float, ...]:
    client = view.service(caller).client_of(callee)
    return (
        shown,
        view.service(shown).kind.value,
        view.newest_by("call_rate", caller, Label.CALLEE)[callee],
        format_ratio(view.newest_by("error_ratio", caller, Label.CALLEE)[callee]),
        view.newest_by("attempts", caller, Label.CALLEE)[callee],
        BreakerState(client.breaker).value,
    )


def _pod_rows(view: TelemetryView, service: Service) -> list[tuple[str | int, ...]]:
    counts: dict[tuple[str, str, str], list[int]] = {}
    for pod in service.pods:
        count = counts.setdefault((pod.zone, pod.version, pod.node), [0, 0])
        count[0] += 1
        count[1] += pod.ready_at_tick <= view.tick
    return [(*key, *count) for key, count in sorted(counts.items())]


def _show_all(view: TelemetryView) -> str:
    services = view.world.services.values()
    zones = ", ".join(view.world.zones)
    headline = f"{len(view.world.services)} services in zones {zones}"
    rows = [
        (
            service.name,
            service.kind.value,
            service.stack,
            len(service.pods),
            ",".join(client.callee for client in service.clients),
        )
        for service in services
    ]
    table = Table(("service", "kind", "stack", "pods", "callees"), rows)
    return build_reply(headline, table.format_lines(), view.max_characters, hint="name a service")
