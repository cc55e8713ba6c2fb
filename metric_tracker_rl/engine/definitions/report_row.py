"""Rows of a report, and the key by which the grader matches them with the expected rows."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

from metric_tracker_rl.engine.definitions.entity_types import ENTITY_TYPES


class RowKey(NamedTuple):
    """Fields that identify a row. Two rows of one report with the same key are duplicates."""

    date: str
    entity_type: str
    entity_name: str

    def as_text(self) -> str:
        """Return the key in the form `date|entity_type|entity_name`."""
        return "|".join(self)


KEY_FIELDS = RowKey._fields
"""Fields that identify a row."""
GRADED_NAME_FIELDS = ("anomaly_type", "detection_method", "severity")
"""Fields that contain a name. They are graded only in rows with the key of an expected row."""
NUMBER_FIELDS = ("baseline_value", "observed_value", "delta_value")
"""Fields that contain a number."""


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One row of a report, which describes an anomaly on one date.

    Rates are in percent, and the daytime share is a fraction.
    """

    date: str
    entity_type: str
    entity_name: str
    anomaly_type: str
    detection_method: str
    baseline_value: float
    observed_value: float
    delta_value: float
    severity: str

    @property
    def key(self) -> RowKey:
        """The fields that identify the row."""
        return RowKey(self.date, self.entity_type, self.entity_name)

    def as_dict(self) -> dict[str, str | float]:
        """Return the fields by name, in the order in which requests and replies contain them."""
        return {name: getattr(self, name) for name in ROW_FIELDS}


ROW_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(ReportRow))
"""Names of all fields, in the order of the wire contract."""


def compute_deviation_size_for_threshold_comparison(row: ReportRow) -> float:
    """Return the size of a row's deviation, as compared with thresholds and severity bounds.

    For counts, rates and funnel steps with a baseline other than 0, this is the absolute difference
    divided by the baseline; otherwise it is the absolute difference.
    """
    if ENTITY_TYPES[row.entity_type].is_relative and row.baseline_value:
        return abs(row.delta_value) / row.baseline_value
    return abs(row.delta_value)
