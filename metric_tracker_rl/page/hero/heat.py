"""The map itself: a grid of metric × day to walk through by arrow keys, its legend, its table.

It is HTML, so that it is there before any library of charts, takes the page's colours, and is read
by screen readers as the table that it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date as Date
from html import escape

from metric_tracker_rl.page.hero.lines import Line, line_at, lines_of, signed
from metric_tracker_rl.page.hero.seen import Seen
from metric_tracker_rl.page.hero.verdicts import ECHO, EXTRA, MATCHED, MISSING, TOLD, WRONG, Verdict
from openenv_kit.page.markup import day_name, heading, table

STEPS = (0.5, 1.0, 1.5, 2.5, 4.0)
"""Multiples of the threshold at which a cell takes the next colour."""
RAW_STEPS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Deviations at which it does so in raw play, where no threshold counts before the end."""
SUSPICION = "largest of the day"
SATURDAY = 5
GLYPHS = {MATCHED: "✓", WRONG: "≠", ECHO: "↩", EXTRA: "×", MISSING: "?"}
"""How a verdict is drawn, beside its colour."""
NOT_TOLD = "not told yet"

Verdicts = Mapping[tuple[int, int], Sequence[Verdict]]
"""By line and day."""


def map_html(
    seen: Seen,
    chosen: str,
    *,
    title: str,
    says: str,
    reported: Iterable[tuple[int, int]] = (),
    verdicts: Sequence[Verdict] = (),
    over: bool = False,
) -> str:
    """The map with its heading, what the cell in hand says, its legend, and its table.

    Args:
        seen: all that may be drawn.
        chosen: date that is selected.
        title: of the whole.
        says: what stands below the map until a cell is in hand.
        reported: day and column of the rows that are in the report; before the end.
        verdicts: after the end.
        over: whether all is shown.
    """
    lines = lines_of(seen.funnel)
    marked = {(line_at(lines, column), day) for day, column in reported}
    judged = by_place(lines, verdicts)
    rows = "".join(
        _row(seen, line, at, marked, judged, first=at == 0, chosen=chosen)
        for at, line in enumerate(lines)
    )
    return (
        f'<section class="mt-hero">{heading(title, _lead(seen, over=over))}'
        '<div class="mt-scroll mt-mapped">'
        f'<table class="mt-map" role="grid" aria-label="{escape(_name(seen))}">'
        f"<thead>{_days(seen)}</thead><tbody>{_suspicion(seen)}{rows}</tbody></table></div>"
        f'<p class="mt-say">{escape(says)}</p>'
        f"{legend_html(seen, verdicts)}{_verdict_table(verdicts)}{_table(seen, lines, judged)}"
        "</section>"
    )


def by_place(lines: Sequence[Line], verdicts: Iterable[Verdict]) -> Verdicts:
    """Verdicts by the cell in which they stand, that of a root first."""
    found: dict[tuple[int, int], list[Verdict]] = {}
    for each in sorted(verdicts, key=lambda each: each.kind in (ECHO, EXTRA)):
        found.setdefault((line_at(lines, each.column), each.day), []).append(each)
    return found


def style_of(kind: str) -> str:
    """Class of what is drawn in the colour of a verdict."""
    return f"v-{kind.split()[0]}"


def _name(seen: Seen) -> str:
    measure = "in multiples of the threshold" if seen.thresholds else "from the median, in percent"
    return f"Deviation by metric and day, {measure}"


def _lead(seen: Seen, *, over: bool) -> str:
    if over:
        return f"{_name(seen)}: all days, now that the episode is over."
    known = {place for place in seen.values if place[1] <= seen.share}
    cells = len(seen.dates) * (seen.share + 1)
    said = f"{_name(seen)}: {len(known)} of {cells} cells were told so far."
    return said if known else f"{said} Whatever is asked fills in what it told."


def _days(seen: Seen) -> str:
    """The line of dates; a month is named where it begins."""
    cells, month = "", 0
    for date in seen.dates:
        day = Date.fromisoformat(date)
        style = ' class="weekend"' if day.weekday() >= SATURDAY else ""
        name = f"<small>{day:%b}</small>" if day.month != month else ""
        month = day.month
        cells += (
            f'<th scope="col"{style} data-day="{date}" aria-label="{day_name(date)}">'
            f"<span>{name}{day.day}</span></th>"
        )
    return f'<tr><td class="corner"></td>{cells}</tr>'


def _suspicion(seen: Seen) -> str:
    """Scores of days that a tool told, which name no metric."""
    if not seen.suspicion:
        return ""
    cells = ""
    for day in range(len(seen.dates)):
        score = seen.suspicion.get(day)
        if score is None:
            cells += "<td></td>"
        else:
            told = f"{score:.1f} × threshold, of some metric"
            cells += f'<td class="{_level(score, STEPS)}" data-t="{told}">{score:.1f}</td>'
    return f'<tr><th scope="row">{SUSPICION}</th>{cells}</tr>'


def _row(
    seen: Seen,
    line: Line,
    at: int,
    marked: set[tuple[int, int]],
    judged: Verdicts,
    *,
    first: bool,
    chosen: str,
) -> str:
    cells = ""
    for day, date in enumerate(seen.dates):
        kind, shown, told = cell(seen, line, day)
        now = any((day, column) in seen.latest for column in line.columns)
        style = " ".join(filter(None, (kind, "now" if now else "")))
        more = f' class="{style}"' if style else ""
        more += ' tabindex="0"' if first and date == chosen else ""
        if told:
            more += f' data-t="{escape(told)}"'
        if said := judged.get((at, day)):
            kind = said[0].kind
            sentences = " ".join(f"{each.kind.capitalize()}: {each.said}" for each in said)
            more += f' data-say="{escape(sentences)}"'
            shown += f'<b class="{style_of(kind)}">{GLYPHS[kind]}</b>'
        elif (at, day) in marked:
            more += ' data-say="In the report."'
            shown += "<i></i>"
        cells += f"<td{more}>{shown}</td>"
    return (
        f'<tr data-column="{line.columns[0]}"><th scope="row">{escape(line.label)}</th>{cells}</tr>'
    )


def cell(seen: Seen, line: Line, day: int) -> tuple[str, str, str]:
    """Class, text and sentence of a cell; all empty where nothing was told."""
    value = line.value(seen, day)
    if line.counts_events(seen):
        if value is None:
            return "", "", ""
        return ("u4" if value else "a0"), f"{value:,.0f}", line.told(value)
    column = line.columns[0]
    change, multiple = seen.change(day, column), seen.multiple(day, column)
    usual = line.usual(seen, day)
    beside = "" if value is None else line.told(value)
    if beside and usual is not None:
        beside += f" beside a median of {line.told(usual)}"
    if change is None:
        return ("k", "•", f"{beside}; its median was not told") if beside else ("", "", "")
    if multiple is not None:
        return (
            _level(multiple, STEPS),
            signed(multiple),
            _said(f"{signed(multiple)} × threshold", beside),
        )
    percent = f"{signed(100 * change, 0)} {'points' if column == seen.share else '%'}"
    return _level(change, RAW_STEPS), signed(100 * change, 0), _said(percent, beside)


def _said(deviation: str, beside: str) -> str:
    return f"{deviation}; {beside}" if beside else deviation


def _level(size: float, steps: Sequence[float]) -> str:
    """Class of a cell: `a0`, `a1` for what is small, else `u` or `d` by direction, from 2 to 5."""
    level = sum(abs(size) >= step for step in steps)
    return f"a{level}" if level < 2 else f"{'u' if size > 0 else 'd'}{level}"


def legend_html(seen: Seen, verdicts: Sequence[Verdict] = ()) -> str:
    """What colours and signs mean: a ramp from far below the median to far above, then the rest."""
    judged = seen.thresholds is not None
    steps = [
        f"{step:g}" if judged else f"{100 * step:g}" for step in (STEPS if judged else RAW_STEPS)
    ]
    unit = "× threshold" if judged else "%"
    ramp = [*(("d", at) for at in (5, 4, 3, 2)), ("a", 1), ("a", 0)]
    ramp += [("a", 1), *(("u", at) for at in (2, 3, 4, 5))]
    swatches = "".join(
        f'<i class="{side}{level}" aria-hidden="true">{steps[level - 1] if level else 0}</i>'
        for side, level in ramp
    )
    said = f"below its median, above it; from {', '.join(steps)} {unit}"
    items = [
        f'<li class="ramp">below {swatches} above, {unit}<span class="mt-unseen">{said}</span>'
    ]
    signs = [("now", "", "told by the last call")] if seen.latest else []
    if verdicts:
        signs += [(style_of(kind), GLYPHS[kind], f"{kind}: {TOLD[kind]}") for kind in GLYPHS]
    items += [
        f'<li><i class="{style}" aria-hidden="true">{sign}</i>{escape(said)}'
        for style, sign, said in signs
    ]
    return f'<ul class="mt-legend" aria-label="Legend">{"</li>".join(items)}</li></ul>'


def _verdict_table(verdicts: Sequence[Verdict]) -> str:
    """Verdicts in words, a line each."""
    if not verdicts:
        return ""
    lines = [
        [
            f'<span class="mt-verdict {style_of(each.kind)}">{GLYPHS[each.kind]} '
            f"{escape(each.kind)}</span>",
            escape(day_name(each.row.date)),
            f"<b>{escape(each.row.entity_name)}</b><br>{escape(each.said)}",
        ]
        for each in verdicts
    ]
    told = table(["verdict", "date", "entity, and why"], lines)
    return f"<details><summary>Verdicts in words ({len(lines)})</summary>{told}</details>"


def _table(seen: Seen, lines: Sequence[Line], judged: Verdicts) -> str:
    """The same as the map, in words and with the values."""
    body = []
    for day, date in enumerate(seen.dates):
        cells = [escape(day_name(date))]
        for at, line in enumerate(lines):
            told = escape(cell(seen, line, day)[2]) or NOT_TOLD
            said = judged.get((at, day), ())
            cells.append("; ".join([told, *(f"<b>{each.kind}</b>" for each in said)]))
        body.append(cells)
    told = table(["day", *(line.label for line in lines)], body)
    return f"<details><summary>The map as a table</summary>{told}</details>"
