"""The report's rows and custom anomalies as tables to fill in, with the values that fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metric_tracker_rl.engine.funnel import ORDERING_APP
from metric_tracker_rl.engine.reporting_policy import ANOMALY_TYPES_OF, Finding, row_for
from metric_tracker_rl.engine.rules import EpisodeView
from metric_tracker_rl.engine.vocabulary import (
    ANOMALY_TYPES,
    DETECTION_METHODS,
    DIRECTIONS,
    SEVERITIES,
)
from openenv_kit.page.markup import day_name, words
from openenv_kit.page.rows import Choices, Column

EDIT_REPORT, EDIT_CUSTOM = "edit_report", "edit_custom"
PLACE = ("date", "entity_type", "entity_name", "anomaly_type")
"""Fields that decide all others."""


def _choices(names: Sequence[str]) -> Choices:
    return [(words(name), name) for name in names]


def report_columns(view: EpisodeView) -> list[Column]:
    """Fields of the report's rows; dates are those of the episode."""
    dates = [(day_name(date), date) for date in view.episode.dates]
    names = view.episode.config.funnel_spec.entity_names
    entities = {words(kind): _choices(some) for kind, some in names.items()}
    return [
        Column("date", "date", dates),
        Column("entity_type", "entity type", _choices(tuple(names))),
        Column("entity_name", "entity", groups=entities),
        Column("anomaly_type", "anomaly", _choices(ANOMALY_TYPES)),
        Column("observed_value", "observed (events, % or share)", kind="number"),
        Column("baseline_value", "median (the same unit)", kind="number"),
        Column("delta_value", "observed − median", kind="number"),
        Column("severity", "severity", _choices(SEVERITIES)),
        Column("detection_method", "detection method", _choices(tuple(DETECTION_METHODS.values()))),
    ]


CUSTOM_COLUMNS = (
    Column(
        "metric_name",
        "metric",
        groups={
            "event counts": _choices(ORDERING_APP.counts),
            "conversion rates": _choices(ORDERING_APP.rates),
        },
    ),
    Column("date", "date", kind="date"),
    Column("stddev_factor", "standard deviations from the median", kind="number"),
    Column("direction", "direction", _choices(DIRECTIONS)),
)


def filled_in(view: EpisodeView, row: dict[str, Any]) -> dict[str, Any]:
    """A row with the values that its day and entity have in the data, once both are chosen.

    Only what is still empty is filled in. All of it stands on the Data tab; whether there is
    anything to report is for the player to say.
    """
    funnel = view.episode.config.funnel_spec
    if not row.get("entity_type") and row.get("entity_name"):
        name = row["entity_name"]
        kinds = [kind for kind, names in funnel.entity_names.items() if name in names]
        # A funnel step has the name of its rate; which is meant is for the player to say.
        row = {**row, "entity_type": kinds[0]} if len(kinds) == 1 else row
    kind, name, anomaly = (str(row.get(each, "")) for each in PLACE[1:])
    known = row.get("date") in view.episode.day_of and (kind, name) in funnel.columns
    if not known or anomaly not in ANOMALY_TYPES_OF[kind]:
        return row
    day = view.episode.day_index(row["date"])
    finding = Finding(kind, name, anomaly, funnel.columns[kind, name])
    usual = row_for(finding, day, row["date"], view.episode.series).as_dict()
    return {**usual, **{field: value for field, value in row.items() if value != ""}}
