"""Finding the task that reset's arguments ask for."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from firewatch_env.engine.randomness import BitStream
from firewatch_env.replay import replay
from firewatch_env.session import BadReset
from firewatch_env.tasks.causes import CAUSES, STAGED
from firewatch_env.tasks.draw import draw_task
from firewatch_env.tasks.named import NAMED, Named
from firewatch_env.tasks.places import NoPlace
from firewatch_env.tasks.task import MAX_TICKS, Task, open_world
from openenv_kit.adding import add_up
from openenv_kit.errors import echo, unknown_name_message

VERSION = "6"  # of what is drawn: raise it whenever a task would change
SPLITS = ("train", "validation", "test", "sealed")
PUBLIC_SPLITS = SPLITS[:-1]
"""Splits that can be played; the sealed one is only measured on."""
DEFAULT = "task_easy_oom_baseline"
_MOST_ATTEMPTS = 400
_PATIENCE = 100
_CLEARLY = 0.01  # share of customers let down beyond the objective: twice what it allows
_LEAST_HARM = 0.02  # share of customers, on average over the horizon


@lru_cache(maxsize=1)
def admitted() -> dict[str, Any]:
    """The attempts that passed the certificate: of named tasks, and of each split in order."""
    text = (files("firewatch_env.tasks") / "admitted.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def find(arguments: Mapping[str, Any]) -> Task:
    """The task for reset's arguments.

    Raises:
        BadReset: a value that is not among those allowed.
    """
    task_id, difficulty = arguments.get("task_id"), arguments.get("difficulty")
    seed, split = arguments.get("seed"), arguments.get("split")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise BadReset(f"seed is {echo(seed)}; allowed: a whole number.")
    if difficulty is not None and not _known(difficulty, MAX_TICKS):
        raise BadReset(unknown_name_message("difficulty", difficulty, MAX_TICKS))
    if task_id:
        if not _known(task_id, NAMED):
            raise BadReset(unknown_name_message("task_id", task_id, NAMED))
        named = NAMED[task_id]
        return named_task(named) if seed in (None, named.seed) else redrawn(named, seed)
    if split is not None:
        return _from_split(split, arguments.get("index", 0))
    if seed is None and difficulty is None:
        return named_task(NAMED[DEFAULT])
    for named in NAMED.values():
        if named.seed == seed and difficulty in (None, named.difficulty):
            return named_task(named)
    return _drawn(difficulty or "easy", 0 if seed is None else seed)


def arguments_of(task: Task) -> dict[str, Any]:
    """The reset's arguments that make a task, the same whichever others it was asked for with."""
    if task.task_id in NAMED:
        return {"task_id": task.task_id, "seed": task.seed}
    split, _, _ = task.task_id.partition("_")
    if split in PUBLIC_SPLITS:
        return {"split": split, "index": task.seed}
    return {"difficulty": task.difficulty, "seed": task.seed}


def _known(value: Any, allowed: Container[str]) -> bool:
    return isinstance(value, str) and value in allowed


def _from_split(split: Any, index: Any) -> Task:
    if not _known(split, PUBLIC_SPLITS):
        raise BadReset(unknown_name_message("split", split, PUBLIC_SPLITS))
    size = len(admitted()[split])
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < size:
        raise BadReset(f"index is {echo(index)}; allowed in {split}: 0 to {size - 1}.")
    return split_task(split, index, admitted()[split][index])


@lru_cache(maxsize=256)
def named_task(named: Named) -> Task:
    """A named task as it is shipped."""
    return attempt_named(named, named.seed, admitted()["named"][named.task_id])


def attempt_named(named: Named, seed: int, attempt: int) -> Task:
    """One attempt at drawing a named task's world.

    Raises:
        NoPlace: this attempt leads to no place that fits.
    """
    identity = f"firewatch/{VERSION}/{named.task_id}/{seed}/{attempt}"
    return draw_task(
        named.task_id,
        named.difficulty,
        seed,
        CAUSES[named.cause],
        identity,
        dual=True if named.dual else None,
    )


@lru_cache(maxsize=64)
def redrawn(named: Named, seed: int) -> Task:
    """A named task with another world: its harm is checked, its certificate is not made."""
    return _first(lambda attempt: attempt_named(named, seed, attempt))


@lru_cache(maxsize=64)
def _drawn(difficulty: str, seed: int) -> Task:
    return _first(lambda attempt: _draw("drawn", seed, difficulty, attempt))


def split_task(split: str, index: int, attempt: int) -> Task:
    """One attempt at a split's task."""
    difficulty = tuple(MAX_TICKS)[index % 3]
    return _draw(split, index, difficulty, attempt)


def training_tasks(count: int) -> Iterator[Task]:
    """Tasks beside the splits, for players that learn: drawn alike, without certificates."""
    for number in range(count):
        difficulty = tuple(MAX_TICKS)[number % 3]
        for attempt in range(_MOST_ATTEMPTS):
            try:
                yield _draw("training", number, difficulty, attempt)
            except NoPlace:
                continue
            break


def _draw(split: str, number: int, difficulty: str, attempt: int) -> Task:
    identity = f"firewatch/{VERSION}/{split}/{number}"
    # A cause that finds no place is given up for another after some attempts.
    again = f"/{attempt // _PATIENCE}" if attempt >= _PATIENCE else ""
    draws = BitStream(f"{identity}/{difficulty}/cause{again}")
    cause = _pick_cause(draws, difficulty)
    return draw_task(
        f"{split}_{difficulty}_{number}", difficulty, number, CAUSES[cause], f"{identity}/{attempt}"
    )


def _pick_cause(draws: BitStream, difficulty: str) -> str:
    """A look first, so that every look is as frequent; then one of its causes.

    Beyond easy, most tasks are of the causes that another change could have had as well.
    """
    if draws.below(25) == 0:
        return "false_alert"
    causes = [cause for cause in CAUSES.values() if cause.look != "false"]
    if draws.below(6) < {"easy": 0, "medium": 4, "hard": 5}[difficulty]:
        causes = [
            cause
            for cause in causes
            if cause.lever in STAGED and cause.vehicle != "circumstance" and not cause.pulse
        ]
    look = draws.pick(sorted({cause.look for cause in causes}))
    return draws.pick([cause.name for cause in causes if cause.look == look])


def _first(attempt: Any) -> Task:
    """The first attempt that finds a place and does enough harm."""
    for number in range(_MOST_ATTEMPTS):
        try:
            task: Task = attempt(number)
        except NoPlace:
            continue
        if task.calm or ((burns(task) or not task.burning) and harmful(task)):
            return task
    raise BadReset("no world could be drawn for this seed; try another")


def burns(task: Task) -> bool:
    """Whether customers are let down clearly at tick 0."""
    return open_world(task).harm >= _CLEARLY


def harmful(task: Task) -> bool:
    """Whether customers are let down enough if nobody acts."""
    start = open_world(task)
    usual = add_up(service.entry for service in start.entries)
    course = replay(start, (), task.horizon)
    return course.total >= _LEAST_HARM * usual * task.horizon
