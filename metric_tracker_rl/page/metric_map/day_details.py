"""One day of what was told: its metrics beside their medians, its funnel, its hours."""

from __future__ import annotations

from datetime import date as Date
from html import escape
from statistics import median

from metric_tracker_rl.engine.definitions.funnel import HOURS_PER_DAY
from metric_tracker_rl.page.metric_map.known_values import KnownValues
from metric_tracker_rl.page.metric_map.map_html import describe_cell, verdict_html
from metric_tracker_rl.page.metric_map.map_rows import build_map_rows, format_signed
from metric_tracker_rl.page.metric_map.verdicts import RowVerdict
from openenv_kit.page.components.elements import format_value, hint_html, humanize, table_html

WIDTH, HEIGHT = 240.0, 60.0
"""Of the hours, in their own units."""
ASK = "Not known yet: {} tells it."


def day_html(
    seen: KnownValues, date: str, stage: str, verdicts: tuple[RowVerdict, ...] = ()
) -> str:
    """The day's parts below its title.

    Args:
        seen: all that may be drawn.
        date: of the episode.
        stage: whose hours are shown.
        verdicts: after the end; those of the day are told.
    """
    day, at = Date.fromisoformat(date), seen.day_index(date) or 0
    said = "".join(verdict_html(each) for each in verdicts if each.day == at)
    return (
        f'<h3 class="mt-daytitle">{day:%A} {day.day} {day:%B %Y}</h3>'
        + (f'<ul class="mt-issues">{said}</ul>' if said else "")
        + f'<div class="mt-dayparts">{_series_table_html(seen, at)}'
        f"<div><h4>Its funnel</h4>{funnel_html(seen, at)}"
        f"<h4>Its hours: {escape(humanize(stage))}</h4>{hours_html(seen, at, stage)}</div></div>"
    )


def _series_table_html(seen: KnownValues, day: int) -> str:
    """A line for each series: value, median, deviation, and where it is judged its multiple."""
    judged = seen.thresholds is not None
    rows = []
    for line in build_map_rows(seen.funnel):
        value, usual = line.value(seen, day), line.baseline(seen, day)
        column = line.columns[0]
        change = None if line.is_impossible_counts(seen) else seen.deviation(day, column)
        points = " points" if column == seen.share_column else " %"
        kind, shown, _ = describe_cell(seen, line, day)
        chip = f'<span class="mt-chip {kind}">{shown}</span>' if shown else "–"
        rows.append(
            [
                escape(line.label),
                *("–" if each is None else line.format_with_unit(each) for each in (value, usual)),
                "–" if change is None else format_signed(100 * change) + points,
                *([chip] if judged else []),
            ]
        )
    columns = ["metric", "value", "median", "change", *(["× threshold"] if judged else [])]
    return table_html(columns, rows, numbers=range(1, len(columns)))


def funnel_html(seen: KnownValues, day: int) -> str:
    """Counts of the stages, each bar beside a mark at its median."""
    counts = [seen.values.get((day, stage)) for stage in range(len(seen.funnel.count_names))]
    if all(each is None for each in counts):
        return hint_html(ASK.format("a row of the day"))
    usual = [seen.baseline(day, stage) for stage in range(len(counts))]
    most = max(each for each in (*counts, *usual) if each is not None) or 1.0
    lines = ""
    for name, count, middle in zip(seen.funnel.count_names, counts, usual, strict=True):
        bar = "" if count is None else f'<b style="width:{100 * count / most:.1f}%"></b>'
        mark = "" if middle is None else f'<u style="left:{100 * middle / most:.1f}%"></u>'
        shown = "–" if count is None else format_value(int(count))
        lines += (
            f'<li><span>{escape(humanize(name))}</span><i aria-hidden="true">{bar}{mark}</i>'
            f"<em>{shown}</em></li>"
        )
    name = "Events by stage; the line marks the median"
    return f'<ul class="mt-stages" aria-label="{name}">{lines}</ul>'


def hours_html(seen: KnownValues, day: int, stage: str) -> str:
    """Counts by the hour, above the median hour where every day was told."""
    column = seen.funnel.count_names.index(stage)
    hourly = {
        at: seen.hours[day, at][column] for at in range(HOURS_PER_DAY) if (day, at) in seen.hours
    }
    if not hourly:
        return hint_html(ASK.format("a look at the hours"))
    usual = []
    if len(seen.hours) == HOURS_PER_DAY * len(seen.dates):
        days = range(len(seen.dates))
        usual = [
            median(seen.hours[each, at][column] for each in days) for at in range(HOURS_PER_DAY)
        ]
    most = max([*hourly.values(), *usual]) or 1
    step = WIDTH / HOURS_PER_DAY
    bars = "".join(
        f"M{at * step + 1:.0f} {HEIGHT}V{HEIGHT * (1 - count / most):.1f}h{step - 2:.0f}V{HEIGHT}Z"
        for at, count in hourly.items()
    )
    line = "".join(
        f"M{at * step:.0f} {HEIGHT * (1 - each / most):.1f}h{step:.0f}"
        for at, each in enumerate(usual)
    )
    busiest = max(hourly, key=lambda at: hourly[at])
    name = (
        f"{humanize(stage)} by the hour: at most {hourly[busiest]:,}, at {busiest}:00"
        f"{'; the line marks the median hour' if usual else ''}"
    )
    return (
        f'<figure class="mt-hours" aria-label="{escape(name)}"><svg viewBox="0 0 {WIDTH:g} '
        f'{HEIGHT:g}" preserveAspectRatio="none" aria-hidden="true"><path class="bars" d="{bars}"/>'
        f'<path class="usual" d="{line}"/></svg><footer><span>0:00</span>'
        f"<span>up to {hourly[busiest]:,} events an hour</span><span>23:00</span></footer></figure>"
    )
