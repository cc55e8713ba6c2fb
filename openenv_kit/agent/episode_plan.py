"""Which episodes a run plays: named tasks, or a range of a split, each some number of times."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from openenv_kit.environment import Environment, default_task_names
from openenv_kit.errors import ConfigurationError, require_integer, require_name
from openenv_kit.reply import ReplyStatus
from openenv_kit.reset_arguments import Role, names_with_roles
from openenv_kit.sealed_split import is_sealed_split

MAX_EPISODES = 100_000
MAX_SEED = 2**64 - 1
_SPLIT_RANGE_PATTERN = re.compile(r"(?P<split>[A-Za-z0-9_.-]+):(?P<start>\d*)-(?P<stop>\d*)")


@dataclass(frozen=True)
class PlannedEpisode:
    """One episode to play; `episode` is 0 for the first play of the task, 1 for its second."""

    task_id: str
    episode: int
    reset: dict[str, Any]

    @property
    def label(self) -> str:
        """Unique within the run."""
        return f"{self.task_id}-e{self.episode}" if self.episode else self.task_id

    @property
    def recording_filename(self) -> str:
        """Name of the file that it is recorded in."""
        return f"{self.label}.jsonl"


def plan_episodes(
    environment: Environment,
    task_list: str = "",
    episodes_per_task: int = 1,
    first_seed: int | None = None,
    extra_reset_arguments: Mapping[str, Any] | None = None,
) -> list[PlannedEpisode]:
    """The episodes of a run, in order.

    Args:
        environment: whose tasks.
        task_list: comma-separated ids of named tasks, `split:start-stop` (stop not included, either
            end may be omitted), or a mix; empty for the default tasks.
        episodes_per_task: plays of each. The first play of a named task has the task's own seed (or
            `seed`), each further one a seed derived from it. A task that fixes its seed, as those
            of splits do, is the same episode in every play.
        first_seed: seed of the first play of each named task.
        extra_reset_arguments: further arguments of every reset; none that names an episode.

    Raises:
        ConfigurationError: an unknown task, split or reset argument, a value that a reset refuses,
            a range outside the split, a bad number.
    """
    require_integer("--episodes", episodes_per_task, 1, MAX_EPISODES)
    if first_seed is not None:
        require_integer("--seed", first_seed, 0, MAX_SEED)
    selectors = names_with_roles(environment.reset_arguments, Role.TASK, Role.SEED)
    allowed = [name for name in environment.reset_arguments if name not in selectors]
    further = dict(extra_reset_arguments or {})
    for name in further:
        require_name("--reset", name, allowed)
    names = [part.strip() for part in task_list.split(",") if part.strip()]
    planned: dict[str, PlannedEpisode] = {}
    for name in names or default_task_names(environment):
        for each in _plan_task_list_entry(environment, name, episodes_per_task, first_seed):
            if each.label in planned:  # its recording would overwrite the first one's
                twice = f"--tasks has {each.task_id!r} twice"
                raise ConfigurationError(f"{twice}; use --episodes to repeat it.")
            planned[each.label] = replace(each, reset={**each.reset, **further})
    require_integer("number of episodes of --tasks", len(planned), 0, MAX_EPISODES)
    if further:
        _check_reset_arguments(environment, next(iter(planned.values())).reset)
    return list(planned.values())


def _check_reset_arguments(environment: Environment, reset_arguments: Mapping[str, Any]) -> None:
    """Reset once in this process, so that a wrong argument fails before anything is played."""
    if not is_sealed_split(reset_arguments.get("split")):  # whose salt the server alone holds
        reply = environment.create_session().reset(**reset_arguments)
        if reply.status == ReplyStatus.ERROR:
            raise ConfigurationError(f"--reset: {reply.message}")


def _plan_task_list_entry(
    environment: Environment, entry: str, episodes_per_task: int, first_seed: int | None
) -> Iterator[PlannedEpisode]:
    found = _SPLIT_RANGE_PATTERN.fullmatch(entry)
    if found:
        if first_seed is not None:
            raise ConfigurationError(f"--seed was given with {entry}, but a split fixes its seeds.")
        yield from _plan_split_range(environment, found, episodes_per_task)
    elif ":" in entry:
        raise ConfigurationError(f"--tasks has {entry!r}; allowed: a task id, or split:start-stop.")
    else:
        yield from _plan_task(environment, entry, episodes_per_task, first_seed)


def _plan_task(
    environment: Environment, task_id: str, episodes_per_task: int, first_seed: int | None
) -> Iterator[PlannedEpisode]:
    given = environment.tasks[require_name("task_id", task_id, environment.tasks)]
    if first_seed is not None and "seed" not in given:
        raise ConfigurationError(f"--seed was given, but the task {task_id!r} fixes its seed.")
    first = given.get("seed") if first_seed is None else first_seed
    for episode in range(episodes_per_task):
        reset: dict[str, Any] = {"task_id": task_id} if "task_id" in given else dict(given)
        if episode and first is not None:
            reset["seed"] = derive_seed(task_id, first, episode)
        elif first_seed is not None:
            reset["seed"] = first_seed
        yield PlannedEpisode(task_id, episode, reset)


def derive_seed(task_id: str, first_seed: int, repetition: int) -> int:
    """Seed of a task's later plays, the same on every machine."""
    digest = hashlib.sha256(f"{task_id}/{first_seed}/{repetition}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _plan_split_range(
    environment: Environment, range_match: re.Match[str], episodes_per_task: int
) -> Iterator[PlannedEpisode]:
    # Only the server, which holds the salt, knows whether the sealed split can be played.
    split, size = range_match["split"], environment.splits.size(range_match["split"])
    start = int(range_match["start"] or 0)
    stop = int(range_match["stop"] or size)
    if not 0 <= start < stop <= size:
        raise ConfigurationError(
            f"--tasks has {range_match.string!r}; allowed: 0 <= start < stop <= {size} in {split}."
        )
    for index in range(start, stop):
        for episode in range(episodes_per_task):
            reset = {"split": split, "index": index}
            yield PlannedEpisode(f"{split}-{index}", episode, reset)
