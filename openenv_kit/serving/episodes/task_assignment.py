"""Assigns tasks to sessions that request no particular episode."""

from __future__ import annotations

import hmac
from functools import lru_cache
from typing import Any, NamedTuple

from openenv_kit.environment import Environment
from openenv_kit.serving.store.interface import EpisodeStore

SCORE_ONLY_ARGUMENTS = {"feedback": "score"}
"""Reset arguments that are added to assigned tasks if the environment supports them. The last reply
then contains the score, but not the grade of each row."""


class AssignedTask(NamedTuple):
    """A task that was assigned to a session.

    Attributes:
        split_key: `ENVIRONMENT/SPLIT`.
        task_index: index of the task in its split.
    """

    split_key: str
    task_index: int


class TaskAssignment(NamedTuple):
    """An assigned task, and the reset arguments that start an episode of the task."""

    task: AssignedTask
    reset_arguments: dict[str, Any]


class SplitUsedUpError(LookupError):
    """All tasks of the split have been assigned to sessions."""

    def __init__(self, split: str, task_count: int) -> None:
        super().__init__(
            f"All {task_count} tasks of the split {split!r} were assigned, and each is assigned "
            "only once. Reset an episode and attach with ?player_id=, or set "
            "OPENENV_KIT_MCP_SPLIT of the server to another split."
        )


async def reserve_next_unassigned_task(
    environment: Environment, store: EpisodeStore, split: str
) -> TaskAssignment:
    """Reserve the next task of a split that has not been assigned yet.

    Raises:
        SplitUsedUpError: all tasks of the split were assigned.
        ConfigurationError: the environment has no such split.
    """
    task_count = environment.splits.size(split)
    split_key = f"{environment.name}/{split}"
    task_order = shuffle_task_indices(await store.get_secret(), split_key, task_count)
    task_index = await store.reserve_first_free_task(split_key, task_order)
    if task_index is None:
        raise SplitUsedUpError(split, task_count)
    reset_arguments = environment.splits.task(split, task_index).reset_arguments()
    if SCORE_ONLY_ARGUMENTS.keys() <= set(environment.reset_arguments):
        reset_arguments = {**reset_arguments, **SCORE_ONLY_ARGUMENTS}
    return TaskAssignment(AssignedTask(split_key, task_index), reset_arguments)


@lru_cache(maxsize=16)
def shuffle_task_indices(secret: str, split_key: str, task_count: int) -> tuple[int, ...]:
    """Return the task indices of a split, shuffled with the store's secret."""
    key = secret.encode()
    sort_keys = [
        hmac.digest(key, f"{split_key}|{index}".encode(), "sha256") for index in range(task_count)
    ]
    return tuple(sorted(range(task_count), key=sort_keys.__getitem__))
