"""A picture that is a grid: lines and columns of coloured cells, to walk through by arrow keys.

It is HTML, so that it needs no library of charts, takes the page's colours, and is read by screen
readers as the table that it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from html import escape


class CellVerdict(StrEnum):
    """Verdict about a reported or an expected row, drawn in its cell."""

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
    """One cell.

    Attributes:
        style: class of its colour: `a0`, `a1` for small, `u2` to `u5` up, `d2` to `d5` down, `k`
            for a value without a colour; empty for what is not known.
        shown: what stands in it.
        known: what is known of it, in words.
        say: what else it says.
        mark: a verdict, or `+` for a row of the report.
        is_new: whether it is known from the last call.
    """

    style: str = ""
    shown: str = ""
    known: str = ""
    say: str = ""
    mark: str = ""
    is_new: bool = False


@dataclass(frozen=True)
class GridColumn:
    """A column.

    Attributes:
        key: its part of a place, `line/column`.
        label: as people read it.
        shown: what stands above it.
        small: what stands above that, such as a month.
        style: its class.
    """

    key: str
    label: str
    shown: str
    small: str = ""
    style: str = ""


@dataclass(frozen=True)
class GridRow:
    """A line: its part of a place, its label, its cells, and how deep it is set in."""

    key: str
    label: str
    cells: Sequence[GridCell]
    depth: int = 0


def deviation_class(size: float, thresholds: Sequence[float]) -> str:
    """Class of a cell: `a0`, `a1` for what is small, else `u` or `d` by direction, from 2 to 5."""
    found = sum(abs(size) >= step for step in thresholds)
    return f"a{found}" if found < 2 else f"{'u' if size > 0 else 'd'}{found}"


def verdict_class(kind: str) -> str:
    """Class of what is drawn in the colour of a verdict."""
    return f"v-{kind.split()[0]}"


def grid_html(
    summary: str,
    name: str,
    grid_columns: Sequence[GridColumn],
    rows: Sequence[GridRow],
    selection: str = "",
) -> str:
    """The grid, what it shows, and what the cell in hand says.

    Args:
        summary: above it, in a sentence.
        name: of the table, for who cannot see it.
        grid_columns: columns.
        rows: as many cells each.
        selection: what is selected, as `line/column`.
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
    """What colours and signs mean.

    Args:
        thresholds: five sizes at which a cell takes the next colour.
        unit: of them.
        signs: class, sign and meaning of what else is drawn.
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
