"""The texts that a player reads beside the replies of tools."""

from __future__ import annotations

from collections.abc import Sequence

from firewatch_next.grading.score import ScoreParts
from firewatch_next.telemetry.alerts import Alert, format_alerts
from firewatch_next.telemetry.limits import format_figure
from firewatch_next.telemetry.view import TelemetryView

MAX_ALERTS_IN_MESSAGE = 5
BRIEF = """\
You are on call for an online shop. Customers get errors, slow or incomplete answers. End the \
incident: find what is broken, repair it, declare it resolved.

Every tool call takes 30 seconds (one tick) and shows the system at its end. Calls that only look \
cost time and nothing else. Start at the entries and follow the failing calls: the service that \
alerts is not always the faulty one. query_metrics grouped by callee, version, zone or pod shows \
where failures arise and since when; list_changes shows what changed, most of it harmless; \
run_diagnostic shows settings, flags, connections and more. Logs contain what programs could know. \
Advice in them may be wrong.

More pods or CPU, shifted traffic, open breakers, tighter limits and longer timeouts buy time and \
are taken back after the incident. A repair lasts. Undoing a change may take several minutes. It \
brings back the bugs that the change had fixed, and after a migration marked "contract" the old \
build fails. What a fault has left behind, such as full pools or bad records, may need a second \
repair. There may be several faults, and some are not felt yet. An alert may be false: if \
customers are well and stay well, declare without a change.

Declare when customers are well and the cause is gone; the episode ends. Score, 0 to 1: \
precision × (0.55 × resolved + 0.45 × impact). Resolved: customers stay well after temporary \
measures are taken back. Impact: the share of the avoidable harm that you avoided, so act early. \
Precision: a change that made things worse costs 0.25, one that changed nothing 0.10 (the first is \
free). Repeating a change in effect is free."""


def format_reset_message(view: TelemetryView, alerts: Sequence[Alert], max_ticks: int) -> str:
    """Return the first message: alerts, entries, and the situation."""
    lines = format_alerts(alerts[:MAX_ALERTS_IN_MESSAGE])
    if len(alerts) > MAX_ALERTS_IN_MESSAGE:
        lines.append(f"{len(alerts) - MAX_ALERTS_IN_MESSAGE} more alerts")
    entries = ", ".join(service.name for service in view.world.entries)
    lines.append(f"Customers come in at {entries}.")
    lines.append(format_situation(view, alerts, max_ticks))
    return "\n".join(lines)


def format_situation(view: TelemetryView, alerts: Sequence[Alert], max_ticks: int) -> str:
    """Return the last line of every reply: time, tick, customers failing, number of alerts."""
    world = view.world
    failing = f"{100.0 * world.failing_share:.1f} % of customer requests fail"
    slow = f", {100.0 * world.slow_share:.1f} % are slow" if world.slow_share > 0.001 else ""
    time = f"{view.clock(view.tick)}, tick {view.tick} of {max_ticks}"
    return f"{time}: {failing}{slow}; alerts: {len(alerts)}."


def format_verdict(parts: ScoreParts) -> str:
    """Return the score and its parts in two sentences."""
    return (
        f"Score {parts.score:.2f} = precision {parts.precision:.2f} × (0.55 × "
        f"{format_figure(parts.resolved)} resolved + 0.45 × {parts.impact:.2f} impact). "
        f"Harmful changes: {parts.harmful}; needless changes: {parts.needless}."
    )
