"""Charts of an incident: pure functions from a play's story, or its courses, to plotly figures.

Text has no colour of its own: the page's style sheet colours it for light and dark. Every point
of the graph carries its service as `customdata`, which is how a click selects one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from firewatch_env.page.score import Courses
from firewatch_env.page.story import Story

BLUE, TEAL, VIOLET = "#4c82c3", "#2f9a94", "#8a6fc0"
ACCENT = "#d9480f"
MUTED = "rgba(128,134,145,0.9)"
GRID = "rgba(128,134,145,0.18)"
EDGE = "rgba(128,134,145,0.55)"
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
PANELS: Sequence[tuple[str, Mapping[str, str], float, str]] = (
    ("Own errors, % of requests", {"http_server_error_rate": ""}, 100, ".1f"),
    ("Duration, s", {f"{DURATION}{p}": p for p in ("p50", "p95", "p99")}, 1, ".3f"),
    ("Requests in flight", {"http_server_active_requests": ""}, 1, ".0f"),
    ("CPU, % of the limit", {"process_cpu_utilization": ""}, 100, ".0f"),
    ("Memory, % of the limit", {"process_memory_utilization": ""}, 100, ".0f"),
)
"""Title with its unit, metrics with their names in it, factor to that unit, number format."""


def service_graph(story: Story) -> go.Figure:
    """The calls from the entry, at the top, down to the leaves; nodes by status."""
    at = _places(story)
    views = story.now["services"]
    figure = go.Figure()
    for status, (colour, symbol) in STATUSES.items():
        names = [name for name in story.services if views[name]["status"] == status]
        rings = [3 if name == story.service else 0 for name in names]
        figure.add_trace(
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
                "cliponaxis": bool(not names),
            }
        )
    _quiet(figure, height=110 + 62 * len(story.layers))
    figure.update_layout(
        hovermode="closest",
        annotations=list(_arrows(story, at)),
        legend={"y": 1.0, "itemclick": False, "itemdoubleclick": False},
    )
    figure.update_xaxes(visible=False, range=[0, 1.0], fixedrange=True)
    figure.update_yaxes(
        visible=False, range=[0.55 - len(story.layers), 0.6], fixedrange=True, automargin=False
    )
    return figure


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


def _arrows(story: Story, at: Mapping[str, tuple[float, float]]) -> Iterator[dict[str, Any]]:
    """An arrow for each call; one that passes a layer goes round what stands there."""
    for caller, callees in story.graph.items():
        for callee in callees:
            start, end = at[caller], at[callee]
            if story.depth[callee] == story.depth[caller] + 1:
                yield _arrow(start, end)
                continue
            bend = (max((start[0] + end[0]) / 2 - 0.2, 0.02), (start[1] + end[1]) / 2)
            yield _arrow(start, bend, head=0, standoff=0)
            yield _arrow(bend, end, startstandoff=0)


def _arrow(
    start: tuple[float, float],
    end: tuple[float, float],
    head: int = 2,
    standoff: int = 15,
    startstandoff: int = 15,
) -> dict[str, Any]:
    return {
        **{"ax": start[0], "ay": start[1], "x": end[0], "y": end[1], "text": ""},
        **{"axref": "x", "ayref": "y", "xref": "x", "yref": "y", "showarrow": True},
        **{"arrowhead": head, "arrowsize": 1.1, "arrowwidth": 1.4, "arrowcolor": EDGE},
        **{"standoff": standoff, "startstandoff": startstandoff},
    }


def service_metrics(story: Story) -> go.Figure:
    """All metrics of the service looked at, over ticks; dotted where something was changed."""
    titles = [title for title, *_ in PANELS]
    figure = make_subplots(rows=len(PANELS), shared_xaxes=True, subplot_titles=titles)
    for row, (_, metrics, factor, form) in enumerate(PANELS, start=1):
        for place, (key, name) in enumerate(metrics.items()):
            told = [value * factor for value in story.series(story.service, key)]
            figure.add_trace(
                {
                    **{"type": "scatter", "mode": "lines+markers", "marker": {"size": 4}},
                    **{"x": story.ticks, "y": told, "showlegend": False},
                    "line": {"color": (BLUE, TEAL, VIOLET)[place], "width": 2},
                    "hovertemplate": f"%{{y:{form}}}<extra>{name}</extra>",
                },
                row=row,
                col=1,
            )
    _quiet(figure, height=560)
    _left_titles(figure)
    for tick in _changes(story):
        figure.add_vline(x=tick, line={"color": ACCENT, "width": 1, "dash": "dot"})
    figure.update_layout(margin={"t": 22})
    figure.update_yaxes(rangemode="tozero", nticks=4)
    figure.update_xaxes(range=[-0.3, story.max_ticks + 0.3], hoverformat="tick .0f")
    figure.update_xaxes(title="tick", row=len(PANELS), col=1)
    return figure


def budget(story: Story) -> go.Figure:
    """What is left of the budget, and how fast it burns, over ticks."""
    titles = ["Budget left, %", "Burn rate, × what the objective allows"]
    figure = make_subplots(rows=2, shared_xaxes=True, subplot_titles=titles)
    figure.add_trace(
        {
            **{"type": "scatter", "mode": "lines+markers", "x": story.ticks, "showlegend": False},
            "y": [each["slo_budget_remaining_pct"] for each in story.seen],
            **{"line": {"color": BLUE, "width": 2}, "marker": {"size": 4}},
            **{"fill": "tozeroy", "fillcolor": "rgba(76,130,195,0.15)"},
            "hovertemplate": "%{y:.1f} %<extra></extra>",
        },
        row=1,
        col=1,
    )
    figure.add_trace(
        {
            **{"type": "bar", "x": story.ticks, "marker": {"color": ACCENT}, "showlegend": False},
            "y": [each["current_slo_burn_rate"] for each in story.seen],
            "hovertemplate": "%{y:.1f} ×<extra></extra>",
        },
        row=2,
        col=1,
    )
    _quiet(figure, height=300)
    _left_titles(figure)
    for tick in _changes(story):
        figure.add_vline(x=tick, line={"color": MUTED, "width": 1, "dash": "dot"})
    figure.update_layout(margin={"t": 22}, bargap=0.3)
    figure.update_yaxes(range=[0, 105], nticks=4, row=1, col=1)
    figure.update_yaxes(rangemode="tozero", nticks=4, row=2, col=1)
    figure.update_xaxes(range=[-0.6, story.max_ticks + 0.6])
    figure.update_xaxes(title="tick", row=2, col=1)
    return figure


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
    figure = go.Figure(
        [
            {
                **{"type": "scatter", "mode": "lines", "name": name, "line": line},
                **{"x": list(range(1, len(course) + 1)), "y": list(course)},
                **{"fill": "tozeroy", "fillcolor": fill},
                "hovertemplate": f"%{{y:,.1f}}<extra>{name}</extra>",
            }
            for name, course, line, fill in curves
        ]
    )
    _quiet(figure, height=320)
    figure.add_vline(x=courses.max_ticks, line={"color": MUTED, "width": 1, "dash": "dash"})
    figure.update_yaxes(title="bad customer-minutes a tick", rangemode="tozero")
    figure.update_xaxes(title="tick", range=[0.5, len(courses.nobody) + 0.5])
    return figure


def _changes(story: Story) -> list[int]:
    """Ticks in which the player changed something, or tried to."""
    return [m.tick for m in story.moves if m.group in ("mitigate", "repair") and not m.refused]


def _left_titles(figure: go.Figure) -> None:
    """Titles of panels at their left edge, where a narrow screen has room for them."""
    figure.update_annotations(x=0, xanchor="left", font={"size": 12})


def _quiet(figure: go.Figure, height: int) -> None:
    """What all charts share: no background, quiet grid, legend above, no tool bar."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        font={"family": "system-ui, sans-serif", "size": 12},
        hovermode="x unified",
        hoverlabel={"bgcolor": "#18181b", "font": {"color": "#fafafa"}, "bordercolor": "#18181b"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        dragmode=False,
        template="none",
    )
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "automargin": True}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
