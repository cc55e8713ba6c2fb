"""Converts a cleaned table to JSON values and back, so that a process can send it to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

import numpy as np

from openenv_kit.own_data.cleaned_table import CalendarEntry, CleanedTable, TableDescription
from openenv_kit.own_data.stage_counts import DayStatus, Grain, StageCounts


def convert_table_to_json(table: CleanedTable) -> dict[str, Any]:
    """Return a table as a JSON value."""
    counts = table.stage_counts
    return {
        "stages": list(counts.stages),
        "grain": str(counts.grain),
        "start": counts.start.isoformat(),
        "counts": counts.counts.tolist(),
        "day_status": [str(status) for status in counts.day_status],
        "holidays": {day.isoformat(): title for day, title in counts.holidays.items()},
        "has_impossible_hours": counts.has_impossible_hours,
        "actions": list(table.actions),
        "warnings": list(table.warnings),
        "description": asdict(table.description),
        "renamed_stages": table.renamed_stages,
        "calendar": [
            [each.date.isoformat(), each.title, *each.explains] for each in table.calendar
        ],
    }


def convert_json_to_table(content: Mapping[str, Any]) -> CleanedTable:
    """Return the table that `convert_table_to_json` converted.

    Raises:
        KeyError: a value is missing.
        ValueError: a value is wrong.
    """
    description = dict(content["description"])
    return CleanedTable(
        stage_counts=StageCounts(
            stages=tuple(content["stages"]),
            grain=Grain(content["grain"]),
            start=date.fromisoformat(content["start"]),
            counts=np.array(content["counts"], dtype=np.int64),
            day_status=tuple(DayStatus(status) for status in content["day_status"]),
            holidays={date.fromisoformat(day): title for day, title in content["holidays"].items()},
            has_impossible_hours=content["has_impossible_hours"],
        ),
        actions=tuple(content["actions"]),
        warnings=tuple(content["warnings"]),
        description=TableDescription(**{**description, "notes": tuple(description["notes"])}),
        renamed_stages=dict(content["renamed_stages"]),
        calendar=tuple(
            CalendarEntry(date.fromisoformat(day), title, tuple(explains))
            for day, title, *explains in content["calendar"]
        ),
    )
