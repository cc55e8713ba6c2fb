"""Tasks of a split as plain rows, which is what trainers' datasets are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metric_tracker_rl.engine.config import MAX_SEED
from metric_tracker_rl.engine.session import RESET_ARGUMENTS
from metric_tracker_rl.engine.splits import get_task, num_tasks
from openenv_kit.errors import require_integer

Row = dict[str, Any]


def split_rows(split: str, first: int = 0, count: int | None = None) -> list[Row]:
    """Rows of a split's tasks, in order.

    Args:
        split: name of the split.
        first: index of the first task.
        count: how many; None for all that follow. Fewer come back where the split ends.

    Returns:
        For each task `task` (its name), `level` (its difficulty) and the arguments of its
        reset; never a seed or a label.

    Raises:
        UnknownNameError: there is no such split; names the nearest.
        InvalidValueError: `first` or `count` is no position or number, or a sealed split is
            asked for without its salt.
    """
    size = num_tasks(split)
    require_integer("first", first, 0, size - 1)
    if count is not None:
        size = min(size, first + require_integer("count", count, 1, MAX_SEED))
    tasks = (get_task(split, index) for index in range(first, size))
    return [
        {"task": task.task_id, "level": task.config.difficulty, **task.reset_arguments()}
        for task in tasks
    ]


def reset_arguments(row: Mapping[str, Any]) -> Row:
    """The reset arguments in a dataset row; a column without a value is not one."""
    return {name: row[name] for name in RESET_ARGUMENTS if row.get(name) is not None}
