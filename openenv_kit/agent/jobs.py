"""Which episodes a run plays: named tasks, or a range of a split, each some number of times."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from openenv_kit.environment import Environment
from openenv_kit.errors import (
    ConfigurationError,
    SettingsError,
    UnknownNameError,
    require_integer,
)

MAX_EPISODES = 100_000
MAX_SEED = 2**64 - 1
_RANGE = re.compile(r"(?P<split>[A-Za-z0-9_.-]+):(?P<start>\d*)-(?P<stop>\d*)")


@dataclass(frozen=True)
class Job:
    """One episode to play.

    Attributes:
        task_id: name of the task, as printed.
        episode: 0 for the first play of the task, 1 for its second, and so on.
        reset: arguments of the reset.
    """

    task_id: str
    episode: int
    reset: dict[str, Any]

    @property
    def label(self) -> str:
        """Name that is unique within the run."""
        return f"{self.task_id}-e{self.episode}" if self.episode else self.task_id


def plan(
    environment: Environment, tasks: str = "", episodes: int = 1, seed: int | None = None
) -> list[Job]:
    """The episodes of a run, in order.

    Args:
        environment: whose tasks.
        tasks: comma-separated ids of named tasks, `split:start-stop` (stop not included, either
            end may be left out), or a mix; empty for the default tasks.
        episodes: plays of each. The first play of a named task has the task's own seed (or
            `seed`), each further one a seed derived from it. The episodes of a split are fixed:
            each play of one is the same episode.
        seed: seed of the first play of each named task.

    Raises:
        SettingsError: an unknown task or split, a range outside the split, a bad number.
    """
    try:
        require_integer("--episodes", episodes, 1, MAX_EPISODES)
        if seed is not None:
            require_integer("--seed", seed, 0, MAX_SEED)
        names = [part.strip() for part in tasks.split(",") if part.strip()]
        jobs: list[Job] = []
        for name in names or environment.default_tasks:
            jobs.extend(_expand(environment, name, episodes, seed))
        _refuse_repeats(jobs)
    except ConfigurationError as problem:
        raise SettingsError(str(problem)) from None
    if len(jobs) > MAX_EPISODES:
        raise SettingsError(f"--tasks asks for {len(jobs)} episodes; allowed: {MAX_EPISODES}.")
    return jobs


def _refuse_repeats(jobs: list[Job]) -> None:
    """A task named twice would write its recording and its results over the first ones."""
    seen: set[str] = set()
    for job in jobs:
        if job.label in seen:
            raise SettingsError(f"--tasks has {job.task_id!r} twice; use --episodes to repeat it.")
        seen.add(job.label)


def _expand(environment: Environment, name: str, episodes: int, seed: int | None) -> Iterator[Job]:
    found = _RANGE.fullmatch(name)
    if found:
        if seed is not None:
            raise SettingsError(f"--seed was given with {name}, but a split fixes its seeds.")
        yield from _split_jobs(environment, found, episodes)
    elif ":" in name:
        raise SettingsError(f"--tasks has {name!r}; allowed: a task id, or split:start-stop.")
    else:
        yield from _task_jobs(environment, name, episodes, seed)


def _task_jobs(
    environment: Environment, task_id: str, episodes: int, seed: int | None
) -> Iterator[Job]:
    if task_id not in environment.tasks:
        raise UnknownNameError("task_id", task_id, environment.tasks)
    first = environment.tasks[task_id]["seed"] if seed is None else seed
    for episode in range(episodes):
        reset: dict[str, Any] = {"task_id": task_id}
        if episode:
            reset["seed"] = derived_seed(task_id, first, episode)
        elif seed is not None:
            reset["seed"] = seed
        yield Job(task_id, episode, reset)


def derived_seed(task_id: str, first: int, episode: int) -> int:
    """Seed of a task's later plays: the same ones for the same first seed, on every machine."""
    digest = hashlib.sha256(f"{task_id}/{first}/{episode}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _split_jobs(environment: Environment, found: re.Match[str], episodes: int) -> Iterator[Job]:
    # Whether the sealed split can be played is for the server to say: it holds the salt.
    split, size = found["split"], environment.splits.size(found["split"])
    start = int(found["start"] or 0)
    stop = int(found["stop"] or size)
    if not 0 <= start < stop <= size:
        raise SettingsError(
            f"--tasks has {found.string!r}; allowed: 0 <= start < stop <= {size} in {split}."
        )
    for index in range(start, stop):
        for episode in range(episodes):
            yield Job(f"{split}-{index}", episode, {"split": split, "index": index})
