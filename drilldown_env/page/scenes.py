"""The drill-down's part of the page: its tree of segments by week, its questions, its report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date as Date
from datetime import timedelta
from html import escape
from typing import Any

from drilldown_env.page.seen import seen_in, segment_of, text_of
from drilldown_env.page.tree import (
    EVERYBODY,
    by_day,
    by_week,
    change_text,
    episode_of,
    explained,
    picture_html,
    selected,
    verdict_html,
)
from drilldown_env.tools import SUBMIT
from openenv_kit.environment import Environment
from openenv_kit.page.grid import MATCHED
from openenv_kit.page.markup import day_name, note, table, text, words
from openenv_kit.page.rows import Column
from openenv_kit.page.scenes import Ask, Call, Frames, Move, Scenes, named
from openenv_kit.page.state import Row, Visitor

KINDS = ("rate_change", "traffic_change", "mix_shift", "tracking_loss")
FREE = "free"
TO_TREE = ("Go to the picture", "go", "#mt-picture")


def asking(text: str, call: Call) -> Move:
    """A next move that asks for a call."""
    return Move(text, call.label, "ask", json.dumps([call.tool, call.arguments]))


class DrillScenes(Scenes):
    """See `openenv_kit.page.scenes.Scenes`."""

    order = 1
    line = "Who changed, when, and why?"
    icon = '<path d="M4 12h5M9 5v14M9 5h5M9 12h5M9 19h5"/><path d="M17 5h3M17 12h3M17 19h3"/>'

    picture_html = staticmethod(picture_html)

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.mission = (
            "An alert says that a number moved. Find which people changed, in which days, and "
            "which entry of the change log is to blame."
        )

    def below_html(self, visitor: Visitor) -> str:
        seen = seen_in(visitor.frames)
        guilty = set()
        if visitor.over:
            guilty = {row.change for row in episode_of(visitor.reset).expected_rows}
        rows = [
            [("<b>guilty</b> " if each["id"] in guilty else "") + text(each["id"])]
            + [text(each[name]) for name in ("date", "component", "owner", "change")]
            for each in seen.log
        ]
        return (
            table(["entry", "date", "component", "owner", "change"], rows, "Change log")
            if rows
            else ""
        )

    def headline(self, frames: Frames) -> str:
        last = frames[-1].observation
        parts, score = last.get("score_parts"), float(last.get("reward") or 0.0)
        if not parts:
            return f"No report was handed in: {score:.2f}"
        return f"{parts['exact_rows']} of {parts['roots']} found: {score:.2f}"

    def story_html(self, visitor: Visitor) -> str:
        judged = explained(visitor.frames, visitor.reset)[1]
        wrong = [each for each in judged if each[0] != MATCHED]
        lines = "".join(verdict_html(kind, row) for kind, row in wrong)
        if not wrong:
            return note("Every row was right.", "good")
        return f'<h3>What you missed</h3><ul class="mt-issues">{lines}</ul>'

    def facts(self, visitor: Visitor) -> Sequence[str]:
        left = visitor.reply.get("calls_left")
        return [] if left is None or visitor.over else [f"{left} calls left"]

    def ask(self, visitor: Visitor) -> Ask | None:
        if visitor.over:
            return None
        seen, groups = seen_in(visitor.frames), {}
        dims = list(seen.config["attributes"])
        at = selected(seen, visitor.place)
        title, known = "Click a cell to ask about it", ""
        if at is not None:
            segment, week = at
            title = f"{text_of(segment) or EVERYBODY} · week of {day_name(week)}"
            strongest = seen.strongest(segment, week)
            known = (
                f"<p>{escape(change_text(strongest) if strongest else 'Nothing known yet.')}</p>"
            )
            where = dict(segment)
            groups["Closer"] = [
                Call("Day by day", "slice", by_day(seen, where, week), "1 call each"),
                *(
                    Call(f"Split by {words(dim)}", "slice", by_week([dim], where), "1 call each")
                    for dim in dims
                    if dim not in where
                ),
            ]
        groups["Everybody, week by week"] = [
            Call(f"By {words(dim)}", "slice", by_week([dim]), "1 call each") for dim in dims
        ]
        groups["Why"] = [Call("Read the change log", "change_log", {}, FREE)]
        return Ask(title, groups, known)

    def next_move(self, visitor: Visitor) -> Move:
        asked = self.ask(visitor)
        done = [frame.action.get("arguments") for frame in visitor.frames]
        seen = seen_in(visitor.frames)
        groups = asked.groups if asked else {}
        for call in groups.get("Everybody, week by week", ()):
            if call.arguments not in done:
                return asking("Who changed? Look at each attribute, week by week.", call)
        at = selected(seen, visitor.place)
        if at is None:
            cells = [(s, week) for s in seen.segments() for week in seen.weeks]
            if not cells:
                text = "No answer held any counts yet: ask about everybody."
                return Move(text, "Go to the questions", "go", "#mt-ask")
            segment, week = max(cells, key=lambda each: abs((seen.strongest(*each) or ("", 0))[1]))
            name = text_of(segment) or EVERYBODY
            label = f"Look at {name}"
            return Move("One cell stands out. Look closer.", label, "pick", f"{name}/{week}")
        call = groups["Closer"][0]
        if call.arguments not in done:
            return asking("On which days did it begin and end?", call)
        if not seen.log:
            return asking("Who is to blame? Reading the change log is free.", groups["Why"][0])
        text = "Is it all of them, or a part? Split it; then add it to your report."
        for call in groups["Closer"]:
            if call.arguments not in done:
                return asking(text, call)
        if self.offers(visitor):
            return Move(text, "Add it to the report", "add_row", "0")
        return Move("Nothing is left to ask here: click another cell.", *TO_TREE)

    def columns(self, visitor: Visitor) -> Sequence[Column]:
        seen = seen_in(visitor.frames)
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

    def offers(self, visitor: Visitor) -> Sequence[Row]:
        seen = seen_in(visitor.frames)
        at = selected(seen, visitor.place)
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

    def unfinished(self, visitor: Visitor, row: Row) -> str:
        for column in self.columns(visitor):
            if column.name != "segment" and row.get(column.name, "") == "":
                return f"{column.label} is empty"
        if segment_of(str(row.get("segment", ""))) is None:
            return "segment is not attribute=value"
        return ""

    def report_action(self, rows: Sequence[Row]) -> Mapping[str, Any]:
        handed = [
            {**row, "segment": dict(segment_of(str(row.get("segment", ""))) or ())} for row in rows
        ]
        return {"tool": SUBMIT, "arguments": {"rows": handed}}

    def answer_html(self, observation: Mapping[str, Any]) -> str:
        result = observation.get("result") or {}
        if "columns" not in result:
            return super().answer_html(observation)
        columns, rows = result["columns"], result["rows"][:60]
        heads = list(result.get("dates") or result.get("days") or ())
        lists = [at for at in range(len(columns)) if rows and isinstance(rows[0][at], list)]
        if not lists:
            return table(columns, [[text(value) for value in row] for row in rows])
        labels = lists[0]
        return "".join(
            table(
                [*columns[:labels], *heads],
                [[text(value) for value in (*row[:labels], *row[at])] for row in rows],
                words(columns[at]),
            )
            for at in lists
        )
