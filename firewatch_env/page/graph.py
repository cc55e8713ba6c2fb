"""The picture of an incident: its services by status, calls downwards, and harm after the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from firewatch_env.page.curves import Curve, curves_html
from firewatch_env.page.score import Courses
from firewatch_env.page.story import CHANGING, DURATION, Story

ROW_PX = 62
UNKNOWN_HEALTH = "unknown"
SIGN_BY_HEALTH = {"healthy": "●", "degraded": "◆", "critical": "■", "down": "✕"}
SIGN_BY_HEALTH[UNKNOWN_HEALTH] = "○"
"""Sign of each health, so that colours are not the only difference."""
MIN_ERROR_RATE_BY_HEALTH = {"down": 0.5, "critical": 0.2, "degraded": 0.05}
"""Smallest share of server errors for each health, from the worst."""
PERCENTILES = ("p50", "p95", "p99")
PANELS: Sequence[tuple[str, Mapping[str, str], float, str]] = (
    ("5xx", {"http_server_error_rate": "errors"}, 100, " %"),
    ("Duration", {f"{DURATION}{p}": p for p in PERCENTILES}, 1, " s"),
    ("Requests in flight", {"http_server_active_requests": "requests"}, 1, ""),
    (
        "CPU and memory",
        {"process_cpu_utilization": "CPU", "process_memory_utilization": "memory"},
        100,
        " %",
    ),
)
"""Title, metrics with their names in it, factor to the unit, unit."""


def places_of(story: Story) -> dict[str, tuple[float, float]]:
    """Middle of each service, as shares of the picture's width and height."""
    rows = len(story.layers)
    return {
        name: ((place + 0.5) / len(layer), (row + 0.5) / rows)
        for row, layer in enumerate(story.layers)
        for place, name in enumerate(layer)
    }


def graph_html(story: Story, roots: Sequence[str] = ()) -> str:
    """The services from the entry, at the top, down to the leaves; each is a button.

    Args:
        story: the play.
        roots: services at which something was wrong; only for after the end.
    """
    at, views = places_of(story), story.now["services"]
    calls = "".join(
        f'<path d="M{100 * at[caller][0]:.1f} {100 * at[caller][1]:.1f}'
        f'L{100 * at[callee][0]:.1f} {100 * at[callee][1]:.1f}"/>'
        for caller, callees in story.graph.items()
        for callee in callees
    )
    nodes = "".join(
        _node(name, views[name], at[name], name == story.chosen, name in roots) for name in at
    )
    legend = "".join(
        f'<li class="{status}"><i aria-hidden="true">{sign}</i>{status}</li>'
        for status, sign in SIGN_BY_HEALTH.items()
    )
    return (
        '<p class="fw-legend">Colour: share of calls that end in a server error.</p>'
        f'<ul class="fw-statuses" aria-label="Legend">{legend}</ul>'
        f'<div class="fw-graph" style="height:{ROW_PX * len(story.layers)}px;'
        f'--most:{max(map(len, story.layers))}" role="group" '
        f'aria-label="Services; calls run downwards"><svg viewBox="0 0 100 100" '
        f'preserveAspectRatio="none" aria-hidden="true">{calls}</svg>{nodes}</div>'
    )


def health_of_service(view: Mapping[str, object]) -> str:
    """Return the health of a service from the errors that its callers get.

    The service's own status is not used: outside probes can report "healthy" while half of all
    calls fail.

    Args:
        view: the service in a reply.
    """
    rate = view.get("http_server_error_rate")
    if not isinstance(rate, int | float):
        return UNKNOWN_HEALTH
    for health, min_rate in MIN_ERROR_RATE_BY_HEALTH.items():
        if rate >= min_rate:
            return health
    return "healthy"


def _node(
    name: str, view: Mapping[str, object], at: tuple[float, float], chosen: bool, root: bool
) -> str:
    health = health_of_service(view)
    status = str(view["status"])
    rate = view.get("http_server_error_rate")
    errors = f"{100 * rate:.0f} %" if isinstance(rate, int | float) else "unknown"
    label = f"{name}: {health}, server errors {errors}, outside probes {status}"
    shown = f"errors {errors}"
    more = f"{' at' if chosen else ''}{' root' if root else ''}"
    if root:
        label, shown = f"{label}; the cause was here", "the cause"
    return (
        f'<button type="button" class="fw-node {health}{more}" '
        f'data-mt="pick" data-value="{escape(name)}" data-key="node {escape(name)}" '
        f'style="left:{100 * at[0]:.1f}%;top:{100 * at[1]:.1f}%" aria-label="{escape(label)}">'
        f"<b>{SIGN_BY_HEALTH[health]} {escape(name)}</b><small>{escape(shown)}</small></button>"
    )


def harm_html(found: Courses, player: str) -> str:
    """Harm in each tick had nobody acted, as it was played, and under the reference."""
    curves = [
        Curve("nobody acted", found.nobody, "c4"),
        Curve("reference", found.reference, "c2"),
        Curve(player, found.played, "c3"),
    ]
    title = "Bad customer-minutes in each tick"
    return curves_html(title, curves, last=len(found.nobody) - 1, marks=[found.max_ticks])


def metrics_html(story: Story) -> str:
    """All metrics of the service looked at, and the budget, over ticks."""
    changes = [m.tick for m in story.moves if m.group in CHANGING and not m.refused]
    panels = ""
    for title, metrics, factor, unit in PANELS:
        curves = [
            Curve(name, [v * factor for v in story.series(story.service, key)], f"c{place}")
            for place, (key, name) in enumerate(metrics.items(), start=1)
        ]
        panels += curves_html(title, curves, last=story.max_ticks, unit=unit, marks=changes)
    left = [each["slo_budget_remaining_pct"] for each in story.seen]
    budget = curves_html(
        "Error budget of all", [Curve("left", left)], last=story.max_ticks, unit=" %", top=100.0
    )
    return f'<div class="mt-panels">{panels}{budget}</div>'
