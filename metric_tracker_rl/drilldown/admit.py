"""Make the table of accepted draws: `python -m metric_tracker_rl.drilldown.admit [level …]`.

Only levels are searched whose numbers, or generator, are not those that the table was made with; it
is written after each of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Any

from metric_tracker_rl.drilldown.admitted import DIGITS, FILE, SHIPPED, UNKNOWN, fingerprint
from metric_tracker_rl.drilldown.building import generate
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.levels import LEVELS
from metric_tracker_rl.drilldown.tasks import PREFIX, SPLITS, TASKS
from openenv_kit.errors import require_name

PATH = Path(__file__).with_name(FILE)
Table = dict[str, Any]


def searched(config: DrillConfig) -> int:
    """Number of the first draw that is accepted and solved, by the whole search."""
    return generate(config)[0].draws - 1


def _configurations(split: str) -> list[DrillConfig]:
    return [SPLITS.task(split, index).config for index in range(SPLITS.size(split))]


def admit(levels: Sequence[str], pool: Executor) -> None:
    """Bring some levels of the table up to date."""
    table: Table = {"levels": {}, "named": {}, "splits": {}}
    if PATH.exists():
        table = json.loads(PATH.read_text(encoding="utf-8"))
    splits = {name: _configurations(PREFIX + name) for name in SHIPPED}
    for level in levels:
        if table["levels"].get(level) == fingerprint(level):
            continue
        named = {name: config for name, config in TASKS.items() if config.difficulty == level}
        table["named"] |= dict(zip(named, pool.map(searched, named.values()), strict=True))
        for name, configs in splits.items():
            row = list(table["splits"].get(name, UNKNOWN * len(configs)))
            places = [place for place, each in enumerate(configs) if each.difficulty == level]
            attempts = pool.map(searched, [configs[place] for place in places], chunksize=16)
            for place, attempt in zip(places, attempts, strict=True):
                row[place] = DIGITS[attempt] if attempt < len(DIGITS) else UNKNOWN
            table["splits"][name] = "".join(row)
        table["levels"][level] = fingerprint(level)
        PATH.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{level}: {sum(map(len, splits.values())) // len(LEVELS):,} tasks", flush=True)


if __name__ == "__main__":
    chosen = [require_name("level", name, LEVELS) for name in sys.argv[1:]] or list(LEVELS)
    with ProcessPoolExecutor() as processes:
        admit(chosen, processes)
