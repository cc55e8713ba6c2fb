"""Windows of a product whose rows can be worked out by hand, and their labels.

Every ordinary day of the hourly window has, in hours 8 to 19 and in the other hours,
120 and 40 visits, 60 and 20 carts, 30 and 10 orders, 15 and 5 payments. That makes 1,920 visits,
960 carts, 480 orders and 240 payments; each step rate is 50 %, the daytime share 0.75.
One changed day of four on its weekday leaves the weekday's median at the ordinary value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from support.product_labels import ReportRow, label_window
from support.product_windows import CalendarEntry

STAGES = ("visits", "carts", "orders", "payments")
DATES = [(date(2030, 1, 7) + timedelta(days=day)).isoformat() for day in range(28)]
DAYTIME = slice(8, 20)
CHANGED = 16
CHANGED_DATE = "2030-01-23"

Counts = npt.NDArray[np.int64]


def make_product(
    stages: Sequence[str] = STAGES, grain: str = "hour", **changes: Any
) -> dict[str, Any]:
    """Return the keys of a product file that a labeller needs; `changes` replace some of them.

    Thresholds: 20 % for the first count, 25 % for the others, 15 % for rates and composites,
    0.05 for the daytime share. No weekday is closed.
    """
    first = {"name": stages[0], "threshold": 0.2, "weekday": [1.0] * 7}
    rates = [{"name": f"{a}_to_{b}", "threshold": 0.15} for a, b in pairwise(stages)]
    share = [{"name": f"{stages[0]}:daytime_share", "threshold": 0.05}] if grain == "hour" else []
    later_counts = dict.fromkeys(stages[1:], 0.25)
    composites = {f"{stages[0]}_to_{stage}": 0.15 for stage in stages[2:]}
    product: dict[str, Any] = {
        "stages": list(stages),
        "grain": grain,
        "impossible_counts": grain,
        "series": [first, *rates, *share],
        "thresholds": later_counts | composites,
    }
    if grain == "hour":
        product["daytime"] = [8, 20]
    return product | changes


def make_hourly_window() -> Counts:
    """Return 28 ordinary days of 24 hours and four stages."""
    counts = np.zeros((28, 24, 4), dtype=np.int64)
    counts[:] = [40, 20, 10, 5]
    counts[:, DAYTIME] = [120, 60, 30, 15]
    return counts


def make_daily_window(*day_counts: int) -> Counts:
    """Return 28 days with the same counts, one per stage."""
    return np.tile(np.array(day_counts, dtype=np.int64), (28, 1, 1))


def label_hourly(
    counts: Counts,
    level_factor: float = 1.0,
    calendar: Sequence[CalendarEntry] = (),
    **changes: Any,
) -> list[ReportRow]:
    """Label an hourly window of visits, carts, orders and payments."""
    return label_window(counts, DATES, make_product(**changes), level_factor, calendar)


def label_daily(
    counts: Counts,
    level_factor: float = 1.0,
    calendar: Sequence[CalendarEntry] = (),
    **changes: Any,
) -> list[ReportRow]:
    """Label a daily window; its stages are named s0, s1 and so on."""
    stages = [f"s{stage}" for stage in range(counts.shape[2])]
    product = make_product(stages, "day", **changes)
    return label_window(counts, DATES, product, level_factor, calendar)


def names_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the entity names of rows."""
    return [row["entity_name"] for row in rows]
