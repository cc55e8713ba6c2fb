"""Named tasks, splits, and the episode that reset arguments select.

Every block of a split has each level and product eight times, once without a root. The number of
roots is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from drilldown_next.config import EpisodeConfig
from drilldown_next.levels import ALL_LEVELS, LEVELS, RUNGS
from drilldown_next.products import PRODUCTS
from openenv_kit.bitstream import BitStream
from openenv_kit.errors import InvalidValueError, require_integer, require_name
from openenv_kit.splits import SEALED_SPLIT, SESSIONS_SPLIT, HashedSplits, PerLevelSplits

DEFAULT_SPLIT = "train"
DEFAULT_LEVEL = "easy"
SELECTORS = ("task_id", "seed", "difficulty", "product", "split", "index")
"""Names of the reset arguments that select an episode."""
OLD_LEVELS = {
    "drill_easy": "easy",
    "drill": "medium",
    "drill_hard": "hard",
    "drill_sql": "sql",
    **{f"rung_{number}": "rung_4" for number in range(5, 11)},
}
"""Level names of earlier versions, with the level that replaces each."""


class Stratum(NamedTuple):
    """What all tasks of a stratum have in common."""

    level: str
    product: str
    root_count: int


class SelectedTask(NamedTuple):
    """The task that a reset selects."""

    task_id: str
    config: EpisodeConfig


def _make_config(seed: int, stratum: Stratum) -> EpisodeConfig:
    return EpisodeConfig(seed, *stratum)


def _get_level(config: EpisodeConfig) -> str:
    return config.difficulty


def _get_public_fields(config: EpisodeConfig) -> Mapping[str, Any]:
    return {"product": config.product}


def _get_identity(config: EpisodeConfig) -> str:
    return config.identity


def _list_strata(level: str) -> list[Stratum]:
    counts = ALL_LEVELS[level].root_counts
    return [Stratum(level, product, count) for product in PRODUCTS for count in counts]


def _build_rung_splits(rung: str) -> HashedSplits[EpisodeConfig, Stratum]:
    return HashedSplits(
        domain=f"drilldown-rungs/2|{rung}",
        blocks={"train": 512, "validation": 32, "test": 32, SEALED_SPLIT: 32},
        strata=_list_strata(rung),
        make_config=_make_config,
        level_of=_get_level,
        public_fields_of=_get_public_fields,
        identity_of=_get_identity,
    )


SPLITS: PerLevelSplits[EpisodeConfig, Stratum] = PerLevelSplits(
    domain="drilldown-split/9",
    blocks={"train": 80, "validation": 4, "test": 4, SEALED_SPLIT: 4, SESSIONS_SPLIT: 20},
    strata=[stratum for level in LEVELS for stratum in _list_strata(level)],
    make_config=_make_config,
    level_of=_get_level,
    public_fields_of=_get_public_fields,
    identity_of=_get_identity,
    splits_by_level={rung: _build_rung_splits(rung) for rung in RUNGS},
)
"""The splits. Each rung has splits of its own, such as `train_rung_1`."""

TASKS: dict[str, EpisodeConfig] = {
    f"{level}_{product}": EpisodeConfig(
        101 + 10 * level_number + number, level, product, ALL_LEVELS[level].root_counts[-1]
    )
    for level_number, level in enumerate(LEVELS)
    for number, product in enumerate(PRODUCTS)
}
"""Every named task: one with roots for each level and product."""
DEFAULT_TASK_ID = next(iter(TASKS))


def select_task(
    task_id: str | None = None,
    seed: int | None = None,
    difficulty: str | float | None = None,
    product: str | None = None,
    split: str | None = None,
    index: int | None = None,
) -> SelectedTask:
    """Return the task that reset arguments select.

    A named task; a task of a split; or a seed with a level and a product. Without arguments, the
    first named task. The number of roots of a seed's episode is drawn from the seed.

    Raises:
        UnknownNameError, InvalidValueError: an argument is wrong.
    """
    chosen: dict[str, Any] = {"seed": seed, "difficulty": difficulty, "product": product}
    given = {name: value for name, value in chosen.items() if value is not None}
    if split is not None or index is not None:
        for name, value in {"task_id": task_id, **given}.items():
            if value is not None:
                raise InvalidValueError(name, value, "no value beside split and index")
        task = SPLITS.task(DEFAULT_SPLIT if split is None else split, 0 if index is None else index)
        return SelectedTask(task.task_id, task.config)
    if task_id is not None or not given:
        for name in ("difficulty", "product"):
            if name in given:
                raise InvalidValueError(name, given[name], "no value beside task_id, except seed")
        name = DEFAULT_TASK_ID if task_id is None else require_name("task_id", task_id, TASKS)
        return SelectedTask(name, TASKS[name] if seed is None else replace(TASKS[name], seed=seed))
    return _build_custom_task(seed, difficulty, product)


def _build_custom_task(
    seed: int | None, difficulty: str | float | None, product: str | None
) -> SelectedTask:
    level = resolve_level(DEFAULT_LEVEL if difficulty is None else difficulty)
    product_name = next(iter(PRODUCTS)) if product is None else product
    require_name("product", product_name, PRODUCTS)
    number = 0 if seed is None else seed
    require_integer("seed", number, 0, 2**64 - 1)
    stream = BitStream(f"drilldown/root_count/{number}")
    root_count = stream.choose(ALL_LEVELS[level].root_counts)
    return SelectedTask(f"{level}_custom", EpisodeConfig(number, level, product_name, root_count))


def resolve_level(difficulty: str | float) -> str:
    """Return the name of a level.

    Args:
        difficulty: name of a level, or a number from 0 to 1, which selects the nearest level in the
            order from `rung_1` to `hard`.

    Raises:
        UnknownNameError: there is no such level.
        InvalidValueError: the number is outside [0, 1], or the name is one of an earlier version.
    """
    if isinstance(difficulty, str) and difficulty in OLD_LEVELS:
        raise InvalidValueError(
            "difficulty", difficulty, f"{OLD_LEVELS[difficulty]}, which replaces this level"
        )
    if isinstance(difficulty, int | float) and not isinstance(difficulty, bool):
        if not 0.0 <= difficulty <= 1.0:
            raise InvalidValueError("difficulty", difficulty, "a name, or a number from 0 to 1")
        ladder = list(CURRICULUM_LEVELS)
        return ladder[round(difficulty * (len(ladder) - 1))]
    return require_name("difficulty", difficulty, ALL_LEVELS)


CURRICULUM_LEVELS = (*RUNGS, "easy", "medium", "hard")
"""Levels of a curriculum, from the easiest to the hardest."""
STAGES = tuple({"difficulty": name} for name in CURRICULUM_LEVELS)
"""Reset arguments of each stage of a curriculum."""
