"""Report everything flagged: roots and echoes alike, in one message."""

from __future__ import annotations

from metric_tracker_rl.audit.registry import FLAGGED, exploit
from metric_tracker_rl.policies.registry import Observed, Play
from metric_tracker_rl.vocabulary import ROW_GENERATORS


@exploit("report_flagged", FLAGGED)
def report_flagged(_: Observed) -> Play:
    """Submits every row that any generator flags."""
    yield {
        "payload_generators": [
            {"method_name": name, "threshold_multiplier": 0.0} for name in ROW_GENERATORS
        ]
    }
