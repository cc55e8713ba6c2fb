"""Lengths of replies, and how figures, tables and cut texts are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_CHARACTERS = 2_000
LEAN_MAX_CHARACTERS = 600
MAX_HEADLINE_CHARACTERS = 100

Cell = str | int | float


def build_reply(
    headline: str,
    lines: Sequence[str],
    max_characters: int,
    *,
    keeps_end: bool = False,
    hint: str = "narrow the arguments",
) -> str:
    """Return a reply: the headline, then as many lines as fit, then what was cut.

    Args:
        headline: newest figures; cut to 100 characters.
        lines: the rest, most important first.
        max_characters: longest reply.
        keeps_end: cut at the start instead, for lines whose newest are last.
        hint: what reduces the reply.
    """
    first = cut_text(headline, MAX_HEADLINE_CHARACTERS)
    text = "\n".join((first, *lines))
    if len(text) <= max_characters:
        return text
    mark = f"… {len(lines)} of {len(lines)} lines cut; {hint}"
    room = max_characters - len(first) - len(mark) - 1
    kept: list[str] = []
    for line in reversed(lines) if keeps_end else lines:
        if room < len(line) + 1:
            break
        room -= len(line) + 1
        kept.append(line)
    mark = f"… {len(lines) - len(kept)} of {len(lines)} lines cut; {hint}"
    return "\n".join((first, mark, *kept[::-1]) if keeps_end else (first, *kept, mark))


def cut_text(text: str, max_characters: int) -> str:
    """Return the text, with "…" in place of its end if it is too long."""
    return text if len(text) <= max_characters else f"{text[: max_characters - 1]}…"


def join_figures(start: str, figures: Sequence[str]) -> str:
    """Return a headline with as many whole figures as fit in 100 characters."""
    text = start
    for position, figure in enumerate(figures):
        addition = f"{', ' if position else ' '}{figure}"
        is_last = position == len(figures) - 1
        if len(text) + len(addition) + (0 if is_last else 3) > MAX_HEADLINE_CHARACTERS:
            return f"{text} …"
        text += addition
    return text


def format_figure(value: float, unit: str = "") -> str:
    """Return a number with three or four figures; ratios without the zero before the point."""
    if unit == "ratio":  # noise can take a reading of a full resource beyond 1
        value = min(1.0, value)
        return f"{value:.2f}" if value >= 0.99995 else f"{value:.4f}".removeprefix("0")
    size = abs(value)
    text = f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_ratio(value: float) -> str:
    """Return a share with four decimals, without the zero before the point."""
    return format_figure(value, "ratio")


@dataclass(frozen=True)
class Table:
    """Rows under column names, as `kubectl` prints them.

    Columns are at least two spaces apart and cells contain no two spaces in a row, so that a
    program can read a table by splitting its lines. An empty cell is "-".
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]

    def format_lines(self) -> list[str]:
        """Return the header and one line per row."""
        texts = [self.columns, *(tuple(_format_cell(cell) for cell in row) for row in self.rows)]
        widths = [max(len(row[index]) for row in texts) for index in range(len(self.columns))]
        return [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in texts
        ]


def _format_cell(cell: Cell) -> str:
    if isinstance(cell, float):
        return format_figure(cell)
    return " ".join(str(cell).split()) or "-"
