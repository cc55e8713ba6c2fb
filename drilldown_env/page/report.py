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
from openenv_kit.page.components.elements import day_name, words
from openenv_kit.page.components.row_editor import Column, Row
from openenv_kit.page.environment_view import Report, named

KINDS = ("rate_change", "traffic_change", "mix_shift", "tracking_loss")


class DrillReport(Report):
    """See `openenv_kit.page.environment_view.Report`."""

    @cached_property
    def seen(self) -> Seen:
        """What the replies have told."""
        return seen_in(self.visitor.frames)

    @cached_property
    def columns(self) -> Sequence[Column]:  # type: ignore[override]
        seen = self.seen
        first, last = (Date.fromisoformat(seen.config[n]) for n in ("first_date", "last_date"))
        span = range((last - first).days + 1)
        dates = [(day_name(d), d) for d in ((first + timedelta(days=n)).isoformat() for n in span)]
        entries = [(f"{e['id']}: {e['change']}"[:60], str(e["id"])) for e in seen.log]
        return [
            Column("kind", "kind", named(KINDS)),
            Column("stage", "stage", named(seen.config["stages"])),
            Column("direction", "direction", named(("up", "down"))),
            Column("segment", "segment (attribute=value, …; empty for everybody)"),
            Column("date_from", "first day", dates),
            Column("date_to", "last day", dates),
            Column("change", "to blame", [("unattributed", "unattributed"), *entries]),
        ]

    def offers(self) -> Sequence[Row]:
        seen = self.seen
        at = selected(seen, self.visitor.place)
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

    def offer_text(self, row: Row) -> str:
        dates = f"{day_name(str(row['date_from']))} to {day_name(str(row['date_to']))}"
        return (
            f"{row['segment'] or EVERYBODY}: {words(str(row['stage']))} {row['direction']}, {dates}"
        )

    def unfinished(self, row: Row) -> str:
        for column in self.columns:
            if column.name != "segment" and row.get(column.name, "") == "":
                return f"{column.label} is empty"
        if segment_of(str(row.get("segment", ""))) is None:
            return "segment is not attribute=value"
        return ""

    def action(self, rows: Sequence[Row]) -> Mapping[str, Any]:
        handed = [
            {**row, "segment": dict(segment_of(str(row.get("segment", ""))) or ())} for row in rows
        ]
        return {"tool": SUBMIT, "arguments": {"rows": handed}}
