"""The report's rows: what their fields may be, and the one that the selected cell points to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date as Date
from datetime import timedelta
from functools import cached_property
from typing import Any

from drilldown_env.page.seen import Seen, seen_in, segment_of, text_of
from drilldown_env.page.tree import EVERYBODY, selected
from drilldown_env.tools import SUBMIT
from openenv_kit.page.components.elements import format_short_date, humanize
from openenv_kit.page.components.row_editor import EditorColumn, EditorRow
from openenv_kit.page.environment_view import ReportEditor, dropdown_choices

KINDS = ("rate_change", "traffic_change", "mix_shift", "tracking_loss")


class DrillReport(ReportEditor):
    """See `openenv_kit.page.environment_view.ReportEditor`."""

    @cached_property
    def seen(self) -> Seen:
        """What the replies have told."""
        return seen_in(self.visitor.playback_steps)

    @cached_property
    def columns(self) -> Sequence[EditorColumn]:  # type: ignore[override]
        seen = self.seen
        first, last = (Date.fromisoformat(seen.config[n]) for n in ("first_date", "last_date"))
        span = range((last - first).days + 1)
        dates = [
            (format_short_date(d), d)
            for d in ((first + timedelta(days=n)).isoformat() for n in span)
        ]
        entries = [(f"{e['id']}: {e['change']}"[:60], str(e["id"])) for e in seen.log]
        return [
            EditorColumn("kind", "kind", dropdown_choices(KINDS)),
            EditorColumn("stage", "stage", dropdown_choices(seen.config["stages"])),
            EditorColumn("direction", "direction", dropdown_choices(("up", "down"))),
            EditorColumn("segment", "segment (attribute=value, …; empty for everybody)"),
            EditorColumn("date_from", "first day", dates),
            EditorColumn("date_to", "last day", dates),
            EditorColumn("change", "to blame", [("unattributed", "unattributed"), *entries]),
        ]

    def suggested_rows(self) -> Sequence[EditorRow]:
        seen = self.seen
        at = selected(seen, self.visitor.selection)
        if at is None:
            return ()
        segment, week = at
        return [
            {
                "kind": "",
                "stage": stage,
                "direction": "up" if size > 0 else "down",
                "segment": text_of(segment),
                **dict(zip(("date_from", "date_to"), seen.run(segment, stage, week), strict=True)),
                "change": "",
            }
            for stage, size in seen.moved(segment, week)
        ]

    def format_suggested_row(self, row: EditorRow) -> str:
        start, end = (format_short_date(str(row[name])) for name in ("date_from", "date_to"))
        dates = f"{start} to {end}"
        segment, stage = row["segment"] or EVERYBODY, humanize(str(row["stage"]))
        return f"{segment}: {stage} {row['direction']}, {dates}"

    def explain_why_row_cannot_be_submitted(self, row: EditorRow) -> str:
        for column in self.columns:
            if column.name != "segment" and row.get(column.name, "") == "":
                return f"{column.label} is empty"
        if segment_of(str(row.get("segment", ""))) is None:
            return "segment is not attribute=value"
        return ""

    def build_submit_action(self, rows: Sequence[EditorRow]) -> Mapping[str, Any]:
        handed = [
            {**row, "segment": dict(segment_of(str(row.get("segment", ""))) or ())} for row in rows
        ]
        return {"tool": SUBMIT, "arguments": {"rows": handed}}
