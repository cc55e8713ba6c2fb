"""The benchmark card's tables, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, names: int = 1) -> str:
    """A table whose first `names` columns are text, and the others numbers."""
    rule = [*["---"] * names, *["---:"] * (len(head) - names)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def pivot(
    lines: pd.DataFrame, by: str, names: Sequence[str] | None, cell: str, levels: Iterable[str]
) -> str:
    """A table with a row for each name (None: all there are) and a column for each level."""
    records = lines.to_dict("records")
    cells = {(line[by], line["difficulty"]): cell.format(**line) for line in records}
    shown = [level for level in levels if level in set(lines["difficulty"])]
    kept = names or list(lines[by].unique())
    rows = ([name, *(cells[name, level] for level in shown)] for name in kept)
    return table([by, *shown], rows)
