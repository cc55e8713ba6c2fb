"""The report's rows: what their fields may be, and what the replies decide of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from metric_tracker_rl.analysis_tools.lookup import NORMAL
from metric_tracker_rl.engine.definitions.levels import severity_of
from metric_tracker_rl.engine.definitions.names import (
    ANOMALY_TYPES,
    CONVERSION_RATE,
    DATA_QUALITY,
    DETECTION_METHODS,
    EVENT_COUNT,
    HOURLY_MIX,
    SEVERITIES,
)
from metric_tracker_rl.engine.reporting_policy.find_roots import anomaly_type
from metric_tracker_rl.engine.reporting_policy.labels import ROW_FIELDS, shown_delta
from metric_tracker_rl.page.format_values import with_unit
from metric_tracker_rl.page.metric_map.known_values import Seen
from metric_tracker_rl.page.metric_map.map_html import seen_in
from openenv_kit.page.components.elements import day_name, words
from openenv_kit.page.components.row_editor import Column, Row
from openenv_kit.page.environment_view import Report, named

Key = tuple[str, str, str]
NUMBERS = ("observed_value", "baseline_value", "delta_value")
AT_LEAST_0 = ("observed_value", "baseline_value")
"""Numbers that are counts, percentages or shares."""


def key_of(row: Mapping[str, Any]) -> Key:
    """What report rows are matched on."""
    return (str(row.get("date")), str(row.get("entity_type")), str(row.get("entity_name")))


class FunnelReport(Report):
    """See `openenv_kit.page.environment_view.Report`."""

    @cached_property
    def seen(self) -> Seen:
        """What the replies have told."""
        return seen_in(self.visitor.frames)

    @cached_property
    def columns(self) -> Sequence[Column]:  # type: ignore[override]
        dates = [(day_name(date), date) for date in self.seen.dates]
        names = self.seen.funnel.entity_names
        entities = {words(kind): named(some) for kind, some in names.items()}
        return [
            Column("date", "date", dates),
            Column("entity_type", "entity type", named(tuple(names))),
            Column("entity_name", "entity", groups=entities),
            Column("anomaly_type", "anomaly", named(ANOMALY_TYPES)),
            Column("observed_value", "observed (events, % or share)", kind="number"),
            Column("baseline_value", "median (the same unit)", kind="number"),
            Column("delta_value", "observed − median", kind="number"),
            Column("severity", "severity", named(SEVERITIES)),
            Column(
                "detection_method", "detection method", named(tuple(DETECTION_METHODS.values()))
            ),
        ]

    def offers(self) -> Sequence[Row]:
        answered = self.visitor.reply.get("analysis_result")
        return self.drafts(answered["result"]) if answered else ()

    def offer_text(self, row: Row) -> str:
        name, anomaly = (words(str(row[each])) for each in ("entity_name", "anomaly_type"))
        values = (with_unit(each, row[each], row) for each in ("observed_value", "baseline_value"))
        return f"{day_name(str(row['date']))}, {name}: {anomaly}, {' against '.join(values)}"

    def filled_in(self, row: Row) -> Row:
        seen, names = self.seen, self.seen.funnel.entity_names
        if not row.get("entity_type") and row.get("entity_name"):
            kinds = [kind for kind, some in names.items() if row["entity_name"] in some]
            # A funnel step has the name of its rate; which is meant is for the player to say.
            row = {**row, "entity_type": kinds[0]} if len(kinds) == 1 else row
        kind, name = str(row.get("entity_type")), str(row.get("entity_name"))
        day, column = seen.day(row.get("date")), seen.funnel.columns.get((kind, name))
        if day is None or column is None:
            return row
        found: Row = {"detection_method": DETECTION_METHODS[kind]}
        value = seen.values.get((day, column))
        usual = 0.0 if kind == DATA_QUALITY else seen.usual(day, column)
        change = value if kind == DATA_QUALITY else seen.change(day, column)
        if value is not None and usual is not None and change is not None:
            bands = self.visitor.frames[0].observation["config"]["severity_bands"][kind]
            found |= {
                "observed_value": value,
                "baseline_value": usual,
                "delta_value": shown_delta(value, usual, kind),
                "severity": severity_of(abs(change), bands),
                "anomaly_type": anomaly_type(kind, change) or "",
            }
        return {**found, **{name: value for name, value in row.items() if value != ""}}

    def unfinished(self, row: Row) -> str:
        for column in self.columns:
            value = row.get(column.name, "")
            if value == "":
                return f"{column.label} is empty"
            if column.name not in NUMBERS:
                continue
            try:
                number = float(value)
            except (TypeError, ValueError):
                return f"{column.label} is no number"
            if number < 0 and column.name in AT_LEAST_0:
                return f"{column.label} is below 0"
        if [key_of(each) for each in self.visitor.rows].count(key_of(row)) > 1:
            return "its date and entity are in the report twice"
        return ""

    def action(self, rows: Sequence[Row]) -> Mapping[str, Any]:
        return {"classifications": list(rows)}

    def drafts(self, result: Mapping[str, Any]) -> list[Row]:
        """Every report row that a tool's result points to, each once, in the result's order.

        A row is offered for what the tool itself calls an anomaly, with the values it told.
        """
        found: dict[Key, Row] = {}
        for row in (self._draft(fields) for fields in _mappings(result, {})):
            if row:
                found.setdefault(key_of(row), row)
        return list(found.values())

    def _draft(self, fields: Mapping[str, Any]) -> Row | None:
        """The report row that one line of a result stands for, or None for none."""
        flagged = fields.get("anomaly_type", NORMAL) != NORMAL
        if flagged and all(name in fields for name in ROW_FIELDS):
            return {name: fields[name] for name in ROW_FIELDS}
        if flagged and "daytime_share" in fields:
            kind, name = HOURLY_MIX, self.seen.funnel.mix
        elif fields.get("difference") and "metric_name" in fields and "date" in fields:
            name = fields["metric_name"]
            kind = EVENT_COUNT if name in self.seen.funnel.counts else CONVERSION_RATE
        else:
            return None
        row = self.filled_in({"date": fields["date"], "entity_type": kind, "entity_name": name})
        return {field: row[field] for field in ROW_FIELDS} if set(ROW_FIELDS) <= set(row) else None


def _mappings(node: Mapping[str, Any], above: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each mapping of a result, with the plain fields of everything around it."""
    plain = {k: v for k, v in node.items() if not isinstance(v, Mapping | list | tuple)}
    here = {**above, **plain}
    yield here
    for value in node.values():
        for each in value if isinstance(value, list | tuple) else [value]:
            if isinstance(each, Mapping):
                yield from _mappings(each, here)
