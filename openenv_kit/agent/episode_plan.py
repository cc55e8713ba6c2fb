"""Which episodes a run plays: named tasks, or a range of a split, each some number of times."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from openenv_kit.environment import ERROR, Environment, default_tasks
from openenv_kit.errors import ConfigurationError, require_integer, require_name
from openenv_kit.sealed_split import is_sealed_split

MAX_EPISODES = 100_000
MAX_SEED = 2**64 - 1
CHOSEN = ("episode_id", "task_id", "seed", "split", "index")
"""Reset arguments that name an episode, which are the plan's to choose."""
_RANGE = re.compile(r"(?P<split>[A-Za-z0-9_.-]+):(?P<start>\d*)-(?P<stop>\d*)")


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
    def recording(self) -> str:
        """Name of the file that it is recorded in."""
        return f"{self.label}.jsonl"


def plan(
    environment: Environment,
    tasks: str = "",
    episodes: int = 1,
    seed: int | None = None,
    reset: Mapping[str, Any] | None = None,
) -> list[PlannedEpisode]:
    """The episodes of a run, in order.

    Args:
        environment: whose tasks.
        tasks: comma-separated ids of named tasks, `split:start-stop` (stop not included, either
            end may be omitted), or a mix; empty for the default tasks.
        episodes: plays of each. The first play of a named task has the task's own seed (or
            `seed`), each further one a seed derived from it. A task that fixes its seed, as those
            of splits do, is the same episode in every play.
        seed: seed of the first play of each named task.
        reset: further arguments of every reset; none that names an episode.

    Raises:
        ConfigurationError: an unknown task, split or reset argument, a value that a reset refuses,
            a range outside the split, a bad number.
    """
    require_integer("--episodes", episodes, 1, MAX_EPISODES)
    if seed is not None:
        require_integer("--seed", seed, 0, MAX_SEED)
    allowed = [name for name in environment.reset_arguments if name not in CHOSEN]
    further = dict(reset or {})
    for name in further:
        require_name("--reset", name, allowed)
    names = [part.strip() for part in tasks.split(",") if part.strip()]
    planned: dict[str, PlannedEpisode] = {}
    for name in names or default_tasks(environment):
        for each in _expand(environment, name, episodes, seed):
            if each.label in planned:  # its recording would overwrite the first one's
                twice = f"--tasks has {each.task_id!r} twice"
                raise ConfigurationError(f"{twice}; use --episodes to repeat it.")
            planned[each.label] = replace(each, reset={**each.reset, **further})
    require_integer("number of episodes of --tasks", len(planned), 0, MAX_EPISODES)
    if further:
        _try_reset(environment, next(iter(planned.values())).reset)
    return list(planned.values())


def _try_reset(environment: Environment, reset: Mapping[str, Any]) -> None:
    """Reset once in this process, so that a wrong argument fails before anything is played."""
    if not is_sealed_split(reset.get("split")):  # whose salt the server alone holds
        reply = environment.session().reset(**reset)
        if reply.status == ERROR:
            raise ConfigurationError(f"--reset: {reply.message}")


def _expand(
    environment: Environment, name: str, episodes: int, seed: int | None
) -> Iterator[PlannedEpisode]:
    found = _RANGE.fullmatch(name)
    if found:
        if seed is not None:
            raise ConfigurationError(f"--seed was given with {name}, but a split fixes its seeds.")
        yield from _of_split(environment, found, episodes)
    elif ":" in name:
        raise ConfigurationError(f"--tasks has {name!r}; allowed: a task id, or split:start-stop.")
    else:
        yield from _of_task(environment, name, episodes, seed)


def _of_task(
    environment: Environment, task_id: str, episodes: int, seed: int | None
) -> Iterator[PlannedEpisode]:
    given = environment.tasks[require_name("task_id", task_id, environment.tasks)]
    if seed is not None and "seed" not in given:
        raise ConfigurationError(f"--seed was given, but the task {task_id!r} fixes its seed.")
    first = given.get("seed") if seed is None else seed
    for episode in range(episodes):
        reset: dict[str, Any] = {"task_id": task_id} if "task_id" in given else dict(given)
        if episode and first is not None:
            reset["seed"] = derived_seed(task_id, first, episode)
        elif seed is not None:
            reset["seed"] = seed
        yield PlannedEpisode(task_id, episode, reset)


def derived_seed(task_id: str, first: int, episode: int) -> int:
    """Seed of a task's later plays, the same on every machine."""
    digest = hashlib.sha256(f"{task_id}/{first}/{episode}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _of_split(
    environment: Environment, found: re.Match[str], episodes: int
) -> Iterator[PlannedEpisode]:
    # Only the server, which holds the salt, knows whether the sealed split can be played.
    split, size = found["split"], environment.splits.size(found["split"])
    start = int(found["start"] or 0)
    stop = int(found["stop"] or size)
    if not 0 <= start < stop <= size:
        raise ConfigurationError(
            f"--tasks has {found.string!r}; allowed: 0 <= start < stop <= {size} in {split}."
        )
    for index in range(start, stop):
        for episode in range(episodes):
            reset = {"split": split, "index": index}
            yield PlannedEpisode(f"{split}-{index}", episode, reset)
