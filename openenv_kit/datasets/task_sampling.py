"""Draws tasks of a split for rollouts whose dataset names none.

Every draw of a process is another task until the split is used up. The order comes from Python's
`random`, which trainers seed: the same seed gives the same tasks, and a process that nobody seeded
has an order of its own. Ranks of a distributed run (`RANK`, `WORLD_SIZE`) draw from disjoint parts
of the split.
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
from openenv_kit.reset_arguments import SINGLE_TASK_SELECTORS
from openenv_kit.rollouts.curriculum import resolve_level_name

LOG = logging.getLogger("openenv_kit.trainers")

_lock = threading.Lock()
_index_iterators: dict[tuple[str, str, str | None], Iterator[int]] = {}


def has_task_selector(reset_arguments: Mapping[str, Any]) -> bool:
    """Return whether arguments of a reset name one task, so that none has to be drawn."""
    return any(reset_arguments.get(name) is not None for name in SINGLE_TASK_SELECTORS)


def add_default_split(
    environment: Environment, reset_arguments: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return reset arguments with a split, where they name neither a task nor a level.

    They decide which tools a player is offered before a task is drawn.
    """
    arguments = {
        name: value for name, value in (reset_arguments or {}).items() if value is not None
    }
    if has_task_selector(arguments) or "split" in arguments or "difficulty" in arguments:
        return arguments
    return {"split": get_default_split(environment), **arguments}


def get_default_split(environment: Environment) -> str:
    """Return the split that tasks are drawn from where none is named."""
    names = environment.splits.names()
    return DEFAULT_SPLIT if DEFAULT_SPLIT in names else names[0]


def draw_task_reset_arguments(
    environment: Environment,
    reset_arguments: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> TaskRow:
    """Return the reset arguments of a task that this process has not played yet.

    Args:
        environment: whose task.
        reset_arguments: reset arguments that leave the task open: `split`, by default train;
            `difficulty`, the only level to draw from; and modes of play, which are passed on.
        seed: of the draw, where the trainer gives one: the same seed gives the same task.

    Raises:
        UnknownNameError: there is no such split or level; names the nearest.
    """
    arguments = {
        name: value for name, value in (reset_arguments or {}).items() if value is not None
    }
    split = str(arguments.pop("split", get_default_split(environment)))
    difficulty = arguments.pop("difficulty", None)
    level = None if difficulty is None else resolve_level_name(difficulty)
    places = _find_task_indices_cached(environment.name, split, level)
    if seed is None:
        index = _next_task_index(environment.name, places, level)
    else:
        index = random.Random(seed).choice(places.indices)
    return {**environment.splits.task(places.split, index).reset_arguments(), **arguments}


@lru_cache(maxsize=64)
def _find_task_indices_cached(environment_name: str, split: str, level: str | None) -> TaskIndices:
    """Return what `find_task_indices` does, which reads a whole split for a second."""
    return find_task_indices(get_environment(environment_name), split, level)


def _next_task_index(environment_name: str, task_indices: TaskIndices, level: str | None) -> int:
    key = (environment_name, task_indices.split, level)
    with _lock:
        if key not in _index_iterators:
            _index_iterators[key] = _iter_shuffled_indices(task_indices)
        return next(_index_iterators[key])


def _iter_shuffled_indices(task_indices: TaskIndices) -> Iterator[int]:
    """Yield the indices of this process's part of a split, shuffled, again and again."""
    indices = list(task_indices.indices)
    rank = _read_process_rank()
    if len(indices) >= rank.world_size:
        indices = indices[rank.rank :: rank.world_size]
    order = random.Random(random.getrandbits(64))
    while True:
        order.shuffle(indices)
        yield from indices
        LOG.info(
            "all %d tasks of %s were played; they are drawn again", len(indices), task_indices.split
        )


class _ProcessRank(NamedTuple):
    """Number of a process among those of a distributed run."""

    rank: int
    world_size: int


def _read_process_rank() -> _ProcessRank:
    """Return the number of this process and of all of them, as launchers say it."""
    rank, world_size = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    if rank.isdecimal() and world_size.isdecimal() and int(rank) < int(world_size):
        return _ProcessRank(int(rank), int(world_size))
    return _ProcessRank(0, 1)


def _discard_index_iterators() -> None:
    """Draw anew in a forked process, which would otherwise play its parent's tasks."""
    global _lock
    _lock = threading.Lock()
    _index_iterators.clear()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_discard_index_iterators)
