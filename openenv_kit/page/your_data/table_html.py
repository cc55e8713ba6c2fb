"""HTML for a table that was checked: a description of its series, or why it was rejected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from statistics import median

from openenv_kit.own_data.cleaned_table import WHAT_FITS, CleanedTable
from openenv_kit.own_data.stage_counts import DayStatus, StageCounts
from openenv_kit.page.components.elements import format_short_date

CHART_WIDTH, CHART_HEIGHT = 600, 56
MAX_LISTED_DAYS = 6
"""Largest number of dates that are listed for one kind of gap."""
GAP_TITLES = {
    DayStatus.MISSING: "missing or incomplete",
    DayStatus.CLOSED: "closed",
    DayStatus.OUTAGE: "all zero",
    DayStatus.IMPOSSIBLE: "impossible counts",
}


def refusal_html(message: str) -> str:
    """Return why a table was rejected, and a description of the tables that can be imported."""
    return (
        f'<div class="mt-own-refused" role="alert"><h3>This table was not imported</h3>'
        f"<p><b>{escape(message)}</b></p><p>{escape(WHAT_FITS)} If the message names an option, "
        "enter it below and check the table again.</p></div>"
    )


def table_check_html(file_name: str, table: CleanedTable) -> str:
    """Return a description of a table that was read, and charts of its series.

    Args:
        file_name: name of the file on the visitor's computer.
        table: the cleaned table.
    """
    counts = table.stage_counts
    last = counts.get_date(counts.days - 1)
    facts = [
        ("Read", f"{table.description}"),
        ("Days", f"{counts.days}, from {counts.start} to {last}"),
        ("Gaps", "; ".join(_iter_gaps(counts)) or "none"),
        *(("Renamed", f"{old} → {new}") for new, old in table.renamed_stages.items()),
        *(("Note", note) for note in table.description.notes),
        *(("Cleaned", action) for action in table.actions),
    ]
    lines = "".join(f"<div><dt>{escape(a)}</dt><dd>{escape(b)}</dd></div>" for a, b in facts)
    warnings = "".join(f'<p class="mt-note bad">{escape(each)}</p>' for each in table.warnings)
    return (
        f'<h3 class="mt-own-file">{escape(file_name)}</h3><dl class="mt-own-facts">{lines}</dl>'
        f"{warnings}{_series_table_html(counts)}"
    )


def _iter_gaps(counts: StageCounts) -> Iterator[str]:
    for status, title in GAP_TITLES.items():
        days = [day for day, each in enumerate(counts.day_status) if each == status]
        if not days:
            continue
        listed = ", ".join(
            format_short_date(counts.get_date(day).isoformat()) for day in days[:MAX_LISTED_DAYS]
        )
        more = f" and {len(days) - MAX_LISTED_DAYS} more" if len(days) > MAX_LISTED_DAYS else ""
        word = "day" if len(days) == 1 else "days"
        yield f"{len(days)} {word} {title} ({listed}{more})"


def _series_table_html(counts: StageCounts) -> str:
    is_counted = [status == DayStatus.COUNTED for status in counts.day_status]
    by_day = counts.daily_counts
    rows = []
    for stage, name in enumerate(counts.stages):
        values = [int(value) for value in by_day[is_counted, stage]]
        share = ""
        if stage:
            before = int(by_day[is_counted, stage - 1].sum())
            share = f"{100.0 * sum(values) / before:.1f} %" if before else "–"
        series = [
            int(value) if counted else None
            for value, counted in zip(by_day[:, stage], is_counted, strict=True)
        ]
        rows.append(
            f'<tr><th scope="row">{escape(name)}</th><td class="num">{median(values):,.0f}</td>'
            f'<td class="num">{min(values):,} to {max(values):,}</td><td class="num">{share}</td>'
            f'<td class="chart">{_daily_chart_svg(name, series)}</td></tr>'
        )
    head = "".join(
        f'<th scope="col"{style}>{title}</th>'
        for style, title in (
            ("", "Stage"),
            (' class="num"', "Median a day"),
            (' class="num"', "Range"),
            (' class="num"', "Of the stage before"),
            ("", "By day; gaps are shaded"),
        )
    )
    return (
        '<div class="mt-scroll" tabindex="0" role="region" aria-label="Series of the table">'
        f'<table class="mt-table mt-own-series"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _daily_chart_svg(name: str, values: Sequence[int | None]) -> str:
    """Return a small chart of daily counts, in which days without a count are shaded."""
    most = max([value for value in values if value is not None], default=1) or 1
    step = CHART_WIDTH / max(len(values), 1)
    path, gaps, is_open = "", "", False
    for day, value in enumerate(values):
        if value is None:
            gaps += f'<rect x="{day * step:.1f}" y="0" width="{step:.1f}" height="{CHART_HEIGHT}"/>'
            is_open = False
            continue
        height = CHART_HEIGHT - 3 - (CHART_HEIGHT - 6) * value / most
        path += f"{'L' if is_open else 'M'}{(day + 0.5) * step:.1f} {height:.1f}"
        is_open = True
    text = f"{name} by day, {len(values)} days, at most {most:,}"
    return (
        f'<svg viewBox="0 0 {CHART_WIDTH} {CHART_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(text)}">{gaps}<path d="{path}"/></svg>'
    )
