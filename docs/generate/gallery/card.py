"""Figures that other pages tell: the gallery repeats them and measures nothing itself."""

from __future__ import annotations

from functools import cache
from itertools import dropwhile, takewhile
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2]


@cache
def table_under(page: str, heading: str) -> dict[str, dict[str, str]]:
    """The first table under a heading of a page: cells by row and column.

    Of rows that begin alike the last one counts.

    Raises:
        LookupError: the page has no such heading, or no table under it.
    """
    _, found, below = (DOCS / page).read_text().partition(f"\n{heading}\n")
    lines = below.partition("\n#")[0].splitlines()
    lines = list(takewhile(_is_row, dropwhile(lambda line: not _is_row(line), lines)))
    if not found or len(lines) < 3:
        raise LookupError(f"{page} has no table under {heading!r}")
    header, _, *rows = ([cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines)
    return {name: dict(zip(header[1:], cells, strict=True)) for name, *cells in rows}


def _is_row(line: str) -> bool:
    return line.startswith("|")
