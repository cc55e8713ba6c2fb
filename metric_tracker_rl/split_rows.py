"""Tasks of a split as plain rows, which is what trainers' datasets are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

try:
    from metric_tracker_rl.splits import get_task, num_tasks
except ImportError:  # SEAM: until splits.py lands
    from dataclasses import dataclass

    from metric_tracker_rl.config import EpisodeConfig

    @dataclass(frozen=True)
    class _Task:
        task_id: str
        config: EpisodeConfig

        def reset_arguments(self) -> dict[str, Any]:
            c = self.config
            return {
                "seed": c.seed,
                "difficulty": c.difficulty,
                "scenario_family": c.scenario_family,
                "anomaly_count": c.anomaly_count,
            }

    _BASE = {"train": 10**6, "validation": 2 * 10**6, "test": 3 * 10**6}

    def num_tasks(split: str) -> int:
        return {"train": 2000, "validation": 200, "test": 200}[split]

    def get_task(split: str, index: int) -> Any:
        level = ("easy", "medium", "hard")[index % 3]
        count = 1 + (index // 3) % 5
        config = EpisodeConfig(_BASE[split] + index, "mixed", level, "low", count)
        return _Task(f"{split}-{index}", config)


Row = dict[str, Any]


def split_rows(split: str, first: int = 0, count: int | None = None) -> list[Row]:
    """Rows of a split's tasks: `task` (the task's name) and the arguments of its reset.

    Args:
        split: name of the split.
        first: index of the first task.
        count: how many; None for all that follow. Fewer come back where the split ends.
    """
    return list(_rows(split, first, count))


def _rows(split: str, first: int, count: int | None) -> Iterator[Row]:
    stop = num_tasks(split)
    if count is not None:
        stop = min(stop, first + count)
    for index in range(first, stop):
        task = get_task(split, index)
        yield {"task": task.task_id, **task.reset_arguments()}
