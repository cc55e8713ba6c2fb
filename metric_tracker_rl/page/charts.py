"""Charts of an episode: pure functions from its data, a day and findings to plotly figures.

Nothing is marked as an anomaly unless it is among the findings that the caller passes in.
Every point carries its date as `customdata`, which is how a click on any chart selects a day.
Text has no colour of its own: the page's style sheet colours it for light and dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date as Date
from datetime import timedelta
from typing import Any

import numpy as np
import plotly.graph_objects as go

from metric_tracker_rl.engine.episode import Episode
from metric_tracker_rl.engine.funnel import HOURS
from metric_tracker_rl.engine.vocabulary import CONVERSION_RATE, EVENT_COUNT, FUNNEL_STEP
from openenv_kit.page.markup import day_name, words

Findings = Sequence[Mapping[str, Any]]

PALETTE = ("#4c82c3", "#2f9a94", "#6b9c3c", "#bd7d22", "#b8607c", "#8a6fc0")
ACCENT = "#d9480f"
MUTED = "rgba(128,134,145,0.9)"
DARK = "#18181b"
GRID = "rgba(128,134,145,0.18)"
RING = {"size": 13, "color": "rgba(0,0,0,0)", "line": {"color": ACCENT, "width": 2.5}}
WEEKEND = "rgba(128,134,145,0.10)"
SELECTED = "rgba(76,130,195,0.22)"
HEAT = ((0.0, "rgba(76,130,195,0.03)"), (1.0, "rgba(76,130,195,1)"))
"""Only the opacity grows, so that more stands out more on a light page and on a dark one."""
SATURDAY = 5
SELECTED_DAY = "selected-day"
"""Name of the shape that the page moves by itself when another day is selected."""


def daily_counts(episode: Episode, day: str, findings: Findings = ()) -> go.Figure:
    """Daily event counts of every stage."""
    names = episode.config.funnel_spec.counts
    figure = _daily(episode, day, names, findings, "%{y:,.0f}")
    return figure.update_yaxes(tickformat="~s", rangemode="tozero")


def conversion_rates(episode: Episode, day: str, findings: Findings = ()) -> go.Figure:
    """Daily conversion rates in percent; funnel breaks are marked on the step's rate."""
    figure = _daily(episode, day, episode.config.funnel_spec.rates, findings, "%{y:.4f} %")
    return figure.update_yaxes(ticksuffix=" %", rangemode="tozero")


def hourly_heat(episode: Episode, day: str, stage: str) -> go.Figure:
    """Hourly counts of one stage: a line a day, a column an hour."""
    heat = go.Heatmap(
        x=list(range(HOURS)),
        y=[day_name(date) for date in episode.dates],
        z=_hours(episode, stage).tolist(),
        customdata=[[date] * HOURS for date in episode.dates],
        colorscale=HEAT,
        xgap=1,
        ygap=1,
        hovertemplate=f"%{{y}}, %{{x}}:00 to %{{x}}:59<br>%{{z:,}} {words(stage)}<extra></extra>",
        colorbar={"thickness": 8, "outlinewidth": 0, "tickformat": "~s", "len": 0.9},
    )
    index, rim = episode.day_of[day], {"color": ACCENT, "width": 2}
    chosen = {"name": SELECTED_DAY, "type": "rect", "xref": "paper", "x0": 0, "x1": 1, "line": rim}
    shapes = [{**chosen, "y0": index - 0.5, "y1": index + 0.5}]
    figure = plain_figure([heat], 520, hovermode="closest", showlegend=False, shapes=shapes)
    figure.update_yaxes(autorange="reversed", showgrid=False, tickfont={"size": 10}, dtick=1)
    return figure.update_xaxes(showgrid=False, title="hour of the day", dtick=4)


def _daily(
    episode: Episode, day: str, names: Sequence[str], findings: Findings, template: str
) -> go.Figure:
    """One line a metric over the days; weekends, the selected day and findings are marked."""
    dates, first = episode.dates, episode.config.funnel_spec.metrics.index(names[0])
    columns = list(zip(*episode.series.rows, strict=True))[first:]
    traces = [
        _line(words(name), dates, values, dates, {"color": colour}, hovertemplate=template)
        for name, values, colour in zip(names, columns, PALETTE, strict=False)
    ]
    weekday = {date: Date.fromisoformat(date).weekday() for date in dates}
    shapes = [day_band(date, WEEKEND) for date in dates if weekday[date] >= SATURDAY]
    selected = {**day_band(day, SELECTED), "name": SELECTED_DAY}
    figure = plain_figure(traces, 360, shapes=[*shapes, selected]).update_xaxes(
        tickformat="%a<br>%-d %b",
        tickmode="array",
        tickvals=[date for date in dates if weekday[date] == 0],
        hoverformat="%A %-d %B %Y",
    )
    lines = dict(zip(names, columns, strict=False))
    flagged = [(row, lines[name]) for row in findings if (name := _metric(episode, row)) in lines]
    if flagged:
        found = [row["date"] for row, _ in flagged]
        figure.add_scatter(
            mode="markers",
            name="flagged",
            x=found,
            y=[values[episode.day_of[row["date"]]] for row, values in flagged],
            customdata=found,
            marker=RING,
            text=[f"{words(row['anomaly_type'])}, {row['severity']}" for row, _ in flagged],
            hovertemplate="%{text}<extra>flagged</extra>",
        )
    return figure


def _metric(episode: Episode, finding: Mapping[str, Any]) -> str:
    """The metric on whose line a finding is marked; the mix and bad data have no line."""
    funnel, name = episode.config.funnel_spec, str(finding["entity_name"])
    if finding["entity_type"] == FUNNEL_STEP:
        return dict(zip(funnel.steps, funnel.step_rates, strict=True)).get(name, "")
    return name if finding["entity_type"] in (EVENT_COUNT, CONVERSION_RATE) else ""


def _line(
    name: str, x: Sequence[Any], y: Sequence[float], dates: Sequence[str], line: Any, **more: Any
) -> go.Scatter:
    style = {"mode": "lines+markers", "marker": {"size": 4}, "line": {**line, "width": 2}}
    return go.Scatter(name=name, x=x, y=y, customdata=dates, **{**style, **more})


def plain_figure(traces: Sequence[Any], height: int, **layout: Any) -> go.Figure:
    """What all charts share: no background, quiet grid, legend above, no tool bar."""
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "automargin": True}
    shared = {
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": PALETTE,
        "font": {"family": "system-ui, sans-serif", "size": 12},
        "hovermode": "x unified",
        "hoverlabel": {"bgcolor": DARK, "font": {"color": "#fafafa"}, "bordercolor": DARK},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "dragmode": False,
        "template": "none",
        "xaxis": axis,
        "yaxis": axis,
    }
    return go.Figure(traces, {**shared, **layout})


def day_band(date: str, colour: str) -> dict[str, Any]:
    """A full-height band over one day."""
    middle = Date.fromisoformat(date)
    return {
        "type": "rect",
        "xref": "x",
        "x0": f"{middle - timedelta(days=1)} 12:00",
        "x1": f"{middle} 12:00",
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "fillcolor": colour,
        "line": {"width": 0},
        "layer": "below",
    }


def _hours(episode: Episode, stage: str) -> Any:
    """Counts of one stage, shape (days, hours)."""
    column = episode.config.funnel_spec.counts.index(stage)
    return np.stack([episode.hours(day)[:, column] for day in range(len(episode.dates))])
