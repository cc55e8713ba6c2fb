"""Small multiples below the map: each series over the days, its median, the band of its threshold.

Drawn as SVG by the server, in the colours of the page; what is said of each stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from metric_tracker_rl.page.metric_map.known_values import KnownValues
from metric_tracker_rl.page.metric_map.map_html import verdicts_by_cell
from metric_tracker_rl.page.metric_map.map_rows import MapRow, build_map_rows
from metric_tracker_rl.page.metric_map.verdicts import RowVerdict
from openenv_kit.page.components.elements import format_day
from openenv_kit.page.components.grid import GLYPHS, verdict_class

WIDTH, HEIGHT = 100.0, 40.0
"""Of a panel, in its own units; it is stretched to the room there is."""
MARGIN_SHARE = 0.08
"""Share of the range that is left free above and below."""


def small_charts_html(seen: KnownValues, verdicts: Sequence[RowVerdict] = ()) -> str:
    """A panel for each series of which something was told; of impossible counts if there are any.

    Args:
        seen: all that may be drawn.
        verdicts: after the end.
    """
    lines = build_map_rows(seen.funnel)
    judged = verdicts_by_cell(lines, verdicts)
    panels = ""
    for at, line in enumerate(lines):
        said = [(day, each[0]) for (place, day), each in judged.items() if place == at]
        panels += _chart_html(seen, line, said)
    return f'<div class="mt-small">{panels}</div>' if panels else ""


def _chart_html(seen: KnownValues, line: MapRow, said: Sequence[tuple[int, RowVerdict]]) -> str:
    days = range(len(seen.dates))
    values = {day: v for day in days if (v := line.value(seen, day)) is not None}
    usual = {day: u for day in days if (u := line.baseline(seen, day)) is not None}
    if not values or (line.is_impossible_counts(seen) and not any(values.values())):
        return ""
    band = dict(_threshold_band(seen, line, usual))
    heights = [*values.values(), *usual.values(), *(end for ends in band.values() for end in ends)]
    low, high = min(heights), max(heights)
    room = MARGIN_SHARE * (high - low or abs(high) or 1.0)
    low, high = low - room, high + room

    def y(value: float) -> float:
        return HEIGHT * (high - value) / (high - low)

    def x(day: float) -> float:
        return WIDTH * day / len(seen.dates)

    shapes = "".join(
        f'<path class="{style}" d="{way}"/>'
        for style, way in (
            ("band", "".join(_box(x(d), x(d + 1), *map(y, ends)) for d, ends in band.items())),
            ("usual", "".join(f"M{x(d):.1f} {y(u):.1f}H{x(d + 1):.1f}" for d, u in usual.items())),
            ("line", _line_path([(d, x(d + 0.5), y(v)) for d, v in values.items()])),
            ("dots", "".join(f"M{x(d + 0.5):.1f} {y(v):.1f}h0" for d, v in values.items())),
            ("far", "".join(_dot_path(seen, line, d, x(d + 0.5), y(v)) for d, v in values.items())),
        )
        if way
    )
    marks = "".join(
        f'<b class="{verdict_class(each.kind)}" title="{escape(each.sentence)}" '
        f'style="left:{x(day + 0.5):.1f}%;top:{100 * y(values[day]) / HEIGHT:.1f}%">'
        f"{GLYPHS[each.kind]}</b>"
        for day, each in said
        if day in values
    )
    first, last = (format_day(seen.dates[end])[4:] for end in (0, -1))
    chart_label = escape(_chart_label(seen, line, values))
    return (
        f'<figure data-column="{line.columns[0]}" aria-label="{chart_label}">'
        f"<figcaption>{escape(line.label)}<small>{escape(line.unit)}</small></figcaption>"
        f'<div class="plot"><svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" '
        f'aria-hidden="true">{shapes}</svg><i></i>{marks}</div>'
        f"<footer><span>{first}</span><span>{line.format_short(min(values.values()))} to "
        f"{line.format_short(max(values.values()))}</span><span>{last}</span></footer></figure>"
    )


def _threshold_band(
    seen: KnownValues, line: MapRow, usual: dict[int, float]
) -> Iterator[tuple[int, tuple[float, float]]]:
    """Ends of what is within the threshold, by day."""
    if seen.thresholds is None or line.is_impossible_counts(seen):
        return
    limit = seen.thresholds[line.columns[0]]
    for day, value in usual.items():
        reach = limit if line.columns[0] == seen.share_column else limit * value
        yield day, (value + reach, value - reach)


def _box(left: float, right: float, top: float, bottom: float) -> str:
    return f"M{left:.1f} {top:.1f}H{right:.1f}V{bottom:.1f}H{left:.1f}Z"


def _line_path(points: Sequence[tuple[int, float, float]]) -> str:
    """Days beside each other are joined; where a day was not told there is a gap."""
    way, before = "", -2
    for day, left, top in points:
        way += f"{'L' if day == before + 1 else 'M'}{left:.1f} {top:.1f}"
        before = day
    return way


def _dot_path(seen: KnownValues, line: MapRow, day: int, left: float, top: float) -> str:
    """A dot where a value reaches its threshold; none in raw play."""
    if seen.thresholds is None:
        return ""
    if line.is_impossible_counts(seen):
        reached = bool(line.value(seen, day))
    else:
        reached = abs(seen.threshold_multiple(day, line.columns[0]) or 0.0) >= 1.0
    return f"M{left:.1f} {top:.1f}h0" if reached else ""


def _chart_label(seen: KnownValues, line: MapRow, values: dict[int, float]) -> str:
    """What a panel shows, in a sentence."""
    ends = " to ".join(line.format_short(end(values.values())) for end in (min, max))
    said = f"{line.label}: {len(values)} of {len(seen.dates)} days known, {ends}{line.unit}"
    if seen.thresholds is None or line.is_impossible_counts(seen):
        return f"{said}."
    far = sum(abs(seen.threshold_multiple(day, line.columns[0]) or 0.0) >= 1.0 for day in values)
    return f"{said}; {far} at or beyond the threshold."
