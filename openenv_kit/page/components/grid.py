"""A grid of coloured cells that can be navigated with the arrow keys.

The grid is an HTML table, so it needs no chart library, uses the page's colours and is accessible
to screen readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from typing import NamedTuple


class CellVerdict(StrEnum):
    """Grader's verdict on a reported or expected row, shown in the cell of that row."""

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
"""Character that marks each verdict, in addition to its colour."""


@dataclass(frozen=True)
class GridCell:
    """A cell of the grid.

    Attributes:
        style: CSS class of the colour, from `deviation_css_class`; `k` for a known value without a
            colour, or empty for an unknown value.
        shown: text in the cell.
        known: description of the value; empty if it is unknown.
        say: additional description; may be empty.
        mark: verdict on the cell's row, `+` if the unfinished report contains the row, or empty.
        is_new: whether the last tool call returned the value.
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
        key: identifies the column in a selection of the form `row/column`.
        label: accessible name.
        shown: heading.
        small: text above the heading, such as a month; may be empty.
        style: CSS class of the heading.
    """

    key: str
    label: str
    shown: str
    small: str = ""
    style: str = ""


@dataclass(frozen=True)
class GridRow:
    """A row of the grid.

    Attributes:
        key: identifies the row in a selection of the form `row/column`.
        label: text in front of the cells.
        cells: one cell for each column.
        depth: indentation of the label, in levels.
    """

    key: str
    label: str
    cells: Sequence[GridCell]
    depth: int = 0


def deviation_css_class(deviation: float, thresholds: Sequence[float]) -> str:
    """Return the CSS class of a deviation's colour.

    The class ends with the number of thresholds that the deviation reaches: `a0` or `a1` for small
    deviations, `u2` to `u5` for positive and `d2` to `d5` for negative ones.
    """
    found = sum(abs(deviation) >= step for step in thresholds)
    return f"a{found}" if found < 2 else f"{'u' if deviation > 0 else 'd'}{found}"


def verdict_class(kind: str) -> str:
    """Return the CSS class of a verdict's colour."""
    return f"v-{kind.split()[0]}"


def grid_html(
    summary: str,
    accessible_name: str,
    grid_columns: Sequence[GridColumn],
    rows: Sequence[GridRow],
    selection: str = "",
) -> str:
    """Return the grid, with a summary above it and the focused cell's description below it.

    Args:
        summary: sentence above the grid.
        accessible_name: accessible name of the grid.
        grid_columns: columns of the grid.
        rows: rows of the grid, with one cell for each column.
        selection: selected cell, as `row/column`; empty if no cell is selected.
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
        _grid_row_html(line, grid_columns, walked, is_first_row=at == 0)
        for at, line in enumerate(rows)
    )
    return (
        f'<section class="mt-hero"><p class="mt-lead">{escape(summary)}</p>'
        '<div class="mt-scroll mt-mapped">'
        f'<table class="mt-map" role="grid" aria-label="{escape(accessible_name)}"><thead><tr>'
        f'<td class="corner"></td>{columns}</tr></thead><tbody>{body}</tbody></table></div>'
        '<p class="mt-say" aria-hidden="true"></p></section>'
    )


def _is_selection_in_row(row: GridRow, columns: Sequence[GridColumn], selection: str) -> bool:
    key, _, column = selection.rpartition("/")
    return row.key == key and any(each.key == column for each in columns)


def _grid_row_html(
    row: GridRow, columns: Sequence[GridColumn], selection: str, *, is_first_row: bool
) -> str:
    cells = ""
    for at, (head, each) in enumerate(zip(columns, row.cells, strict=True)):
        here = selection == f"{row.key}/{head.key}"
        style = " ".join(
            filter(None, (each.style, "now" if each.is_new else "", "at" if here else ""))
        )
        more = f' class="{style}"' if style else ""
        more += ' tabindex="0"' if here or (is_first_row and at == 0 and not selection) else ""
        more += f' data-t="{escape(each.known)}"' if each.known else ""
        more += f' data-say="{escape(each.say)}"' if each.say else ""
        mark = ""
        if each.mark in GLYPHS:
            mark = f'<b class="{verdict_class(each.mark)}">{GLYPHS[each.mark]}</b>'
        elif each.mark:
            mark = "<i></i>"
        cells += f"<td{more}>{each.shown}{mark}</td>"
    indent = f' style="--depth:{row.depth}"' if row.depth else ""
    label = f'<th scope="row"{indent}>{escape(row.label)}</th>'
    return f'<tr data-row="{escape(row.key)}">{label}{cells}</tr>'


class LegendSign(NamedTuple):
    """An entry of the legend: the CSS class and text of a sign, and its meaning."""

    css_class: str
    glyph: str
    meaning: str


def grid_legend_html(thresholds: Sequence[str], unit: str, signs: Sequence[LegendSign] = ()) -> str:
    """Return the grid's legend of colours and signs.

    Args:
        thresholds: the five deviations at which the colour changes, as strings.
        unit: unit of the thresholds.
        signs: signs that are listed after the colours.
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
