"""Charts of a drill-down play: pure functions from what replies told to plotly figures.

Text has no colour of its own: the page's style sheet colours it for light and dark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date as Date
from datetime import timedelta
from typing import Any

import plotly.graph_objects as go

from metric_tracker_rl.drilldown.levels import LOSS
from metric_tracker_rl.page.charts import (
    ACCENT,
    GRID,
    MUTED,
    PALETTE,
    SATURDAY,
    WEEKEND,
    day_band,
    plain_figure,
)
from metric_tracker_rl.page.drill.panels import Change, Panel
from metric_tracker_rl.page.drill.story import Story, segment_text

MOST_PANELS = 24
"""Segments drawn of one reply; its table holds all."""
RUN = "rgba(217,72,15,0.16)"
BLUE = PALETTE[0]
HEAD, FOOT = 22, 44
"""Pixels above each panel for its title, and below the last for the dates."""


def small_multiples(name: str, panels: Sequence[Panel]) -> go.Figure:
    """Panels below each other on one axis of days, so that a day lines up in all of them.

    Args:
        name: of the measure; empty where each panel has one of its own.
        panels: each with a scale of its own, so that small segments can be read as well.
    """
    drawn = panels[:MOST_PANELS]
    each = 120 if len(drawn) <= 6 else 84
    traces = [trace for row, panel in enumerate(drawn) for trace in _lines(panel, row)]
    titles = [panel.title for panel in drawn]
    if name:
        titles[0] = f"<b>{name}</b><br>{titles[0]}"
    axes, notes = stacked(titles, each)
    for row, panel in enumerate(drawn):
        axes[f"yaxis{row + 1 if row else ''}"] |= {"ticksuffix": panel.unit}
    days = drawn[0].dates
    weekly = len(days) > 1 and (Date.fromisoformat(days[1]) - Date.fromisoformat(days[0])).days > 1
    figure = plain_figure(
        traces,
        each * len(drawn) + FOOT + HEAD,
        **axes,
        annotations=notes,
        shapes=[] if weekly else [day_band(date, WEEKEND) for date in _weekends(days)],
        showlegend=False,
        dragmode="select",
        selectdirection="h",
        hovermode="x",
    )
    figure.update_layout(margin={"l": 8, "r": 8, "t": HEAD, "b": 8})
    return _days(figure, days, len(drawn))


def _lines(panel: Panel, row: int) -> Iterator[go.Scatter]:
    axis = "y" if row == 0 else f"y{row + 1}"
    style = {"x": panel.dates, "yaxis": axis, "marker": {"size": 4}}
    # Days that are dragged over are chosen, and the others stay as they are.
    style |= {each: {"marker": {"opacity": 1}} for each in ("selected", "unselected")}
    if panel.usual:
        usual = {"color": MUTED, "width": 1.5, "dash": "dot"}
        yield go.Scatter(style, y=panel.usual, line=usual, mode="lines", hoverinfo="skip")
    form = "%{y:,.2f}" if panel.unit == " %" else "%{y:,.0f}"
    yield go.Scatter(
        style,
        y=panel.values,
        line={"color": BLUE, "width": 1.5},
        mode="lines+markers",
        hovertemplate=f"{form}{panel.unit}<extra></extra>",
    )


def stacked(titles: Sequence[str], each: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Axes and titles of panels below each other, each so many pixels high with its title."""
    height = each * len(titles)
    axes: dict[str, Any] = {}
    notes = []
    for row, title in enumerate(titles):
        top = 1 - (row * each + HEAD) / height
        bottom = 1 - (row + 1) * each / height + 6 / height
        axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "automargin": True}
        axes[f"yaxis{row + 1 if row else ''}"] = {
            **axis,
            **{"domain": (max(bottom, 0), top), "nticks": 4, "tickformat": "~s"},
        }
        notes.append(note_at(title, 0, top))
    return axes, notes


def note_at(text: str, x: float, top: float) -> dict[str, Any]:
    """A title above a panel."""
    return {
        **{"text": text, "showarrow": False, "xref": "paper", "yref": "paper", "align": "left"},
        **{"x": x, "y": top, "xanchor": "left", "yanchor": "bottom"},
    }


def _days(figure: go.Figure, dates: Sequence[str], rows: int) -> go.Figure:
    """The axis of days, drawn below the last panel."""
    ends = [Date.fromisoformat(dates[end]) for end in (0, -1)]
    return figure.update_xaxes(
        anchor="y" if rows == 1 else f"y{rows}",
        tickformat="%-d %b",
        hoverformat="%a %-d %b",
        nticks=8,
        range=[f"{ends[0] - timedelta(days=1)} 10:00", f"{ends[1]} 14:00"],
    )


def _weekends(dates: Sequence[str]) -> list[str]:
    return [date for date in dates if Date.fromisoformat(date).weekday() >= SATURDAY]


def changes(name: str, told: Sequence[Change]) -> go.Figure:
    """By how much a measure differs, a bar for each segment."""
    values = [100.0 * each.relative for each in told[:MOST_PANELS]]
    figure = _bars(
        f"change of {name}",
        [each.title for each in told[:MOST_PANELS]],
        values,
        [f"{value:+.1f} %" for value in values],
        [f"{each.now:,.2f} beside {each.before:,.2f}" for each in told[:MOST_PANELS]],
    )
    low, high = min(0.0, *values), max(0.0, *values)
    room = 0.6 * max(high - low, 5.0)  # for what is written at the ends of bars
    return figure.update_xaxes(
        ticksuffix=" %", range=(low - room, high + room), zeroline=True, zerolinecolor=MUTED
    )


def one_period(name: str, panels: Sequence[Panel]) -> go.Figure:
    """A measure on one day or in one week, a bar for each segment."""
    drawn = panels[:MOST_PANELS]
    values = [panel.values[0] for panel in drawn]
    shown = [
        f"{value:,.2f} %" if panel.unit == " %" else f"{value:,.0f}{panel.unit}"
        for panel, value in zip(drawn, values, strict=True)
    ]
    figure = _bars(name, [panel.title for panel in drawn], values, shown, shown)
    return figure.update_xaxes(
        tickformat="~s",
        ticksuffix=drawn[0].unit,
        range=(1.3 * min(0.0, *values), 1.3 * max(0.0, *values)),
    )


def _bars(
    title: str,
    names: Sequence[str],
    values: Sequence[float],
    shown: Sequence[str],
    told: Sequence[str],
) -> go.Figure:
    """Bars below each other, with their values at their ends."""
    places = list(range(len(names)))
    bars = go.Bar(
        orientation="h",
        x=values,
        y=places,
        marker={"color": [ACCENT if value < 0 else BLUE for value in values]},
        text=shown,
        textposition="outside",
        cliponaxis=False,
        hovertext=[f"{name}: {each}" for name, each in zip(names, told, strict=True)],
        hoverinfo="text",
    )
    figure = plain_figure([bars], 40 + FOOT + 24 * len(names), hovermode="closest", bargap=0.3)
    figure.update_layout(margin={"l": 8, "r": 8, "t": 30, "b": 8})
    figure.add_annotation(note_at(title, 0, 1.0))
    return figure.update_yaxes(
        autorange="reversed", showgrid=False, tickvals=places, ticktext=list(names)
    )


def timeline(story: Story, rows: Sequence[Any]) -> go.Figure:
    """Entries of the change log by component over days, and the rows of the report among them.

    A report may hold anything; what is no row is left out.
    """
    components = list(dict.fromkeys(story.config["components"].values()))
    lane = {name: -place for place, name in enumerate(components)}
    entries = story.entries
    marks = go.Scatter(
        mode="markers",
        name="change log",
        x=[entry["date"] for entry in entries],
        y=[lane[entry["component"]] for entry in entries],
        marker={"symbol": "diamond", "size": 10, "color": BLUE, "line": {"width": 0}},
        text=[f"{entry['id']}: {segment_text(entry['scope'])}" for entry in entries],
        hovertemplate="%{text}<extra>%{x|%a %-d %b}</extra>",
    )
    bars = [bar for bar in (_row_bar(story, row, lane) for row in rows) if bar]
    for bar in bars[1:]:
        bar.showlegend = False
    figure = plain_figure(
        [*bars, marks],
        76 + FOOT + 34 * len(components),
        hovermode="closest",
        showlegend=bool(bars),
        shapes=[day_band(date, WEEKEND) for date in _weekends(story.dates)],
    )
    figure.update_yaxes(
        tickvals=list(lane.values()),
        ticktext=[name.replace("_", " ") for name in lane],
        range=(0.7 - len(components), 0.7),
    )
    return _days(figure, story.dates, 1)


def _row_bar(story: Story, row: Any, lane: Mapping[str, int]) -> go.Scatter | None:
    """A row of a report on the lane of the changes that may answer it; None if it is unreadable."""
    components = story.config["components"]
    try:
        named = components[row["kind"] if row["kind"] == LOSS else row["stage"]]
        return go.Scatter(
            mode="lines",
            name="rows of the report",
            x=run_ends(row["date_from"], row["date_to"]),
            y=[lane[named] + 0.26] * 2,
            line={"color": ACCENT, "width": 7},
            text=[f"{row['kind']}: {segment_text(row['segment'])}"] * 2,
            hovertemplate="%{text}<extra></extra>",
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def run_ends(first: str, last: str) -> list[str]:
    """Ends of a run of days on an axis: noon before it to noon of its last day."""
    before = Date.fromisoformat(first) - timedelta(days=1)
    return [f"{before} 12:00", f"{Date.fromisoformat(last)} 12:00"]
