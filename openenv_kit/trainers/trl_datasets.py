"""Datasets for TRL, with a prompt for each task. This module needs the datasets package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openenv_kit.datasets.split_rows import DEFAULT_SPLIT, TaskRow, list_task_rows
from openenv_kit.environment import get_environment
from openenv_kit.errors import InvalidValueError
from openenv_kit.trainers import explain_missing_package

if TYPE_CHECKING:
    import datasets


def build_dataset(
    split: str | None = DEFAULT_SPLIT,
    first: int | None = 0,
    count: int | None = None,
    environment: str | None = None,
    reset: Mapping[str, Any] | None = None,
    level: str | None = None,
    product: Path | str | None = None,
) -> datasets.Dataset:
    """Return a dataset with a column `prompt` and the columns of `list_task_rows`.

    `list_task_rows` also describes the parameters.
    """
    return build_dataset_from_rows(
        list_task_rows(split, first, count, environment, reset, level, product), environment
    )


def build_dataset_from_rows(
    rows: Sequence[TaskRow],
    environment: str | None = None,
    system_prompt_reset: Mapping[str, Any] | None = None,
) -> datasets.Dataset:
    """Build a dataset from rows, such as a subset of the rows of `list_task_rows`.

    All rows get the same system prompt.

    Args:
        rows: rows of the dataset.
        environment: name of the environment.
        system_prompt_reset: reset arguments of the episode whose system prompt is used; None for
            the first row.

    Raises:
        InvalidValueError: there are no rows.
    """
    with explain_missing_package("openenv-metric-tracker-rl[trl]"):
        from datasets import Dataset

    if not rows:
        raise InvalidValueError("rows", rows, "at least one row")
    system_prompt = get_environment(environment).build_system_prompt(system_prompt_reset or rows[0])
    prompt = [{"role": "system", "content": system_prompt}, {"role": "user", "content": ""}]
    return Dataset.from_list([{"prompt": prompt, **row} for row in rows])


def build_eval_datasets(
    split: str | None = "validation",
    count: int | None = None,
    environment: str | None = None,
    reset: Mapping[str, Any] | None = None,
    levels: Sequence[str] | None = None,
    product: Path | str | None = None,
) -> dict[str, datasets.Dataset]:
    """Build a dataset for each level, for `GRPOTrainer(eval_dataset=…)`.

    TRL logs `eval_reward` under one name for all datasets. `RolloutMonitor` adds the mean score of
    each level, such as `eval_rollouts/mean_score/easy`.

    Args:
        split: name of the split.
        count: number of tasks of each level; None for all.
        environment: name of the environment.
        reset: additional arguments of every reset.
        levels: names of levels; None for every level of the split.
        product: see `list_task_rows`.

    Raises:
        UnknownNameError, InvalidValueError: see `list_task_rows`.
    """
    split = "validation" if split is None else split
    if levels is None:
        rows = list_task_rows(split, 0, None, environment, product=product)
        levels = list(dict.fromkeys(row["level"] for row in rows if "level" in row))
    return {
        level: build_dataset(split, 0, count, environment, reset, level, product)
        for level in levels
    }
