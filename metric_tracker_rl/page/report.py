"""Implements the report editor, which offers allowed values and fills in known values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from metric_tracker_rl.analysis_tools.lookup import NORMAL
from metric_tracker_rl.engine.definitions.anomaly_types import (
    ANOMALY_TYPES,
    find_anomaly_type_of_deviation,
)
from metric_tracker_rl.engine.definitions.display import subtract_baseline_and_round_for_display
from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    DATA_QUALITY,
    DETECTION_METHODS,
    EVENT_COUNT,
    FUNNEL_STEP,
    HOURLY_MIX,
    Entity,
)
from metric_tracker_rl.engine.definitions.report_row import NUMBER_FIELDS, ROW_FIELDS, RowKey
from metric_tracker_rl.engine.definitions.severity import SEVERITIES
from metric_tracker_rl.page.day_panel import parse_selection
from metric_tracker_rl.page.format_values import format_field_with_unit
from metric_tracker_rl.page.known_values import KnownValues
from metric_tracker_rl.page.labels import label_value
from metric_tracker_rl.page.visible_state import collect_known_values_from_replies
from metric_tracker_rl.page.words import format_entity_name
from metric_tracker_rl.policies.policy_numbers import PolicyNumbers
from openenv_kit.page.components.elements import format_short_date, humanize
from openenv_kit.page.components.row_editor import Choices, EditorColumn, EditorRow
from openenv_kit.page.environment_view import ReportEditor, dropdown_choices

NON_NEGATIVE_FIELDS = ("observed_value", "baseline_value")
"""Fields that contain counts, percentages or shares, which cannot be negative."""


def build_key_of_incomplete_row(row: Mapping[str, Any]) -> RowKey:
    """Return the date, entity type and entity name that identify a report row in the editor.

    The row may be incomplete; each missing field is represented by the text `None`.
    """
    return RowKey(str(row.get("date")), str(row.get("entity_type")), str(row.get("entity_name")))


class FunnelReport(ReportEditor):
    """The funnel's report editor. See `ReportEditor` for the members."""

    @cached_property
    def known_values(self) -> KnownValues:
        """Values that the player has seen so far."""
        return collect_known_values_from_replies(self.visitor.playback_steps)

    @cached_property
    def columns(self) -> Sequence[EditorColumn]:  # type: ignore[override]
        dates = [(format_short_date(date), date) for date in self.known_values.dates]
        names = self.known_values.funnel.entity_names_by_type
        entities = {humanize(kind): dropdown_choices(some) for kind, some in names.items()}
        return [
            EditorColumn("date", "date", dates),
            EditorColumn("entity_type", "entity type", dropdown_choices(tuple(names))),
            EditorColumn("entity_name", "entity", groups=entities),
            EditorColumn("anomaly_type", "anomaly", _anomaly_choices()),
            EditorColumn("observed_value", "observed (events, % or share)", kind="number"),
            EditorColumn("baseline_value", "median (the same unit)", kind="number"),
            EditorColumn("delta_value", "observed − median", kind="number"),
            EditorColumn("severity", "severity", dropdown_choices(SEVERITIES)),
            EditorColumn(
                "detection_method",
                "detection method",
                dropdown_choices(tuple(DETECTION_METHODS.values())),
            ),
        ]

    def suggested_rows(self) -> Sequence[EditorRow]:
        analysis = self.visitor.last_observation.get("analysis_result")
        return self.build_suggested_rows_from_result(analysis["result"]) if analysis else ()

    def build_draft_row(self, draft_key: str) -> EditorRow | None:
        known_values = self.known_values
        selection = parse_selection(known_values, draft_key)
        if selection is None:
            return None
        entity = find_reported_entity(known_values, selection.day, selection.column)
        return self.fill_row_from_known_values(
            {
                "date": known_values.dates[selection.day],
                "entity_type": entity.entity_type,
                "entity_name": entity.entity_name,
            }
        )

    def format_row_title(self, row: EditorRow) -> str:
        if not (row.get("date") or row.get("entity_name")):
            return "New row"
        date = format_short_date(str(row.get("date") or "no date"))
        return f"{date} · {format_entity_name(row) or 'no entity'}"

    def format_suggested_row(self, row: EditorRow) -> str:
        name = humanize(str(row["entity_name"]))
        anomaly_type = label_value(str(row["anomaly_type"]))
        observed = format_field_with_unit("observed_value", row["observed_value"], row)
        baseline = format_field_with_unit("baseline_value", row["baseline_value"], row)
        day = format_short_date(str(row["date"]))
        return f"{day}, {name}: {anomaly_type}, {observed} against {baseline}"

    def fill_row_from_known_values(self, row: EditorRow) -> EditorRow:
        known_values, names = self.known_values, self.known_values.funnel.entity_names_by_type
        if not row.get("entity_type") and row.get("entity_name"):
            kinds = [kind for kind, some in names.items() if row["entity_name"] in some]
            # If several entity types have this name, the player has to choose one.
            row = {**row, "entity_type": kinds[0]} if len(kinds) == 1 else row
        kind, name = str(row.get("entity_type")), str(row.get("entity_name"))
        day, column = (
            known_values.find_day_index(row.get("date")),
            known_values.funnel.columns.find_column_of_entity(kind, name),
        )
        if day is None or column is None:
            return row
        known_fields: EditorRow = {"detection_method": DETECTION_METHODS[kind]}
        value = known_values.values.get((day, column))
        baseline = 0.0 if kind == DATA_QUALITY else known_values.find_baseline(day, column)
        deviation = value if kind == DATA_QUALITY else known_values.compute_deviation(day, column)
        if value is not None and baseline is not None and deviation is not None:
            known_fields |= {
                "observed_value": value,
                "baseline_value": baseline,
                "delta_value": subtract_baseline_and_round_for_display(value, baseline, kind),
                "severity": self._find_severity(kind, column, abs(deviation)),
                "anomaly_type": find_anomaly_type_of_deviation(kind, deviation) or "",
            }
        return {**known_fields, **{name: value for name, value in row.items() if value != ""}}

    def _find_severity(self, entity_type: str, column: int, deviation_size: float) -> str:
        """Return the severity of a deviation according to the bounds in the reset observation."""
        numbers = PolicyNumbers(self.visitor.playback_steps[0].observation["config"])
        names = self.known_values.funnel.daily_series_names
        series_name = names[column] if column < len(names) else ""
        return numbers.find_severity(entity_type, series_name, deviation_size)

    def explain_why_row_cannot_be_submitted(self, row: EditorRow) -> str:
        for column in self.columns:
            value = row.get(column.name, "")
            if value == "":
                return f"{column.label} is empty"
            if column.name not in NUMBER_FIELDS:
                continue
            try:
                number = float(value)
            except (TypeError, ValueError):
                return f"{column.label} is not a number"
            if number < 0 and column.name in NON_NEGATIVE_FIELDS:
                return f"{column.label} is below 0"
        if [build_key_of_incomplete_row(other) for other in self.visitor.report_rows].count(
            build_key_of_incomplete_row(row)
        ) > 1:
            return "its date and entity are in the report twice"
        return ""

    def build_submit_action(self, rows: Sequence[EditorRow]) -> Mapping[str, Any]:
        return {"classifications": list(rows)}

    def build_suggested_rows_from_result(self, result: Mapping[str, Any]) -> list[EditorRow]:
        """Return a report row for each anomaly in a tool result, without duplicates."""
        rows_by_key: dict[RowKey, EditorRow] = {}
        for row in (
            self._build_suggested_row_from_fields(fields)
            for fields in _iter_mappings_with_enclosing_fields(result, {})
        ):
            if row:
                rows_by_key.setdefault(build_key_of_incomplete_row(row), row)
        return list(rows_by_key.values())

    def _build_suggested_row_from_fields(
        self, result_fields: Mapping[str, Any]
    ) -> EditorRow | None:
        """Return the report row of the anomaly that the fields describe.

        The result is None if they describe no anomaly, or if not all values of the row are known.
        """
        flagged = result_fields.get("anomaly_type", NORMAL) != NORMAL
        if flagged and all(name in result_fields for name in ROW_FIELDS):
            return {name: result_fields[name] for name in ROW_FIELDS}
        if flagged and "daytime_share" in result_fields:
            kind, name = HOURLY_MIX, self.known_values.funnel.daytime_share_name
        elif (
            result_fields.get("difference")
            and "metric_name" in result_fields
            and "date" in result_fields
        ):
            name = result_fields["metric_name"]
            kind = (
                EVENT_COUNT
                if name in self.known_values.funnel.event_count_names
                else CONVERSION_RATE
            )
        else:
            return None
        row = self.fill_row_from_known_values(
            {"date": result_fields["date"], "entity_type": kind, "entity_name": name}
        )
        return {field: row[field] for field in ROW_FIELDS} if set(ROW_FIELDS) <= set(row) else None


def _anomaly_choices() -> Choices:
    return [(label_value(name), name) for name in ANOMALY_TYPES]


def find_reported_entity(known_values: KnownValues, day: int, column: int) -> Entity:
    """Return the entity under which a series is reported on a day.

    If a step rate is known to have dropped by at least the threshold of a funnel break, it is
    reported as a funnel step.
    """
    columns = known_values.funnel.columns
    entities = [entity for entity, place in columns.column_by_entity.items() if place == column]
    deviation = known_values.compute_deviation(day, column)
    limit = known_values.find_break_drop(column)
    is_break = deviation is not None and limit is not None and deviation <= -limit
    for entity in entities:
        if (entity.entity_type == FUNNEL_STEP) == is_break:
            return entity
    return entities[0]


def list_reported_columns(
    rows: Sequence[EditorRow], known_values: KnownValues, date: str
) -> set[int]:
    """Return the columns of the series about which the report has a row on a date."""
    find = known_values.funnel.columns.find_column_of_entity
    columns = (
        find(str(row.get("entity_type")), str(row.get("entity_name")))
        for row in rows
        if row.get("date") == date
    )
    return {column for column in columns if column is not None}


def _iter_mappings_with_enclosing_fields(
    result: Mapping[str, Any], enclosing_fields: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield a tool result and its nested mappings, each merged with its parents' scalar fields."""
    plain = {k: v for k, v in result.items() if not isinstance(v, Mapping | list | tuple)}
    merged = {**enclosing_fields, **plain}
    yield merged
    for value in result.values():
        for element in value if isinstance(value, list | tuple) else [value]:
            if isinstance(element, Mapping):
                yield from _iter_mappings_with_enclosing_fields(element, merged)
