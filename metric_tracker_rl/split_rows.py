"""Tasks of a split as plain rows, which is what trainers' datasets are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metric_tracker_rl.splits import get_task, num_tasks

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
