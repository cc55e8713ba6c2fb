"""Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd


def markdown_table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int = 1
) -> str:
    """Return a table. The first `text_columns` columns are aligned as text, others as numbers."""
    alignment = [*["---"] * text_columns, *["---:"] * (len(titles) - text_columns)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, alignment, *rows))


def level_table(
    lines: pd.DataFrame,
    row_field: str,
    names: Sequence[str] | None,
    cell_format: str,
    levels: Iterable[str],
) -> str:
    """Return a table with a row for each name and a column for each level that occurs.

    Args:
        lines: results, with a column `difficulty` for the level.
        row_field: column with the names of the rows.
        names: the rows to show, in order; None for all.
        cell_format: format string of a cell, with the fields of a line.
        levels: names of all levels, in order.
    """
    records = lines.to_dict("records")
    cells = {(line[row_field], line["difficulty"]): cell_format.format(**line) for line in records}
    shown_levels = [level for level in levels if level in set(lines["difficulty"])]
    shown_names = names or list(lines[row_field].unique())
    rows = ([name, *(cells[name, level] for level in shown_levels)] for name in shown_names)
    return markdown_table([row_field, *shown_levels], rows)
