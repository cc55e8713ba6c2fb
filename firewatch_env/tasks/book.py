"""Finding the task that reset's arguments ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from firewatch_env.tasks.causes import CAUSES
from firewatch_env.tasks.draw import draw_task
from firewatch_env.tasks.levels import EVERY_LEVEL, LEVELS
from firewatch_env.tasks.named import NAMED, Named
from firewatch_env.tasks.places import NoPlace
from firewatch_env.tasks.task import Task, opening_harm
from openenv_kit.errors import (
    InvalidValueError,
    require_integer,
    require_name,
)
from openenv_kit.rollouts.curriculum import RUNG_LEVEL_NAMES, resolve_level_name
from openenv_kit.splits import HashedSplits, PerLevelSplits, find_reset_arguments_of_task_id

VERSION = "9"  # of faults, services and scores: raising it draws every task anew
REPLIES = "6"  # of all else that a player can tell: raise it whenever a result would change
DEFAULT = "task_easy_oom_baseline"
_MOST_ATTEMPTS = 1000
_CLEARLY = 0.02  # share of customers let down beyond the objective at tick 0


class Drawn(NamedTuple):
    """What a task of a split is drawn from."""

    difficulty: str
    seed: int


def _drawn(seed: int, difficulty: str) -> Drawn:
    return Drawn(difficulty, seed)


SPLITS: PerLevelSplits[Drawn, str] = PerLevelSplits(
    domain=f"firewatch/{VERSION}",
    blocks={"train": 200, "validation": 100, "test": 100, "sealed": 100, "sessions": 100},
    strata=tuple(LEVELS),
    make_config=_drawn,
    level_of=lambda drawn: drawn.difficulty,
    splits_by_level={
        rung: HashedSplits(
            domain=f"firewatch-rungs/{VERSION}|{rung}",
            blocks={"train": 600, "validation": 100, "test": 100},
            strata=(rung,),
            make_config=_drawn,
            level_of=lambda drawn: drawn.difficulty,
        )
        for rung in RUNG_LEVEL_NAMES
    },
)
"""The splits: each block of three tasks has one of each level, in an order of its own."""


REDRAWN: Mapping[str, int] = Counter(
    (
        "train-3", "train-40", "train-95", "train-117", "train-128", "train-169", "train-193",
        "train-270", "train-362", "train-391", "train-401", "train-456", "train-548",
        "validation-39", "validation-43", "validation-70", "validation-77", "validation-81",
        "validation-97", "validation-103", "validation-145", "test-151", "test-206", "test-224",
    )
)  # fmt: skip
"""Tasks of splits whose first draw fails its certificate or law 8, named once for each such draw.

`python -m research.firewatch admit` prints them.
"""


def find(arguments: Mapping[str, Any]) -> Task:
    """The task for reset's arguments.

    Raises:
        UnknownNameError, InvalidValueError: a value that is not among those allowed.
    """
    task_id, split = arguments.get("task_id"), arguments.get("split")
    difficulty, seed = arguments.get("difficulty"), arguments.get("seed")
    if seed is not None and type(seed) is not int:
        raise InvalidValueError("seed", seed, "a whole number")
    if difficulty is not None:
        difficulty = require_name("difficulty", resolve_level_name(difficulty), EVERY_LEVEL)
    if split is None and arguments.get("index") is None:
        selectors = find_reset_arguments_of_task_id(task_id, NAMED)
        if selectors:
            return find({**arguments, "task_id": None, **selectors})
    if task_id:
        named = NAMED[require_name("task_id", task_id, NAMED)]
        return named_task(named, named.seed if seed is None else seed)
    if split is not None:
        for name in ("difficulty", "seed"):
            if arguments.get(name) is not None:
                raise InvalidValueError(name, arguments[name], "nothing beside a split")
        index = require_integer("index", arguments.get("index", 0), 0, SPLITS.size(split) - 1)
        return split_task(split, index)
    if arguments.get("index") is not None:
        raise InvalidValueError("index", arguments["index"], "nothing without a split")
    if seed is None and difficulty is None:
        return named_task(NAMED[DEFAULT], NAMED[DEFAULT].seed)
    for named in NAMED.values():
        if named.seed == seed and difficulty in (None, named.difficulty):
            return named_task(named, seed)
    return drawn_task(difficulty or "easy", 0 if seed is None else seed)


@lru_cache(maxsize=256)
def named_task(named: Named, seed: int) -> Task:
    """A named task; another seed than its own makes another world for the same name."""
    task_id, cause, faults = named.task_id, CAUSES[named.cause], 2 if named.dual else 1

    def attempt(number: int) -> Task:
        identity = f"firewatch/{VERSION}/{task_id}/{seed}/{number}"
        reset = {"task_id": task_id, "seed": seed}
        return draw_task(task_id, named.difficulty, identity, reset, cause, faults)

    return _first(attempt)


def split_task(split: str, index: int) -> Task:
    """One task of a split.

    Raises:
        UnknownNameError, InvalidValueError: no such split, or no such place in it.
    """
    # Not cached by its position: with another secret, a sealed position is another task.
    return _drawn_split_task(split, index, SPLITS.task(split, index).config)


@lru_cache(maxsize=256)
def _drawn_split_task(split: str, index: int, drawn: Drawn) -> Task:
    task_id = f"{split}-{index}"
    skipped = REDRAWN.get(task_id, 0)
    return draw(task_id, *drawn, {"split": split, "index": index}, skipped)


@lru_cache(maxsize=256)
def drawn_task(difficulty: str, seed: int) -> Task:
    """Return the task of a level and a seed.

    Its id is the same for every seed: from one that depends on the seed, even through a hash, a
    player could find the seed by trying, and with it the incident.
    """
    arguments = {"difficulty": difficulty, "seed": seed}
    return draw(f"{difficulty}_custom", difficulty, seed, arguments)


def draw(
    task_id: str, difficulty: str, seed: int, arguments: Mapping[str, Any], skipped: int = 0
) -> Task:
    """The task of a level and a seed, under any name.

    Args:
        task_id: see Task.
        difficulty: see Task.
        seed: what it is drawn from.
        arguments: see Task.
        skipped: how many fair draws are passed over first.
    """

    def attempt(number: int) -> Task:
        identity = f"firewatch/{VERSION}/{difficulty}/{seed}/{number}"
        return draw_task(task_id, difficulty, identity, arguments)

    return _first(attempt, skipped)


def _first(attempt: Callable[[int], Task], skipped: int = 0) -> Task:
    """The first attempt that finds a place and lets customers down, after some of them."""
    for number in range(_MOST_ATTEMPTS):
        try:
            task = attempt(number)
        except NoPlace:
            continue
        if fair(task):
            if not skipped:
                return task
            skipped -= 1
    raise InvalidValueError("seed", "this", "another one; it makes no incident")


def fair(task: Task) -> bool:
    """Whether customers are let down at tick 0, or well where they are meant to be."""
    harm = opening_harm(task)
    return harm == 0 if task.calm else harm >= _CLEARLY
