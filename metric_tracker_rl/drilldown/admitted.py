"""Which draw of a shipped task is accepted: a table beside this module.

To find it takes all of acceptance and the reference's play, of every draw before it as well; to
know it saves most of the work. `admit` makes the table by that search. A level whose numbers, or
generator, are not those that its rows were made with is left to the search, as is every seed that
is not shipped.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from importlib.resources import files
from typing import Any

from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.levels import LEVELS
from metric_tracker_rl.drilldown.products import shipped_products
from metric_tracker_rl.drilldown.tasks import PREFIX, SPLITS, TASKS
from metric_tracker_rl.drilldown.versions import GENERATOR_VERSION

FILE = "admitted.json"
SHIPPED = ("train", "validation", "test")
"""Splits that the table knows. The seeds of the sealed one depend on a secret."""
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
"""One for each task of a split: the number of its draw, or `UNKNOWN`."""
UNKNOWN = "-"


def attempt_of(task_id: str, config: DrillConfig) -> int | None:
    """Number of the draw that is accepted, or None where the table does not tell it.

    Args:
        task_id: a named task, or `drill_<split>-<index>`; any other text tells nothing.
        config: what the episode is made from; another than the task's tells nothing either.
    """
    table = _table()
    if table["levels"].get(config.difficulty) != fingerprint(config.difficulty):
        return None
    if TASKS.get(task_id) == config:
        found = table["named"].get(task_id)
        return None if found is None else int(found)
    split, _, place = task_id.rpartition("-")
    row = table["splits"].get(split.removeprefix(PREFIX), "")
    if not place.isdecimal() or int(place) >= len(row):
        return None
    if SPLITS.task(split, int(place)).config != config:
        return None
    attempt = DIGITS.find(row[int(place)])
    return attempt if attempt >= 0 else None


@lru_cache(maxsize=len(LEVELS))
def fingerprint(level: str) -> str:
    """What tells a level's numbers, its products and the generator from any others."""
    told = repr((GENERATOR_VERSION, LEVELS[level], shipped_products(LEVELS[level])))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((files(__package__) / FILE).read_text(encoding="utf-8"))
    return found
