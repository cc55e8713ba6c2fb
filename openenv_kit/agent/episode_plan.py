"""Plans the episodes of a run: named tasks or ranges of splits, each played once or more."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from openenv_kit.datasets.split_rows import find_task_indices
from openenv_kit.environment import DEFAULT_TASK_COUNT, Environment, list_default_task_names
from openenv_kit.errors import ConfigurationError, require_integer, require_name
from openenv_kit.own_data.product_argument import get_splits_of_reset
from openenv_kit.reply import ReplyStatus
from openenv_kit.reset_arguments import ArgumentRole, select_argument_names_by_role
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.splits import Splits, find_reset_arguments_of_task_id

MAX_EPISODES = 100_000
MAX_SEED = 2**64 - 1
_SPLIT_RANGE_PATTERN = re.compile(r"(?P<split>[A-Za-z0-9_.-]+):(?P<start>\d*)-(?P<stop>\d*)")


@dataclass(frozen=True)
class PlannedEpisode:
    """An episode of the run, which was played or will be played.

    Attributes:
        task_id: id of the task.
        episode: 0 for the first episode of the task in this run, 1 for the second, and so on.
        reset: arguments of the episode's reset.
    """

    task_id: str
    episode: int
    reset: dict[str, Any]

    @property
    def unique_label(self) -> str:
        """Name of the episode, unique within the run."""
        return f"{self.task_id}-e{self.episode}" if self.episode else self.task_id

    @property
    def recording_filename(self) -> str:
        """File name of the episode's recording."""
        return f"{self.unique_label}.jsonl"


def plan_episodes(
    environment: Environment,
    task_list: str = "",
    episodes_per_task: int = 1,
    first_seed: int | None = None,
    extra_reset_arguments: Mapping[str, Any] | None = None,
    level: str | None = None,
) -> list[PlannedEpisode]:
    """Return the episodes of a run, in order.

    Args:
        environment: environment of the tasks.
        task_list: comma-separated ids of named tasks, `split:start-stop` (stop not included, either
            end may be omitted), or a mix; empty for the default tasks.
        episodes_per_task: number of episodes of each task. The first episode of a named task has
            the task's own seed (or `first_seed`), and later episodes have seeds derived from this
            seed. Tasks with a fixed seed, such as tasks of splits, are repeated unchanged.
        first_seed: seed of the first episode of each named task.
        extra_reset_arguments: additional arguments of every reset. Arguments that select an episode
            are not allowed. With `product`, the splits are those of the product.
        level: name of the level whose tasks are played; the numbers of a range then count the tasks
            of this level. None for all levels.

    Raises:
        ConfigurationError: a task, a split or a reset argument is unknown, a reset rejects a value,
            a range exceeds the split, or a number is out of range.
    """
    require_integer("--episodes", episodes_per_task, 1, MAX_EPISODES)
    if first_seed is not None:
        require_integer("--seed", first_seed, 0, MAX_SEED)
    # The planner sets the arguments that select the episode, so `--reset` must not.
    selectors = select_argument_names_by_role(
        environment.reset_arguments, ArgumentRole.TASK, ArgumentRole.SEED
    )
    allowed = [name for name in environment.reset_arguments if name not in selectors]
    extra_arguments = dict(extra_reset_arguments or {})
    for name in extra_arguments:
        require_name("--reset", name, allowed)
    entries = [part.strip() for part in task_list.split(",") if part.strip()]
    planned_by_label: dict[str, PlannedEpisode] = {}
    splits = get_splits_of_reset(environment, extra_arguments)
    if not entries and (level is not None or splits is not environment.splits):
        entries = [f"{splits.list_playable_split_names()[0]}:0-{DEFAULT_TASK_COUNT}"]
    source = _TaskSource(environment, splits, level)
    for entry in entries or list_default_task_names(environment):
        for planned in _plan_episodes_of_task_list_entry(
            source, entry, episodes_per_task, first_seed
        ):
            # The recording of a repeated episode would overwrite the first one's.
            if planned.unique_label in planned_by_label:
                raise ConfigurationError(
                    f"--tasks has {planned.task_id!r} twice; use --episodes to repeat it."
                )
            planned_by_label[planned.unique_label] = replace(
                planned, reset={**planned.reset, **extra_arguments}
            )
    require_integer("number of episodes of --tasks", len(planned_by_label), 0, MAX_EPISODES)
    if extra_arguments:
        _validate_arguments_by_trial_reset(environment, next(iter(planned_by_label.values())).reset)
    return list(planned_by_label.values())


def _validate_arguments_by_trial_reset(
    environment: Environment, reset_arguments: Mapping[str, Any]
) -> None:
    """Reset once in this process, so that an invalid argument fails before the run starts."""
    if not is_sealed_split(reset_arguments.get("split")):  # only the server has the salt
        reply = environment.create_session().reset(**reset_arguments)
        if reply.status == ReplyStatus.ERROR:
            raise ConfigurationError(f"--reset: {reply.message}")


class _TaskSource(NamedTuple):
    """Where the tasks of a run come from.

    Attributes:
        environment: environment of the named tasks.
        splits: splits of the environment, or of a product.
        level: name of the level whose tasks are played; None for all levels.
    """

    environment: Environment
    splits: Splits
    level: str | None


def _plan_episodes_of_task_list_entry(
    source: _TaskSource, entry: str, episodes_per_task: int, first_seed: int | None
) -> Iterator[PlannedEpisode]:
    """Yield the episodes of one entry of `--tasks`: a task id or a range of a split.

    A task id is the id of a named task, or `<split>-<index>`.
    """
    selectors = find_reset_arguments_of_task_id(
        entry, source.environment.reset_arguments_by_task_id
    )
    if selectors:
        split, index = selectors["split"], selectors["index"]
        entry = f"{split}:{index}-{index + 1}"
    range_match = _SPLIT_RANGE_PATTERN.fullmatch(entry)
    if range_match:
        if first_seed is not None:
            raise ConfigurationError(f"--seed was given with {entry}, but a split fixes its seeds.")
        yield from _plan_episodes_of_split_range(source, range_match, episodes_per_task)
    elif ":" in entry:
        raise ConfigurationError(f"--tasks has {entry!r}; allowed: a task id, or split:start-stop.")
    elif source.level is not None:
        raise ConfigurationError(
            f"--level was given with the task {entry!r}; allowed: with split:start-stop."
        )
    else:
        yield from _plan_episodes_of_named_task(
            source.environment, entry, episodes_per_task, first_seed
        )


def _plan_episodes_of_named_task(
    environment: Environment, task_id: str, episodes_per_task: int, first_seed: int | None
) -> Iterator[PlannedEpisode]:
    arguments = environment.reset_arguments_by_task_id[
        require_name("task_id", task_id, environment.reset_arguments_by_task_id)
    ]
    if first_seed is not None and "seed" not in arguments:
        raise ConfigurationError(f"--seed was given, but the task {task_id!r} fixes its seed.")
    seed = arguments.get("seed") if first_seed is None else first_seed
    for episode in range(episodes_per_task):
        reset: dict[str, Any] = {"task_id": task_id} if "task_id" in arguments else dict(arguments)
        if episode and seed is not None:
            reset["seed"] = derive_seed_of_repetition(task_id, seed, episode)
        elif first_seed is not None:
            reset["seed"] = first_seed
        yield PlannedEpisode(task_id, episode, reset)


def derive_seed_of_repetition(task_id: str, first_seed: int, repetition: int) -> int:
    """Derive the seed for a repetition of a task. The result is the same on every machine."""
    digest = hashlib.sha256(f"{task_id}/{first_seed}/{repetition}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _plan_episodes_of_split_range(
    source: _TaskSource, range_match: re.Match[str], episodes_per_task: int
) -> Iterator[PlannedEpisode]:
    # The server, which has the salt, decides whether the sealed split can be played.
    tasks = find_task_indices(source.splits, range_match["split"], source.level)
    split, size = tasks.split, len(tasks.indices)
    start = int(range_match["start"] or 0)
    stop = int(range_match["stop"] or size)
    if not 0 <= start < stop <= size:
        raise ConfigurationError(
            f"--tasks has {range_match.string!r}; allowed: 0 <= start < stop <= {size} in {split}."
        )
    for index in tasks.indices[start:stop]:
        for episode in range(episodes_per_task):
            reset = {"split": split, "index": index}
            yield PlannedEpisode(f"{split}-{index}", episode, reset)
