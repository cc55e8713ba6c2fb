"""Lists the tasks of splits as rows, from which trainers build their datasets."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openenv_kit.datasets.row_values import (
    convert_row_to_mapping,
    convert_to_python_value,
    convert_whole_number_to_int,
    parse_json_object_of_column,
)
from openenv_kit.environment import get_environment
from openenv_kit.errors import InvalidValueError, UnknownNameError, require_integer, require_name
from openenv_kit.own_data.product_argument import (
    find_product_of_reset,
    get_product_reset_arguments,
    get_splits_of_reset,
)
from openenv_kit.rollouts.run_policy import start_session
from openenv_kit.splits import HashedSplits, PerLevelSplits, Splits

TaskRow = dict[str, Any]
"""A task as a dataset row: its names, level and reset arguments, by column."""
DEFAULT_SPLIT = "train"
"""Split that is used if none is given."""


@dataclass(frozen=True)
class TaskIndices:
    """Indices of selected tasks in a split.

    Attributes:
        split: name of the split.
        indices: indices of the tasks in the split.
    """

    split: str
    indices: Sequence[int]


def list_task_rows(
    split: str | None = DEFAULT_SPLIT,
    first: int | None = 0,
    count: int | None = None,
    environment_name: str | None = None,
    extra_reset_arguments: Mapping[str, Any] | None = None,
    level: str | None = None,
    product: Path | str | None = None,
) -> list[TaskRow]:
    """Return a row for each task of a split, in order.

    A row contains `environment` and `task` (their names), `level` (if the environment has levels)
    and the arguments of the task's reset. With a product, it also contains `product_digest`. It
    contains neither a seed nor a label.

    Args:
        split: name of the split, by default `train`.
        first: number of the first task, from 0.
        count: number of tasks; None for all remaining tasks. If fewer tasks remain, fewer rows are
            returned.
        environment_name: name of the environment; None for the name in the variable ENVIRONMENT.
        extra_reset_arguments: additional arguments of every reset, such as `profile`.
        level: name of the level whose tasks are returned; `first` and `count` then count the tasks
            of this level. A numbered level has its own splits, such as `train_rung_1`.
        product: product whose splits contain the tasks: path of its file, or its name if the
            variable PRODUCTS lists the file; None for the environment's own splits.

    Raises:
        UnknownNameError: there is no such environment, split, level or reset argument.
        InvalidValueError: `first` or `count` is out of range, the split is sealed and its salt is
            not set, or the reset of the first task with `extra_reset_arguments` was rejected.
        ConfigurationError: the product cannot be used.
    """
    environment = get_environment(convert_to_python_value(environment_name))
    extra_arguments = {
        require_name("reset argument", name, environment.reset_arguments): value
        for name, value in parse_json_object_of_column("reset", extra_reset_arguments).items()
    }
    extra_arguments |= get_product_reset_arguments(environment, product)
    split = convert_to_python_value(split)
    splits = get_splits_of_reset(environment, extra_arguments)
    used_product = find_product_of_reset(environment, extra_arguments)
    product_columns = {} if used_product is None else used_product.row_columns
    tasks = find_task_indices(
        splits, DEFAULT_SPLIT if split is None else split, convert_to_python_value(level)
    )
    end = len(tasks.indices)
    first, count = convert_whole_number_to_int(first), convert_whole_number_to_int(count)
    first = require_integer("first", 0 if first is None else first, 0, end - 1)
    if count is not None:
        end = min(end, first + require_integer("count", count, 1, sys.maxsize))
    rows = []
    for index in tasks.indices[first:end]:
        task = splits.task(tasks.split, index)
        row: TaskRow = {"environment": environment.name, "task": task.task_id}
        if task.level is not None:
            row["level"] = task.level
        rows.append({**row, **task.reset_arguments(), **extra_arguments, **product_columns})
    if extra_arguments:
        start_session(environment, reset_arguments_from_row(rows[0], environment.name))
    return rows


def find_task_indices(splits: Splits, split: str, level: str | None = None) -> TaskIndices:
    """Return the indices of all tasks of a split, or of its tasks of one level.

    Args:
        splits: splits of the environment or of a product.
        split: name of the split.
        level: name of a level; None for all tasks. If the level has its own splits, the result
            names the split of the level.

    Raises:
        UnknownNameError: there is no such split or level.
    """
    if not isinstance(split, str):
        raise UnknownNameError("split", split, splits.list_playable_split_names())
    levels_with_splits: Iterable[str] = ()
    if isinstance(splits, PerLevelSplits) and split in splits.blocks:
        levels_with_splits = splits.splits_by_level
        if level is not None and level in splits.splits_by_level:
            split, level = splits.find_split_name_of_level(split, level), None
    indices: Sequence[int] = range(splits.size(split))
    if level is not None:
        task_levels = [splits.task(split, index).level for index in indices]
        in_order = splits.list_levels() if isinstance(splits, HashedSplits) else []
        found_levels = sorted(
            dict.fromkeys(filter(None, task_levels)),
            key=lambda name: in_order.index(name) if name in in_order else len(in_order),
        )
        require_name("level", level, dict.fromkeys((*found_levels, *levels_with_splits)))
        indices = [index for index, task_level in enumerate(task_levels) if task_level == level]
    return TaskIndices(split, indices)


def select_rows_of_rank(rows: Sequence[TaskRow], rank: int, world_size: int) -> list[TaskRow]:
    """Return the rows that are assigned to one process of a distributed run.

    Each row is assigned to exactly one process. The numbers of rows per process differ by at most
    one.

    Args:
        rows: the rows of the whole run, the same in every process.
        rank: number of this process, from 0.
        world_size: number of processes.

    Raises:
        InvalidValueError: the rank is out of range, or there are fewer rows than processes.
    """
    world_size = require_integer(
        "world_size", convert_whole_number_to_int(world_size), 1, sys.maxsize
    )
    rank = require_integer("rank", convert_whole_number_to_int(rank), 0, world_size - 1)
    if len(rows) < world_size:
        raise InvalidValueError(
            "number of rows", len(rows), f"at least one for each of {world_size} ranks"
        )
    return list(rows[rank::world_size])


def reset_arguments_from_row(
    row: Mapping[str, Any] | None, environment_name: str | None = None
) -> dict[str, Any]:
    """Return the reset arguments in a dataset row.

    The arguments are read from the column `reset`, which `metric-tracker export` writes. If it is
    missing or empty, they are read from columns with the names of the arguments. Columns with a
    missing value, such as None or NaN, are ignored. NumPy values are converted to Python values.

    Args:
        row: the dataset row; None for an empty row.
        environment_name: name of the environment; None for the name in the variable ENVIRONMENT.

    Raises:
        UnknownNameError: the column `reset` contains an unknown argument.
        InvalidValueError: the row or its column `reset` is not an object.
    """
    columns = convert_row_to_mapping(row)
    known_arguments = get_environment(environment_name).reset_arguments
    reset_column = parse_json_object_of_column("reset", columns.get("reset"))
    names_in_column = [name for name, value in reset_column.items() if value is not None]
    if names_in_column:
        for name in names_in_column:
            require_name("reset argument", name, known_arguments)
        columns = reset_column
    arguments = {}
    for name, argument in known_arguments.items():
        if argument.json_type == "integer":
            # A column of integers with a missing value becomes a column of floats.
            value = convert_whole_number_to_int(columns.get(name), name)
        else:
            value = convert_to_python_value(columns.get(name))
        if value is not None:
            arguments[name] = value
    return arguments


def write_rows(path: Path | str, rows: Iterable[TaskRow]) -> int:
    """Write rows to a JSON Lines file and return the number of rows."""
    row_count = 0
    with Path(path).open("w", encoding="utf-8") as lines:
        for row in rows:
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
            row_count += 1
    return row_count
