"""Named tasks, one for each level and product, and the splits.

Every block of a split holds each level and product eight times, once without a root. How many roots
there are is never told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product as combinations
from typing import Any

from drilldown_env.config import DrillConfig
from drilldown_env.domains import DOMAINS
from drilldown_env.levels import EVERY_LEVEL, LEVELS
from openenv_kit.bitstream import BitStream
from openenv_kit.errors import InvalidValueError, require_name
from openenv_kit.rollouts.curriculum import RUNG_LEVEL_NAMES, resolve_level_name
from openenv_kit.splits import (
    SEALED_SPLIT,
    SESSIONS_SPLIT,
    HashedSplits,
    PerLevelSplits,
    find_reset_arguments_of_task_id,
)

DEFAULT_SPLIT = "train"
STRATA: tuple[tuple[str, str, int], ...] = tuple(
    (level, product, roots)
    for level, product in combinations(LEVELS, DOMAINS)
    for roots in LEVELS[level].roots
)
"""(level, product, roots) of every stratum."""


def _config(seed: int, stratum: tuple[str, str, int]) -> DrillConfig:
    return DrillConfig(seed, *stratum)


def _shown(config: DrillConfig) -> Mapping[str, Any]:
    return {"product": config.product}


SPLITS: PerLevelSplits[DrillConfig, tuple[str, str, int]] = PerLevelSplits(
    domain="drilldown-split/8",
    blocks={"train": 80, "validation": 4, "test": 4, SEALED_SPLIT: 4, SESSIONS_SPLIT: 20},
    strata=STRATA,
    make_config=_config,
    level_of=lambda config: config.difficulty,
    public_fields_of=_shown,
    identity_of=lambda config: config.identity,
    splits_by_level={
        rung: HashedSplits(
            domain=f"drilldown-rungs/1|{rung}",
            blocks={"train": 300, "validation": 20, "test": 20},
            strata=tuple(combinations((rung,), DOMAINS, EVERY_LEVEL[rung].roots)),
            make_config=_config,
            level_of=lambda config: config.difficulty,
            public_fields_of=_shown,
        )
        for rung in RUNG_LEVEL_NAMES
    },
)
"""The splits."""

TASKS: dict[str, DrillConfig] = {
    f"{level}_{product}": DrillConfig(
        101 + 10 * number + place, level, product, roots=2 + number % 3
    )
    if level != "drill_easy"
    else DrillConfig(101 + place, level, product, roots=1 + place % 2)
    for number, level in enumerate(LEVELS)
    for place, product in enumerate(DOMAINS)
}
"""Every named task."""
DEFAULT_TASK_ID = next(iter(TASKS))


def task_of(
    task_id: str | None = None,
    seed: int | None = None,
    difficulty: str | float | None = None,
    product: str | None = None,
    split: str | None = None,
    index: int | None = None,
) -> tuple[str, DrillConfig]:
    """Task id and configuration of a reset.

    A named task, a place in a split, or a seed with a level (or a number from 0 to 1) and a
    product; without any of them the first named task. How many roots an episode of a seed has is
    drawn by that seed.

    Raises:
        UnknownNameError, InvalidValueError: says what is allowed.
    """
    chosen: dict[str, Any] = {"seed": seed, "difficulty": difficulty, "product": product}
    free = {name: value for name, value in chosen.items() if value is not None}
    selectors = find_reset_arguments_of_task_id(task_id, TASKS)
    if selectors and split is None and index is None:
        task_id, split, index = None, selectors["split"], selectors["index"]
    if split is not None or index is not None:
        given = [each for each in {"task_id": task_id, **free}.items() if each[1] is not None]
        if given:
            raise InvalidValueError(*given[0], "nothing beside split and index")
        task = SPLITS.task(DEFAULT_SPLIT if split is None else split, 0 if index is None else index)
        return task.task_id, task.config
    if task_id is not None or not free:
        for name in ("difficulty", "product"):
            if name in free:
                raise InvalidValueError(name, free[name], "nothing beside task_id but seed")
        found = DEFAULT_TASK_ID if task_id is None else require_name("task_id", task_id, TASKS)
        return found, TASKS[found] if seed is None else replace(TASKS[found], seed=seed)
    asked = "drill" if difficulty is None else resolve_level_name(difficulty)
    level = require_name("difficulty", asked, EVERY_LEVEL)
    number = 0 if seed is None else seed
    roots = EVERY_LEVEL[level].roots
    place = BitStream(f"drilldown/roots/{number!r:.30}").integer_below(len(roots))
    config = DrillConfig(
        number, level, next(iter(DOMAINS)) if product is None else product, roots[place]
    )
    return f"{level}_custom", config
