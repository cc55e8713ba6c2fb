"""After the end: the visitor's report beside the reference's, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from metric_tracker_rl.page.drill.rows import COLUMNS, row_cells
from metric_tracker_rl.page.drill.state import MetricVisitor
from metric_tracker_rl.page.drill.story import Story
from metric_tracker_rl.page.state import key_of
from metric_tracker_rl.page.units import with_unit
from openenv_kit.page.markup import day_name, hint, table, text, words
from openenv_kit.page.reveal import score_of, two_columns
from openenv_kit.page.watching import Frame

BOTH, ONLY_YOURS, ONLY_THEIRS = "in both", "only yours", "only the reference's"


def beside_html(visitor: MetricVisitor, frames: Sequence[Frame]) -> str:
    """Both reports; a row that the other one has as well is marked so.

    Args:
        visitor: whose episode is over.
        frames: the reference's play of it.
    """
    theirs, yours = Story(frames).rows, visitor.rows
    shown = _drilled if visitor.drills else _funnel
    keys = [{_key(row, visitor.drills) for row in rows} for rows in (yours, theirs)]

    def side(rows: Sequence[Any], others: set[str], alone: str) -> str:
        if not rows:
            return hint("No row.")
        marks = [BOTH if _key(row, visitor.drills) in others else alone for row in rows]
        return shown(rows, marks)

    return two_columns(
        side(yours, keys[1], ONLY_YOURS),
        visitor.score,
        side(theirs, keys[0], ONLY_THEIRS),
        score_of(frames),
    )


def _key(row: Any, drills: bool) -> str:
    """Rows with the same key say the same: where, and for a drill-down row everything."""
    return repr(row_cells(row)) if drills else repr(key_of(row))


def _drilled(rows: Sequence[Any], marks: Sequence[str]) -> str:
    lines = [[_mark(mark), *row_cells(row)] for row, mark in zip(rows, marks, strict=True)]
    return table(["", *COLUMNS], lines)


def _funnel(rows: Sequence[Mapping[str, Any]], marks: Sequence[str]) -> str:
    lines = [
        [
            _mark(mark),
            escape(day_name(str(row.get("date", "")))),
            *(text(words(str(row.get(name, "")))) for name in ("entity_name", "anomaly_type")),
            with_unit("observed_value", row.get("observed_value"), row),
            text(row.get("severity")),
        ]
        for row, mark in zip(rows, marks, strict=True)
    ]
    return table(["", "date", "entity", "anomaly", "observed", "severity"], lines, numbers=(4,))


def _mark(mark: str) -> str:
    kind = "good" if mark == BOTH else "bad"
    return f'<span class="mt-verdict {kind}">{escape(mark)}</span>'
