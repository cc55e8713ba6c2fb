"""Finds the task that the arguments of a reset ask for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from firewatch_next.simulation.log_event import Wording
from firewatch_next.tasks.draw_task import draw_task
from firewatch_next.tasks.levels import TASK_LEVELS
from firewatch_next.tasks.named_tasks import (
    DEFAULT_TASK_ID,
    NAMED_TASKS,
    list_playable_names,
    make_named_spec,
)
from firewatch_next.tasks.splits import SPLITS, VERSION, make_split_spec
from firewatch_next.tasks.task import DrawnTask, TaskSpec
from openenv_kit.errors import InvalidValueError, require_integer, require_name

MAX_CACHED_TASKS = 64


def find_spec(arguments: Mapping[str, Any]) -> TaskSpec:
    """Return what the task of these reset arguments is drawn from.

    A known `task_id` names the scenario, and another seed draws another world for it. Else level
    and seed may be those of a named task; else a task is drawn from them.

    Raises:
        UnknownNameError, InvalidValueError: a value is not allowed.
    """
    task_id, split = arguments.get("task_id"), arguments.get("split")
    level, seed = arguments.get("difficulty"), arguments.get("seed")
    if seed is not None and type(seed) is not int:
        raise InvalidValueError("seed", seed, "a whole number")
    if level is not None:
        level = require_name("difficulty", level, TASK_LEVELS)
    if task_id:
        return make_named_spec(require_name("task_id", task_id, list_playable_names()), seed)
    if split is not None:
        for name in ("difficulty", "seed"):
            if arguments.get(name) is not None:
                raise InvalidValueError(name, arguments[name], "no value together with a split")
        last = SPLITS.size(split) - 1
        return make_split_spec(split, require_integer("index", arguments.get("index", 0), 0, last))
    if arguments.get("index") is not None:
        raise InvalidValueError("index", arguments["index"], "no value without a split")
    if seed is None and level is None:
        return make_named_spec(DEFAULT_TASK_ID)
    for name in list_playable_names():
        named = NAMED_TASKS[name]
        if named.number == seed and level in (None, named.level_name):
            return make_named_spec(name)
    return _make_drawn_spec(level or "easy", 0 if seed is None else seed)


def _make_drawn_spec(level_name: str, seed: int) -> TaskSpec:
    """Return the specification of a level and a seed.

    The id is the same for every seed. With one that depends on the seed, a player could find the
    seed by trying, and with it the incident.
    """
    return TaskSpec(
        f"{level_name}_custom",
        f"firewatch/{VERSION}/custom/{level_name}/{seed}",
        level_name,
        Wording.OPEN,
        {"difficulty": level_name, "seed": seed},
    )


def find_task(arguments: Mapping[str, Any]) -> DrawnTask:
    """Return the task of these reset arguments; see `find_spec`."""
    return open_task(find_spec(arguments))


@lru_cache(maxsize=MAX_CACHED_TASKS)
def open_task(spec: TaskSpec) -> DrawnTask:
    """Return the drawn task of a specification. The last ones are kept in memory."""
    return draw_task(spec)
