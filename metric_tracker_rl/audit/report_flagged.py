"""Report everything flagged: roots and echoes alike, in one message."""

from __future__ import annotations

from metric_tracker_rl.audit.flagged import flagged_rows
from metric_tracker_rl.audit.registry import FLAGGED, exploit
from metric_tracker_rl.policies.registry import (
    Observed,
    Play,
    analyse,
    result_of,
    submit,
)
from metric_tracker_rl.vocabulary import ROW_GENERATORS


@exploit("report_flagged", FLAGGED)
def report_flagged(_: Observed) -> Play:
    """Submits every row that any generator flags."""
    yield {
        "payload_generators": [
            {"method_name": name, "threshold_multiplier": 0.0} for name in ROW_GENERATORS
        ]
    }


@exploit("report_unexplained", FLAGGED)
def report_unexplained(_: Observed) -> Play:
    """Submits every flagged row that the public calendar does not explain."""
    rows = yield from flagged_rows()
    events = result_of((yield analyse("list_calendar")))["events"]
    known = {(event["date"], name) for event in events for name in event["explains"]}
    yield submit([row for row in rows if (row["date"], row["entity_name"]) not in known])
