"""Report all: every flagged value, roots and echoes alike."""

from __future__ import annotations

from metric_tracker_rl.policies.registry import Observed, Play, policy
from metric_tracker_rl.vocabulary import ROW_GENERATORS


@policy("report_all")
def report_all(_: Observed) -> Play:
    """Submits every row that any generator flags."""
    yield {
        "payload_generators": [
            {"method_name": name, "threshold_multiplier": 0.0} for name in ROW_GENERATORS
        ]
    }
