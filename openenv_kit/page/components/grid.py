"""A grid of coloured cells that can be navigated with the arrow keys.

It is an HTML table: it needs no chart library, uses the page's colours, and screen readers read it
as a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from html import escape


class CellVerdict(StrEnum):
    """Verdict on a reported or an expected row, shown in its cell."""

    MATCHED = "matched"
    WRONG_FIELD = "wrong field"
    CONSEQUENCE = "consequence"
    EXTRA = "extra"
    MISSING = "missing"


GLYPHS: dict[str, str] = {
    CellVerdict.MATCHED: "✓",
    CellVerdict.WRONG_FIELD: "≠",
    CellVerdict.CONSEQUENCE: "↩",
    CellVerdict.EXTRA: "×",
    CellVerdict.MISSING: "?",
}
"""How a verdict is drawn, in addition to its colour."""


@dataclass(frozen=True)
class GridCell:
    """A cell of the grid.

    Attributes:
        style: CSS class of its colour: `a0` and `a1` for small values, `u2` to `u5` above and `d2`
            to `d5` below, `k` for a value without a colour; empty for an unknown value.
        shown: text in the cell.
        known: description of the known value.
        say: further description.
        mark: a verdict, or `+` for a row of the report.
        is_new: whether the last call has added the value.
    """

    style: str = ""
    shown: str = ""
    known: str = ""
    say: str = ""
    mark: str = ""
    is_new: bool = False


@dataclass(frozen=True)
class GridColumn:
    """A column of the grid.

    Attributes:
        key: column part of a selection, `row/column`.
        label: accessible name.
        shown: heading.
        small: text above the heading, such as a month.
        style: CSS class.
    """

    key: str
    label: str
    shown: str
    small: str = ""
    style: str = ""


@dataclass(frozen=True)
class GridRow:
    """A row of the grid: row part of a selection, label, cells and indentation depth."""

    key: str
    label: str
    cells: Sequence[GridCell]
    depth: int = 0


def deviation_class(size: float, thresholds: Sequence[float]) -> str:
    """Return the CSS class of a deviation: `a0`, `a1`, or `u` or `d` with 2 to 5."""
    found = sum(abs(size) >= step for step in thresholds)
    return f"a{found}" if found < 2 else f"{'u' if size > 0 else 'd'}{found}"


def verdict_class(kind: str) -> str:
    """Return the CSS class of a verdict's colour."""
    return f"v-{kind.split()[0]}"


def grid_html(
    summary: str,
    name: str,
    grid_columns: Sequence[GridColumn],
    rows: Sequence[GridRow],
    selection: str = "",
) -> str:
    """Return the grid with a summary above and the description of the focused cell below.

    Args:
        summary: sentence above the grid.
        name: accessible name of the table.
        grid_columns: columns.
        rows: rows, with one cell for each column.
        selection: selected cell, as `row/column`; empty for none.
    """
    columns = "".join(
        f'<th scope="col" class="{each.style}" data-col="{escape(each.key)}" '
        f'aria-label="{escape(each.label)}"><span>'
        f"{f'<small>{escape(each.small)}</small>' if each.small else ''}{escape(each.shown)}"
        "</span></th>"
        for each in grid_columns
    )
    walked = (
        selection
        if any(_is_selection_in_row(line, grid_columns, selection) for line in rows)
        else ""
    )
    body = "".join(
        _row_html(line, grid_columns, walked, first=at == 0) for at, line in enumerate(rows)
    )
    return (
        f'<section class="mt-hero"><p class="mt-lead">{escape(summary)}</p>'
        '<div class="mt-scroll mt-mapped">'
        f'<table class="mt-map" role="grid" aria-label="{escape(name)}"><thead><tr>'
        f'<td class="corner"></td>{columns}</tr></thead><tbody>{body}</tbody></table></div>'
        '<p class="mt-say" aria-hidden="true"></p></section>'
    )


def _is_selection_in_row(line: GridRow, heads: Sequence[GridColumn], place: str) -> bool:
    key, _, column = place.rpartition("/")
    return line.key == key and any(each.key == column for each in heads)


def _row_html(line: GridRow, heads: Sequence[GridColumn], place: str, *, first: bool) -> str:
    cells = ""
    for at, (head, each) in enumerate(zip(heads, line.cells, strict=True)):
        here = place == f"{line.key}/{head.key}"
        style = " ".join(
            filter(None, (each.style, "now" if each.is_new else "", "at" if here else ""))
        )
        more = f' class="{style}"' if style else ""
        more += ' tabindex="0"' if here or (first and at == 0 and not place) else ""
        more += f' data-t="{escape(each.known)}"' if each.known else ""
        more += f' data-say="{escape(each.say)}"' if each.say else ""
        mark = ""
        if each.mark in GLYPHS:
            mark = f'<b class="{verdict_class(each.mark)}">{GLYPHS[each.mark]}</b>'
        elif each.mark:
            mark = "<i></i>"
        cells += f"<td{more}>{each.shown}{mark}</td>"
    indent = f' style="--depth:{line.depth}"' if line.depth else ""
    label = f'<th scope="row"{indent}>{escape(line.label)}</th>'
    return f'<tr data-row="{escape(line.key)}">{label}{cells}</tr>'


def legend_html(
    thresholds: Sequence[str], unit: str, signs: Sequence[tuple[str, str, str]] = ()
) -> str:
    """Return the legend of colours and signs.

    Args:
        thresholds: five deviations at which the colour changes.
        unit: unit of the thresholds.
        signs: CSS class, sign and meaning of each further sign.
    """
    ramp = [*(("d", at) for at in (5, 4, 3, 2)), ("a", 1), ("a", 0)]
    ramp += [("a", 1), *(("u", at) for at in (2, 3, 4, 5))]
    swatches = "".join(
        f'<i class="{side}{at}" aria-hidden="true">{thresholds[at - 1] if at else 0}</i>'
        for side, at in ramp
    )
    said = f"below the usual, above it; from {', '.join(thresholds)} {unit}"
    items = [
        f'<li class="ramp">below {swatches} above, {unit}<span class="mt-unseen">{said}</span></li>'
    ]
    items += [
        f'<li><i class="{style}" aria-hidden="true">{sign}</i>{escape(meaning)}</li>'
        for style, sign, meaning in signs
    ]
    return f'<ul class="mt-legend" aria-label="Legend">{"".join(items)}</ul>'
