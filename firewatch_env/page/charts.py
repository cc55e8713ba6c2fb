"""Charts of an incident: pure functions from a play's story, or its courses, to plotly figures.

Text has no colour of its own: the page's style sheet colours it for light and dark. Every point
of the graph carries its service as `customdata`, which is how a click selects one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from firewatch_env.page.score import Courses
from firewatch_env.page.story import CHANGING, Story

BLUE, TEAL, VIOLET = "#4c82c3", "#2f9a94", "#8a6fc0"
ACCENT = "#d9480f"
MUTED = "rgba(128,134,145,0.9)"
GRID = "rgba(128,134,145,0.18)"
EDGE = "rgba(128,134,145,0.55)"
AXIS = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "automargin": True}
CLEAR = "rgba(0,0,0,0)"
STATUSES = {
    "healthy": ("#3a9a5b", "circle"),
    "degraded": ("#d6a02a", "diamond"),
    "critical": ("#e0662a", "square"),
    "down": ("#c02b4a", "x"),
}
"""Colour and shape of each status: the shape serves those who do not tell the colours apart."""

OFF = -9.0
"""A place outside the graph; a status that no service has keeps its name in the legend by it."""

DURATION = "http_server_request_duration_"
PERCENTILES = ("p50", "p95", "p99")
PANELS: Sequence[tuple[str, Mapping[str, str], float, str]] = (
    ("Own errors, % of requests", {"http_server_error_rate": ""}, 100, ".1f"),
    ("Duration: p50 < p95 < p99, s", {f"{DURATION}{p}": p for p in PERCENTILES}, 1, ".3f"),
    ("Requests in flight", {"http_server_active_requests": ""}, 1, ".0f"),
    ("CPU, % of the limit", {"process_cpu_utilization": ""}, 100, ".0f"),
    ("Memory, % of the limit", {"process_memory_utilization": ""}, 100, ".0f"),
)
"""Title with its unit, metrics with their names in it, factor to that unit, number format."""


def service_graph(story: Story) -> go.Figure:
    """The calls from the entry, at the top, down to the leaves; nodes by status."""
    at = _places(story)
    views = story.now["services"]
    traces = [_calls(story, at)]
    for status, (colour, symbol) in STATUSES.items():
        names = [name for name in story.services if views[name]["status"] == status]
        rings = [3 if name == story.service else 0 for name in names]
        traces.append(
            {
                **{"type": "scatter", "mode": "markers+text", "name": status},
                "x": [at[name][0] for name in names] or [OFF],
                "y": [at[name][1] for name in names] or [OFF],
                "customdata": names,
                "text": [name.replace("-", "-<br>", 1) for name in names],
                "hovertext": [_hover(name, views[name]) for name in names],
                **{"hoverinfo": "text", "textposition": "middle right"},
                "marker": {
                    **{"size": 22, "color": colour, "symbol": symbol, "opacity": 1},
                    "line": {"color": BLUE, "width": rings},
                },
                "cliponaxis": not names,
            }
        )
    hidden = {"visible": False, "fixedrange": True}
    return _figure(
        traces,
        height=110 + 76 * len(story.layers),
        hovermode="closest",
        legend={"orientation": "h", "y": 1, "itemclick": False, "itemdoubleclick": False},
        xaxis={**hidden, "range": (0, 1)},
        yaxis={**hidden, "range": (0.55 - len(story.layers), 0.6)},
    )


def _places(story: Story) -> dict[str, tuple[float, float]]:
    """Where each service is drawn; labels stand to the right of their nodes."""
    return {
        name: ((place + 0.5) / len(layer) - 0.32 / max(len(layer), 2), -float(row))
        for row, layer in enumerate(story.layers)
        for place, name in enumerate(layer)
    }


def _hover(name: str, view: Mapping[str, Any]) -> str:
    return (
        f"<b>{name}</b> {view['status']}<br>own errors {view['http_server_error_rate']:.1%}<br>"
        f"p99 {view[f'{DURATION}p99']:.3f} s<br>CPU {view['process_cpu_utilization']:.0%}, "
        f"memory {view['process_memory_utilization']:.0%}"
    )


def _calls(story: Story, at: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """An arrow for each call; one that passes a layer goes round what stands there."""
    points: list[tuple[float | None, float | None, int]] = []
    for caller, callees in story.graph.items():
        for callee in callees:
            start, end = at[caller], at[callee]
            points.append((*start, 0))
            if story.depth[callee] > story.depth[caller] + 1:
                points.append(
                    (max((start[0] + end[0]) / 2 - 0.2, 0.02), (start[1] + end[1]) / 2, 0)
                )
            points += [(*end, 9), (None, None, 0)]
    xs, ys, heads = zip(*points, strict=True) if points else ((), (), ())
    return {
        **{"type": "scatter", "mode": "lines+markers", "x": xs, "y": ys, "hoverinfo": "skip"},
        **{"line": {"color": EDGE, "width": 1.5}, "showlegend": False},
        "marker": {
            **{"symbol": "arrow", "size": heads, "angleref": "previous", "standoff": 13},
            **{"color": EDGE, "opacity": 1, "line": {"width": 0}},
        },
    }


def service_metrics(story: Story) -> go.Figure:
    """All metrics of the service looked at, over ticks; dotted where something was changed."""
    traces = [
        {
            **{"type": "scatter", "mode": "lines+markers", "marker": {"size": 4}},
            **{"x": story.ticks, "y": [v * factor for v in story.series(story.service, key)]},
            **{"line": {"color": (BLUE, TEAL, VIOLET)[place], "width": 2}, "yaxis": _y(row)},
            "hovertemplate": f"%{{y:{form}}}<extra>{name}</extra>",
        }
        for row, (_, metrics, factor, form) in enumerate(PANELS)
        for place, (key, name) in enumerate(metrics.items())
    ]
    return _stacked(story, traces, [(title, None) for title, *_ in PANELS], height=560)


def budget(story: Story) -> go.Figure:
    """What is left of the budget, and how fast it burns, over ticks."""
    traces: list[dict[str, Any]] = [
        {
            **{"type": "scatter", "mode": "lines+markers", "x": story.ticks, "yaxis": _y(0)},
            "y": [each["slo_budget_remaining_pct"] for each in story.seen],
            **{"line": {"color": BLUE, "width": 2}, "marker": {"size": 4}},
            **{"fill": "tozeroy", "fillcolor": "rgba(76,130,195,0.15)"},
            "hovertemplate": "%{y:.1f} %<extra></extra>",
        },
        {
            **{"type": "bar", "x": story.ticks, "marker": {"color": ACCENT}, "yaxis": _y(1)},
            "y": [each["current_slo_burn_rate"] for each in story.seen],
            "hovertemplate": "%{y:.1f} ×<extra></extra>",
        },
    ]
    panels = [("Budget left, %", (0, 105)), ("Burn rate, × what the objective allows", None)]
    return _stacked(story, traces, panels, height=300)


def harm(courses: Courses, player: str) -> go.Figure:
    """Harm in each tick had nobody acted, as it was played, and under the reference.

    Args:
        courses: from the grader's replays.
        player: what the curve of the play is called.
    """
    curves = (
        ("nobody acted", courses.nobody, {"color": MUTED, "width": 2, "dash": "dot"}, CLEAR),
        ("reference", courses.reference, {"color": TEAL, "width": 5}, CLEAR),
        (player, courses.played, {"color": ACCENT, "width": 2}, "rgba(217,72,15,0.12)"),
    )
    traces = [
        {
            **{"type": "scatter", "mode": "lines", "name": name, "line": line},
            **{"x": list(range(1, len(course) + 1)), "y": list(course)},
            **{"fill": "tozeroy", "fillcolor": fill},
            "hovertemplate": f"%{{y:,.1f}}<extra>{name}</extra>",
        }
        for name, course, line, fill in curves
    ]
    return _figure(
        traces,
        height=320,
        shapes=[_at(courses.max_ticks, MUTED, "dash")],
        xaxis={**AXIS, "title": "tick", "range": (0.5, len(courses.nobody) + 0.5)},
        yaxis={**AXIS, "title": "bad customer-minutes a tick", "rangemode": "tozero"},
    )


def _y(row: int) -> str:
    return f"y{row + 1}" if row else "y"


def _stacked(
    story: Story,
    traces: list[dict[str, Any]],
    panels: Sequence[tuple[str, tuple[float, float] | None]],
    height: int,
) -> go.Figure:
    """Panels below each other with one axis of ticks; each has a title and perhaps a range."""
    each = 1 / len(panels)
    layout: dict[str, Any] = {}
    titles, marks = [], []
    changes = [m.tick for m in story.moves if m.group in CHANGING and not m.refused]
    for row, (title, bounds) in enumerate(panels):
        bottom, top = 1 - (row + 0.82) * each, 1 - (row + 0.12) * each
        axis = {**AXIS, "nticks": 4, "domain": (bottom, top)}
        axis |= {"range": bounds} if bounds else {"rangemode": "tozero"}
        layout[f"yaxis{row + 1 if row else ''}"] = axis
        marks += [_at(tick, ACCENT, "dot", bottom, top) for tick in changes]
        titles.append(
            {
                **{"text": title, "showarrow": False, "xref": "paper", "yref": "paper"},
                **{"x": 0, "y": top, "xanchor": "left", "yanchor": "bottom"},
            }
        )
    # All panels hang on one axis of ticks, which is drawn below the last of them.
    ticks = {**AXIS, "title": "tick", "range": (-0.6, story.max_ticks + 0.6)}
    return _figure(
        traces,
        height,
        **layout,
        xaxis={**ticks, "anchor": _y(len(panels) - 1)},
        annotations=titles,
        shapes=marks,
        showlegend=False,
        bargap=0.3,
    )


def _at(tick: int, colour: str, dash: str, bottom: float = 0, top: float = 1) -> dict[str, Any]:
    """A vertical line at a tick, between two heights of the chart."""
    return {
        **{"type": "line", "x0": tick, "x1": tick, "yref": "paper", "y0": bottom, "y1": top},
        "line": {"color": colour, "width": 1, "dash": dash},
    }


def _figure(traces: list[dict[str, Any]], height: int, **layout: Any) -> go.Figure:
    """What all charts share: no background, quiet grid, legend above, no tool bar."""
    shared = {
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": "system-ui, sans-serif", "size": 12},
        "hovermode": "x unified",
        "hoverlabel": {"bgcolor": "#18181b", "font": {"color": "#fafafa"}},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "dragmode": False,
        "template": "none",
    }
    return go.Figure({"data": traces, "layout": {**shared, **layout}})
