"""The benchmark card's tables, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd


def markdown_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int = 1
) -> str:
    """A table whose first `names` columns are text, and the others numbers."""
    rule = [*["---"] * text_columns, *["---:"] * (len(head) - text_columns)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def level_table(
    lines: pd.DataFrame,
    row_field: str,
    names: Sequence[str] | None,
    cell_format: str,
    levels: Iterable[str],
) -> str:
    """A table with a row for each name (None: all there are) and a column for each level."""
    records = lines.to_dict("records")
    cells = {(line[row_field], line["difficulty"]): cell_format.format(**line) for line in records}
    shown = [level for level in levels if level in set(lines["difficulty"])]
    kept = names or list(lines[row_field].unique())
    rows = ([name, *(cells[name, level] for level in shown)] for name in kept)
    return markdown_table([row_field, *shown], rows)
