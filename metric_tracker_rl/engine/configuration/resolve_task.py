"""Determines the task of an episode from the arguments of a reset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.configuration.product_splits import build_product_splits
from metric_tracker_rl.engine.configuration.reset_arguments import (
    ALLOWED_WITH_SPLIT_TEXT,
    ARGUMENTS_ALLOWED_WITH_SPLIT,
    EPISODE_ARGUMENTS,
)
from metric_tracker_rl.engine.configuration.splits import SPLITS, Stratum
from metric_tracker_rl.engine.configuration.tasks import (
    TASKS,
    TaskConfig,
    resolve_named_or_custom_task,
)
from metric_tracker_rl.products.product_registry import find_product
from openenv_kit.errors import InvalidValueError
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.splits import HashedSplits, find_reset_arguments_of_task_id

DEFAULT_SPLIT = "train"
"""Split that is used if a reset has an `index` but no `split`."""


def resolve_task_of_reset_arguments(reset_arguments: Mapping[str, Any]) -> TaskConfig:
    """Return the task id and configuration of the episode that the reset arguments select.

    Args:
        reset_arguments: `split`, `index` or both, or a `task_id` such as `train-7`, optionally with
            `policy` and `product`; otherwise the arguments of `resolve_named_or_custom_task`. Play
            rules are ignored, and None is treated as missing.

    Raises:
        UnknownNameError, InvalidValueError: a value violates the limits of `EpisodeConfig`, or an
            argument that the task of a split determines is passed together with a split.
        ConfigurationError: the product is unknown or invalid.
    """
    reset_arguments = replace_task_id_of_split(reset_arguments)
    split, index = reset_arguments.get("split"), reset_arguments.get("index")
    episode_arguments = {name: reset_arguments.get(name) for name in EPISODE_ARGUMENTS}
    if split is None and index is None:
        return resolve_named_or_custom_task(**episode_arguments)
    for name, value in episode_arguments.items():
        if value is not None and name not in ARGUMENTS_ALLOWED_WITH_SPLIT:
            raise InvalidValueError(name, value, ALLOWED_WITH_SPLIT_TEXT)
    splits = _find_splits(episode_arguments["product"], split)
    task = splits.task(DEFAULT_SPLIT if split is None else split, 0 if index is None else index)
    policy = episode_arguments["policy"]
    return TaskConfig(task.task_id, replace(task.config, policy=policy) if policy else task.config)


def replace_task_id_of_split(reset_arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments with `split` and `index` instead of a task id such as `train-7`.

    Raises:
        InvalidValueError: the id belongs to a sealed split, or a split or an index is given too.
    """
    task_id = reset_arguments.get("task_id")
    selectors = find_reset_arguments_of_task_id(task_id, TASKS)
    if not selectors:
        return reset_arguments
    for name in selectors:
        if reset_arguments.get(name) is not None:
            raise InvalidValueError(name, reset_arguments[name], f"none with task_id {task_id!r}")
    others = {name: value for name, value in reset_arguments.items() if name != "task_id"}
    return {**others, **selectors}


def _find_splits(product: object, split: object) -> HashedSplits[EpisodeConfig, Stratum]:
    """Return the splits of a product, or the built-in splits if no product is given.

    Args:
        product: value of the reset argument `product`. If the split is sealed (its tasks can be
            generated only by the server), this must be the name of a product registered on the
            server, so that participants cannot pass a product that makes the tasks easy.
        split: value of the reset argument `split`.

    Raises:
        InvalidValueError: the split is sealed and the product is not given by name, or the product
            has no enabled level.
        ConfigurationError: the product is unknown or invalid.
    """
    if product is None:
        return SPLITS
    if is_sealed_split(split) and not isinstance(product, str):
        raise InvalidValueError("product", product, "the name of a product on a sealed split")
    return build_product_splits(find_product(product))
