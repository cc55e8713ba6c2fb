"""Events and pods of a service, like `kubectl get events` and `kubectl get pods`."""

from __future__ import annotations

from firewatch_next.simulation.service import PodEvent, Service
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table
from firewatch_next.telemetry.view import TelemetryView
from openenv_kit.float_sum import sum_left_to_right

_EVENTS = {
    "started": ("Normal", "Started", "Started container"),
    "stopped": ("Normal", "Killing", "Stopping container"),
    "killed": ("Warning", "OOMKilled", "Container terminated, exit code 137; back-off restarting"),
}
_WINDOW_MINUTES = 60


def show_kube_events(view: TelemetryView, service: Service) -> Report:
    """Show the events of the last hour, newest first, and the pods, newest first."""
    first = view.first_tick_of(_WINDOW_MINUTES)
    events = list(view.world.history.pod_events(service.name, first, view.tick))
    rows = [_event_row(view, event) for event in reversed(events)]
    pods = []
    for pod in sorted(service.pods, key=lambda one: -one.started_tick):
        state = "Running" if pod.ready_at_tick <= view.tick else "NotReady"
        age = f"{view.minutes_since(pod.started_tick):.1f}"
        pods.append((pod.name, state, pod.times_killed, age, pod.node, pod.version, pod.revision))
    ready = sum_left_to_right(pod[1] == "Running" for pod in pods)
    warnings = sum_left_to_right(row[1] == "Warning" for row in rows)
    headline = (
        f"{ready}/{len(pods)} pods ready, {warnings} warnings and {len(rows) - warnings} other "
        f"events in {_WINDOW_MINUTES} min"
    )
    columns = ("pod", "state", "restarts", "minutes_up", "node", "version", "revision")
    half = max(4, len(rows) if len(rows) < 8 else 8)
    return Report(
        headline,
        (
            Table(("minutes_ago", "type", "reason", "object", "message"), rows[:half]),
            Table(columns, pods),
        ),
    )


def _event_row(view: TelemetryView, event: PodEvent) -> tuple[str | float, ...]:
    kind = ("Warning", event.kind, event.kind.replace("_", " "))
    event_type, reason, message = _EVENTS.get(event.kind, kind)
    return view.minutes_since(event.tick), event_type, reason, f"pod/{event.pod}", message
