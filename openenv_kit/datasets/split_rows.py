"""Tasks of a split as plain rows, which is what trainers' datasets are made of."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openenv_kit.datasets.row_values import (
    parse_json_object,
    require_row_mapping,
    to_int_if_whole,
    to_python_value,
)
from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import InvalidValueError, UnknownNameError, require_integer, require_name
from openenv_kit.rollouts.run_policy import start_session
from openenv_kit.splits import PerLevelSplits

TaskRow = dict[str, Any]
DEFAULT_SPLIT = "train"
"""Split where none is named."""


@dataclass(frozen=True)
class TaskIndices:
    """Where the tasks of a level stand: their indices in a split."""

    split: str
    indices: Sequence[int]


def list_task_rows(
    split: str | None = DEFAULT_SPLIT,
    first: int | None = 0,
    count: int | None = None,
    environment_name: str | None = None,
    extra_reset_arguments: Mapping[str, Any] | None = None,
    level: str | None = None,
) -> list[TaskRow]:
    """Rows of a split's tasks, in order.

    A row holds `environment` and `task` (their names), `level` (its difficulty, if the environment
    tells it) and the arguments of its reset; never a seed or a label.

    Args:
        split: name of the split, by default train; `train_rung_1` is the train split of a rung.
        first: index of the first task.
        count: how many; None for all that follow. Fewer are returned where the split ends.
        environment_name: whose split; None for what ENVIRONMENT names.
        extra_reset_arguments: further arguments of every reset, such as a mode of play.
        level: only tasks of this one, which `first` and `count` then count. A rung's tasks are
            those of a split of its own, `train_rung_1` for `train`.

    Raises:
        UnknownNameError: there is no such environment, split, level or reset argument; names the
            nearest.
        InvalidValueError: `first` or `count` is out of range, the split is sealed and its salt is
            not set, or a reset refuses `reset`, which is tried on the first task.
    """
    chosen = get_environment(to_python_value(environment_name))
    further = {
        require_name("reset argument", name, chosen.reset_arguments): value
        for name, value in parse_json_object("reset", extra_reset_arguments).items()
    }
    split = to_python_value(split)
    places = find_task_indices(
        chosen, DEFAULT_SPLIT if split is None else split, to_python_value(level)
    )
    split, size = places.split, len(places.indices)
    first, count = to_int_if_whole(first), to_int_if_whole(count)
    first = require_integer("first", 0 if first is None else first, 0, size - 1)
    if count is not None:
        size = min(size, first + require_integer("count", count, 1, sys.maxsize))
    rows = []
    for index in places.indices[first:size]:
        task = chosen.splits.task(split, index)
        level_field = {} if task.level is None else {"level": task.level}
        named = {"environment": chosen.name, "task": task.task_id}
        rows.append({**named, **level_field, **task.reset_arguments(), **further})
    if further:
        start_session(chosen, reset_arguments_from_row(rows[0], chosen.name))
    return rows


def find_task_indices(
    environment: Environment, split: str, level: str | None = None
) -> TaskIndices:
    """Return where the tasks of a split stand, or those of one level of it.

    Raises:
        UnknownNameError: there is no such split or level; names the nearest.
    """
    splits = environment.splits
    if not isinstance(split, str):
        raise UnknownNameError("split", split, splits.names())
    rungs: Iterable[str] = ()
    if isinstance(splits, PerLevelSplits) and split in splits.blocks:
        rungs = splits.splits_by_level
        if level is not None and level in splits.splits_by_level:
            split, level = splits.level_split_name(split, level), None
    indices: Sequence[int] = range(splits.size(split))
    if level is not None:
        levels = [splits.task(split, index).level for index in indices]
        require_name("level", level, dict.fromkeys((*filter(None, levels), *rungs)))
        indices = [index for index, each in enumerate(levels) if each == level]
    return TaskIndices(split, indices)


def select_rows_of_rank(rows: Sequence[TaskRow], rank: int, world_size: int) -> list[TaskRow]:
    """Return the rows that one process of a distributed run plays.

    The ranks' rows are disjoint and together all rows. Their numbers differ by one at most.

    Args:
        rows: the rows of the whole run, the same on every rank.
        rank: number of this process, from 0.
        world_size: number of processes.

    Raises:
        InvalidValueError: there is no such rank, or there are fewer rows than ranks.
    """
    world_size = require_integer("world_size", to_int_if_whole(world_size), 1, sys.maxsize)
    rank = require_integer("rank", to_int_if_whole(rank), 0, world_size - 1)
    if len(rows) < world_size:
        raise InvalidValueError(
            "number of rows", len(rows), f"at least one for each of {world_size} ranks"
        )
    return list(rows[rank::world_size])


def reset_arguments_from_row(
    row: Mapping[str, Any] | None, environment_name: str | None = None
) -> TaskRow:
    """The reset arguments in a dataset row; columns without a value are left out.

    They are those of its column `reset`, which `metric-tracker export` writes, or else columns of
    their own. None, NaN and other forms of a missing value count as empty, and numpy's numbers as
    Python's.

    Raises:
        UnknownNameError: the column `reset` has an argument that no reset takes; names the nearest.
        InvalidValueError: the row or its column `reset` is not an object.
    """
    columns = require_row_mapping(row)
    names = get_environment(environment_name).reset_arguments
    nested = parse_json_object("reset", columns.get("reset"))
    if given := [name for name, value in nested.items() if value is not None]:
        for name in given:
            require_name("reset argument", name, names)
        columns = nested
    # A float without a fraction is what a gap in a column makes of an integer.
    read = {
        name: to_int_if_whole(columns.get(name), name)
        if argument.json_type == "integer"
        else to_python_value(columns.get(name))
        for name, argument in names.items()
    }
    return {name: value for name, value in read.items() if value is not None}


def write_rows(path: Path | str, rows: Iterable[TaskRow]) -> int:
    """Write rows as JSON Lines; returns how many."""
    written = 0
    with Path(path).open("w", encoding="utf-8") as lines:
        for row in rows:
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
            written += 1
    return written
