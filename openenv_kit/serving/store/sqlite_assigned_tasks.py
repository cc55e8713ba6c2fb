"""Assigned tasks in the SQLite store. The functions are called within a transaction."""

from __future__ import annotations

import math
from collections.abc import Sequence

from openenv_kit.serving.store.interface import TaskIndex
from openenv_kit.serving.store.sqlite_database import SqliteDatabase


def reserve_first_free_task(
    database: SqliteDatabase, split_key: str, task_order: Sequence[int], duration_s: float
) -> TaskIndex | None:
    """Reserve the first unreserved task for a limited time.

    Args:
        database: database of the store.
        split_key: environment and split.
        task_order: indices of the tasks, in the order in which they are assigned.
        duration_s: seconds for which the task stays reserved.

    Returns:
        The index of the task, or None if all tasks are reserved.
    """
    now_s = database.get_store_time_s()
    database.execute_without_result("DELETE FROM assigned_tasks WHERE reserved_until_s <= ?", now_s)
    query = "SELECT task_index FROM assigned_tasks WHERE split_key = ?"
    reserved = {task_index for (task_index,) in database.fetch_rows(query, split_key)}
    for task_index in task_order:
        if task_index not in reserved:
            _reserve_task_until(database, split_key, task_index, now_s + duration_s)
            return task_index
    return None


def confirm_or_release_task(
    database: SqliteDatabase, split_key: str, task_index: int, *, is_played: bool
) -> None:
    """Reserve a task permanently if it was played, or else release it."""
    if is_played:
        _reserve_task_until(database, split_key, task_index, math.inf)
        return
    database.execute_without_result(
        "DELETE FROM assigned_tasks "
        "WHERE split_key = ? AND task_index = ? AND reserved_until_s < ?",
        split_key,
        task_index,
        math.inf,
    )


def _reserve_task_until(
    database: SqliteDatabase, split_key: str, task_index: int, reserved_until_s: float
) -> None:
    database.execute_without_result(
        "INSERT OR REPLACE INTO assigned_tasks VALUES (?, ?, ?)",
        split_key,
        task_index,
        reserved_until_s,
    )
