"""Samples tasks of a split for rollouts whose dataset row selects no task.

A process does not repeat a task until it has played all of them. The order depends on Python's
`random`, which trainers seed: the same seed gives the same tasks. The processes of a distributed
run (`RANK`, `WORLD_SIZE`) sample from disjoint parts of the split.
"""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from openenv_kit.datasets.split_rows import DEFAULT_SPLIT, TaskIndices, TaskRow, find_task_indices
from openenv_kit.environment import Environment, get_environment
from openenv_kit.own_data.product_argument import find_product_of_reset, get_splits_of_reset
from openenv_kit.own_data.product_support import LoadedProduct
from openenv_kit.reset_arguments import PRODUCT, SINGLE_TASK_SELECTORS
from openenv_kit.rollouts.curriculum import RUNG_LEVEL_NAMES, resolve_level_name
from openenv_kit.variables import RANK_VARIABLE, WORLD_SIZE_VARIABLE

LOG = logging.getLogger("openenv_kit.trainers")


class _TaskSource(NamedTuple):
    """Source from which tasks are sampled.

    Attributes:
        environment: name of the environment.
        product: product whose splits are used; None for the environment's own splits.
        split: name of the split.
        level: name of the level; None for all levels.
    """

    environment: str
    product: LoadedProduct | None
    split: str
    level: str | None


_lock = threading.Lock()
_index_iterators: dict[_TaskSource, Iterator[int]] = {}


def has_task_selector(reset_arguments: Mapping[str, Any]) -> bool:
    """Return whether reset arguments select a single task, by task id, seed or index."""
    return any(reset_arguments.get(name) is not None for name in SINGLE_TASK_SELECTORS)


def add_default_split(
    environment: Environment, reset_arguments: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Add the default split to reset arguments that select neither a task, a split nor a level.

    Missing values (None) are dropped. The result determines the tools that a player is offered
    before a task is sampled.
    """
    arguments = {
        name: value for name, value in (reset_arguments or {}).items() if value is not None
    }
    if has_task_selector(arguments) or "split" in arguments or "difficulty" in arguments:
        return arguments
    return {"split": get_default_split(environment), **arguments}


def get_default_split(environment: Environment) -> str:
    """Return the name of the split from which tasks are sampled if no split is given."""
    names = environment.splits.list_playable_split_names()
    return DEFAULT_SPLIT if DEFAULT_SPLIT in names else names[0]


def sample_task_reset_arguments(
    environment: Environment,
    reset_arguments: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> TaskRow:
    """Sample a task that this process has not played yet and return its reset arguments.

    Args:
        environment: the environment.
        reset_arguments: reset arguments that select no task: `split` (see `get_default_split`),
            `difficulty` (level to sample from), and others, which are copied to the result. With
            `product`, a task of the product's splits is sampled.
        seed: seed of this sample; the same seed gives the same task. None for the next task in the
            order of this process.

    Raises:
        UnknownNameError: there is no such split or level.
        ConfigurationError: the product is unknown, or not given by its name.
    """
    arguments = {
        name: value for name, value in (reset_arguments or {}).items() if value is not None
    }
    split = str(arguments.pop("split", get_default_split(environment)))
    difficulty = arguments.pop("difficulty", None)
    splits = get_splits_of_reset(environment, arguments)
    numbered_levels = tuple(getattr(splits, "splits_by_level", {})) or RUNG_LEVEL_NAMES
    level = None if difficulty is None else resolve_level_name(difficulty, numbered_levels)
    product = find_product_of_reset(environment, arguments)
    source = _TaskSource(environment.name, product, split, level)
    tasks = _find_task_indices_cached(source)
    if seed is None:
        index = _take_next_task_index(source, tasks)
    else:
        index = random.Random(seed).choice(tasks.indices)
    return {**splits.task(tasks.split, index).reset_arguments(), **arguments}


@lru_cache(maxsize=64)
def _find_task_indices_cached(source: _TaskSource) -> TaskIndices:
    # Finding the tasks of a level reads the whole split, which takes about a second.
    environment = get_environment(source.environment)
    product_arguments = {} if source.product is None else {PRODUCT.name: source.product.name}
    splits = get_splits_of_reset(environment, product_arguments)
    return find_task_indices(splits, source.split, source.level)


def _take_next_task_index(source: _TaskSource, task_indices: TaskIndices) -> int:
    with _lock:
        if source not in _index_iterators:
            _index_iterators[source] = _iter_endless_shuffled_indices(task_indices)
        return next(_index_iterators[source])


def _iter_endless_shuffled_indices(task_indices: TaskIndices) -> Iterator[int]:
    """Yield the task indices of this process indefinitely, reshuffled after each pass."""
    indices = list(task_indices.indices)
    rank = _read_process_rank()
    if len(indices) >= rank.world_size:
        indices = indices[rank.rank :: rank.world_size]
    order = random.Random(random.getrandbits(64))
    while True:
        order.shuffle(indices)
        yield from indices
        LOG.info(
            "restarted a split after all its tasks were played: %d tasks of %s",
            len(indices),
            task_indices.split,
        )


class _ProcessRank(NamedTuple):
    """Position of this process in a distributed run.

    Attributes:
        rank: number of the process, from 0.
        world_size: number of processes.
    """

    rank: int
    world_size: int


def _read_process_rank() -> _ProcessRank:
    rank, world_size = os.environ.get(RANK_VARIABLE, ""), os.environ.get(WORLD_SIZE_VARIABLE, "")
    if rank.isdecimal() and world_size.isdecimal() and int(rank) < int(world_size):
        return _ProcessRank(int(rank), int(world_size))
    return _ProcessRank(0, 1)


def _discard_index_iterators_after_fork() -> None:
    # A forked process would otherwise play the same tasks as its parent.
    global _lock
    _lock = threading.Lock()
    _index_iterators.clear()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_discard_index_iterators_after_fork)
