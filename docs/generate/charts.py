"""Charts of an episode: a daily series against its median and threshold, a day's hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from docs.generate.svg import GRID, INK, MUTED, Drawing, Point

WIDTH = 760
PANEL = 190
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 34, 30
LEGEND = 26

LINE = "#3f51b5"
BAND = "#e8f1e6"
ROOT = "#c62828"
ECHO = "#ef8c00"
SECOND = "#00838f"


@dataclass(frozen=True)
class Daily:
    """A daily series to draw.

    Attributes:
        name: as the tools call it.
        values: one a day.
        baseline: the median.
        threshold: half-width of the band around it that is not flagged, in the series' unit.
        marks: "root" or "echo" by index of the day.
    """

    name: str
    values: Sequence[float]
    baseline: float
    threshold: float
    marks: Mapping[int, str]


@dataclass(frozen=True)
class Hourly:
    """Two series over the 24 hours of one day, and the hours to point at."""

    title: str
    first: tuple[str, Sequence[float]]
    second: tuple[str, Sequence[float]]
    shaded: tuple[int, int] | None = None
    marked: Sequence[int] = ()


def daily_chart(title: str, dates: Sequence[str], panels: Sequence[Daily]) -> str:
    """SVG of daily series under each other, on one time axis."""
    drawing = Drawing(WIDTH, PANEL * len(panels) + LEGEND, title)
    for nth, panel in enumerate(panels):
        _daily_panel(drawing, nth * PANEL, dates, panel)
    _legend(
        drawing,
        PANEL * len(panels) + 10,
        [
            (LINE, "daily value"),
            (MUTED, "median"),
            ("#9dbf95", "not flagged"),
            (ROOT, "flagged: the root"),
            (ECHO, "flagged: an echo"),
        ],
    )
    return drawing.render()


def hourly_chart(chart: Hourly) -> str:
    """SVG of one day's hours."""
    drawing = Drawing(WIDTH, PANEL + 40 + LEGEND, chart.title)
    low, high = 0.0, 1.08 * max(*chart.first[1], *chart.second[1])
    frame = _Frame(0, PANEL + 40, low, high, 24)
    if chart.shaded:
        start, stop = chart.shaded
        left, right = frame.x(start - 0.5), frame.x(stop - 0.5)
        drawing.rectangle(left, frame.top, right - left, frame.bottom - frame.top, BAND)
    _axes(drawing, frame, chart.title, [(hour, f"{hour}:00") for hour in range(0, 24, 3)])
    drawing.path(frame.points(chart.first[1]), MUTED)
    drawing.path(frame.points(chart.second[1]), LINE)
    for hour in chart.marked:
        drawing.dot((frame.x(hour), frame.y(chart.second[1][hour])), 4.5, ROOT)
    entries = [(MUTED, chart.first[0]), (LINE, chart.second[0])]
    if chart.shaded:
        entries.append(("#9dbf95", "daytime"))
    if chart.marked:
        entries.append((ROOT, "impossible hour"))
    _legend(drawing, PANEL + 50, entries)
    return drawing.render()


def bar_chart(title: str, groups: Sequence[str], bars: Mapping[str, Sequence[float]]) -> str:
    """SVG of values in [0, 1]: one group of bars per row, one bar per group name."""
    colours = (LINE, SECOND, ECHO, ROOT)
    gap, thick = 18, 14
    row = thick * len(groups) + gap
    left, right, top = 130, 60, 44
    drawing = Drawing(WIDTH, top + row * len(bars) + LEGEND, title)
    drawing.text((16, 24), title, bold=True, size=13)
    reach = WIDTH - left - right
    for tick in range(6):
        x = left + reach * tick / 5
        drawing.line((x, top - 6), (x, top + row * len(bars) - gap + 6), GRID)
    for nth, (name, values) in enumerate(bars.items()):
        y = top + nth * row
        middle = y + thick * len(groups) / 2 + 4
        drawing.text((left - 10, middle), name, size=12, anchor="end")
        for place, value in enumerate(values):
            drawing.rectangle(left, y + place * thick, reach * value, thick - 2, colours[place])
            drawing.text(
                (left + reach * value + 6, y + place * thick + 10), f"{value:.2f}", MUTED, 10
            )
    _legend(drawing, top + row * len(bars), list(zip(colours, groups, strict=False)))
    return drawing.render()


@dataclass(frozen=True)
class _Frame:
    """Where a panel's data coordinates lie on the drawing."""

    offset: float
    height: float
    low: float
    high: float
    columns: int

    @property
    def top(self) -> float:
        return self.offset + TOP

    @property
    def bottom(self) -> float:
        return self.offset + self.height - BOTTOM

    def x(self, column: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (column + 0.5) / self.columns

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.bottom - (self.bottom - self.top) * share

    def points(self, values: Sequence[float]) -> list[Point]:
        return [(self.x(nth), self.y(value)) for nth, value in enumerate(values)]


def _daily_panel(drawing: Drawing, offset: float, dates: Sequence[str], panel: Daily) -> None:
    lower, upper = panel.baseline - panel.threshold, panel.baseline + panel.threshold
    low, high = min(*panel.values, lower), max(*panel.values, upper)
    room = 0.08 * (high - low)
    frame = _Frame(offset, PANEL, max(low - room, 0.0), high + room, len(dates))
    band = frame.y(lower) - frame.y(upper)
    drawing.rectangle(LEFT, frame.y(upper), WIDTH - LEFT - RIGHT, band, BAND)
    _axes(drawing, frame, panel.name, [(day, dates[day]) for day in range(0, len(dates), 7)])
    level = frame.y(panel.baseline)
    drawing.line((LEFT, level), (WIDTH - RIGHT, level), MUTED, dash="5 4")
    drawing.path(frame.points(panel.values), LINE)
    for day, mark in panel.marks.items():
        centre = (frame.x(day), frame.y(panel.values[day]))
        if mark == "root":
            drawing.dot(centre, 5, ROOT)
        else:
            drawing.dot(centre, 4.5, "#ffffff", ECHO)


def _axes(drawing: Drawing, frame: _Frame, title: str, columns: Sequence[tuple[int, str]]) -> None:
    drawing.text((16, frame.offset + 22), title, bold=True, size=13)
    for value in ticks(frame.low, frame.high):
        y = frame.y(value)
        drawing.line((LEFT, y), (WIDTH - RIGHT, y), GRID)
        drawing.text((LEFT - 8, y + 4), tick_label(value, frame.high), MUTED, 11, "end")
    drawing.line((LEFT, frame.bottom), (WIDTH - RIGHT, frame.bottom), INK)
    for column, label in columns:
        drawing.text((frame.x(column), frame.bottom + 17), label, MUTED, 11, "middle")


def _legend(drawing: Drawing, y: float, entries: Sequence[tuple[str, str]]) -> None:
    x = float(LEFT)
    for colour, words in entries:
        drawing.rectangle(x, y - 1, 12, 10, colour, corner=2)
        drawing.text((x + 17, y + 8), words, MUTED, 11)
        x += 38 + 6.3 * len(words)


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Round values inside a range, at most about `most` of them."""
    step = 10.0**-6
    factors = (2.0, 2.5, 2.0)  # 1, 2, 5, 10, …
    turn = 0
    while (high - low) / step > most:
        step *= factors[turn % 3]
        turn += 1
    first = int(low / step) if low >= 0 else int(low / step) - 1
    values = [round((first + nth) * step, 9) for nth in range(most + 3)]
    return [value for value in values if low <= value <= high]


def tick_label(value: float, scale: float) -> str:
    """A tick in as many digits as the axis needs."""
    if scale >= 1000:
        return f"{value:,.0f}"
    if scale >= 10:
        return f"{value:g}"
    return f"{value:.2f}"
