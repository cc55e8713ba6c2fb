"""Flagged rows: what label-blind players start from, roots and echoes alike."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from metric_tracker_rl.engine.funnel import ORDERING_APP
from metric_tracker_rl.engine.vocabulary import ROW_GENERATORS
from metric_tracker_rl.policies.base import Action, Observed, analyse, result_of

Row = dict[str, Any]
Asking = Generator[Action, Observed, list[Row]]

RATE_OF_STEP = dict(zip(ORDERING_APP.steps, ORDERING_APP.step_rates, strict=True))


def flagged_rows(multiplier: float = 0.0, methods: Sequence[str] = ROW_GENERATORS) -> Asking:
    """Rows of several generators at one multiplier, by one analysis step."""
    wanted = [{"method_name": name, "threshold_multiplier": multiplier} for name in methods]
    found = result_of((yield analyse("payload_generator", generator_methods=wanted)))
    return list(found["generated_rows"])


def unexplained_rows() -> Asking:
    """Every flagged row that the public calendar does not explain."""
    rows = yield from flagged_rows()
    events = result_of((yield analyse("list_calendar")))["events"]
    known = {(event["date"], name) for event in events for name in event["explains"]}
    names = ((row, RATE_OF_STEP.get(row["entity_name"], row["entity_name"])) for row in rows)
    return [row for row, name in names if (row["date"], name) not in known]
