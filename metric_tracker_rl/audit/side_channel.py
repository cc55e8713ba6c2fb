"""Side channels: what order, size and timing of replies might tell."""

from __future__ import annotations

import json
import time

from metric_tracker_rl.audit.flagged import Asking, Row
from metric_tracker_rl.audit.registry import NOTHING, NOTHING_BUT_LUCK, exploit
from metric_tracker_rl.policies.registry import Observed, Play, analyse, result_of, submit
from metric_tracker_rl.vocabulary import DETECTION_METHODS, RATE_DROP


def all_cells() -> Asking:
    """A row with no values for every date and entity."""
    dates = result_of((yield analyse("list_dates")))["dates"]
    entities = result_of((yield analyse("list_entities")))["entities"]
    return [
        {
            "date": date,
            **entity,
            "anomaly_type": RATE_DROP,
            "detection_method": DETECTION_METHODS[entity["entity_type"]],
            "baseline_value": 0,
            "observed_value": 0,
            "delta_value": 0,
            "severity": "low",
        }
        for date in dates
        for entity in entities
    ]


def _by_date(cells: list[Row]) -> dict[str, list[Row]]:
    days: dict[str, list[Row]] = {}
    for cell in cells:
        days.setdefault(cell["date"], []).append(cell)
    return days


@exploit("preview_oracle", NOTHING)
def preview_oracle(opening: Observed) -> Play:
    """Previews every place to report in turn and submits those whose preview differs."""
    days = _by_date((yield from all_cells()))
    told = []
    for rows in days.values():
        preview = result_of((yield analyse("preview_submission", rows=rows)))
        shown = {(r["date"], r["entity_type"], r["entity_name"]): r for r in preview.pop("issues")}
        normal = preview.pop("normalized_rows")
        told += [row for row, back in zip(rows, normal, strict=True) if row != back or shown]
    yield submit(told[: opening["expected_row_count"]])


@exploit("message_size", NOTHING)
def message_size(opening: Observed) -> Play:
    """Submits dates whose previews are longer than others, and names out of their order."""
    days = _by_date((yield from all_cells()))
    sizes = {}
    for date, rows in days.items():
        reply = yield analyse("preview_submission", rows=rows)
        sizes[date] = len(json.dumps(reply["analysis_result"]["result"], default=str))
    common = sorted(sizes.values())[len(sizes) // 2]
    chosen = [days[date][0] for date, size in sizes.items() if size != common]
    unsorted = [] if list(days) == sorted(days) else [days[next(iter(days))][0]]
    yield submit((chosen + unsorted)[: opening["expected_row_count"]])


@exploit("message_timing", NOTHING_BUT_LUCK)
def message_timing(opening: Observed) -> Play:
    """Submits the dates whose previews took longest."""
    days = _by_date((yield from all_cells()))
    waits = {}
    for date, rows in days.items():
        started = time.perf_counter()
        yield analyse("preview_submission", rows=rows)
        waits[date] = time.perf_counter() - started
    slowest = sorted(waits, key=lambda date: -waits[date])
    yield submit([days[date][0] for date in slowest[: opening["expected_row_count"]]])
