"""Named tasks of the drill-down tier, one for each level and product, and its splits.

Every block of a split holds each level and product six times: with each of the level's numbers of
planned causes, one of them none. The number is never told.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product as combinations
from typing import Any

from metric_tracker_rl.drilldown import words
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.domains import DOMAINS
from metric_tracker_rl.drilldown.levels import LEVELS, Level
from openenv_kit.errors import KitError, require_name
from openenv_kit.trust.splits import SEALED, HashedSplits

PREFIX = "drill_"
"""What the names of this tier's splits begin with: `drill_train`, `drill_test` and so on."""
DEFAULT_SPLIT = f"{PREFIX}train"
CUSTOM = "custom"
"""Task id, after the level, of an episode that was configured at reset without naming a task."""

TASKS: dict[str, DrillConfig] = {
    f"{level}_{product}": DrillConfig(
        seed=101 + 10 * number + place, difficulty=level, product=product, causes=2
    )
    for number, level in enumerate(LEVELS)
    for place, product in enumerate(DOMAINS)
}
"""Every named task."""

DEFAULT_TASK_ID = next(iter(TASKS))

Stratum = tuple[str, str, int]
STRATA: tuple[Stratum, ...] = tuple(
    (level, product, causes)
    for level, product in combinations(LEVELS, DOMAINS)
    for causes in LEVELS[level].causes
)
"""(level, product, planned causes) of every stratum."""


def _config(seed: int, stratum: Stratum) -> DrillConfig:
    level, product, causes = stratum
    return DrillConfig(seed=seed, difficulty=level, product=product, causes=causes)


SPLITS: HashedSplits[DrillConfig, Stratum] = HashedSplits(
    domain="metric-tracker-drill-split/1",
    blocks={"train": 100, "validation": 12, "test": 12, SEALED: 12},
    strata=STRATA,
    make=_config,
    shown=lambda config: {"difficulty": config.difficulty, "product": config.product},
    identity=lambda config: config.identity,
    prefix=PREFIX,
)
"""The tier's splits."""


def is_drill(episode: Mapping[str, Any]) -> bool:
    """Whether a reset's arguments, or the observation it gave, are of this tier.

    The first name that is given decides; one that is nearly right is this tier's to answer.
    """
    if isinstance(told := episode.get("instruction"), str):
        return told.startswith(words.TASK)
    for name in ("task_id", "split", "difficulty"):
        if isinstance(given := episode.get(name), str):
            return given.lower().startswith("dril")
    return any(episode.get(name) is not None for name in ("product", "causes"))


def level_of(episode: Mapping[str, Any]) -> Level | None:
    """The level of an episode by its reset's arguments or its state.

    None for a whole split, which has tasks of every level, and where no episode is meant.
    """
    given = dict(episode)
    if given.get("split") is not None and given.get("index") is None:
        return None
    if isinstance(task_id := given.get("task_id"), str):
        custom = task_id.removesuffix(f"_{CUSTOM}")
        split, dash, index = task_id.rpartition("-")
        if custom in LEVELS:
            return LEVELS[custom]
        if dash and index.isdecimal():
            given = {"split": split, "index": int(index)}
    try:
        return config_of(given).level
    except (KitError, ValueError):  # the second of a number too long to read
        return None


def config_of(reset: Mapping[str, Any]) -> DrillConfig:
    """Configuration of the episode that these reset arguments start.

    Raises:
        UnknownNameError, InvalidValueError: they start none.
    """
    split, index = reset.get("split"), reset.get("index")
    if split is not None or index is not None:
        return SPLITS.task(split or DEFAULT_SPLIT, 0 if index is None else index).config
    names = ("task_id", "seed", "difficulty", "product", "causes")
    return resolve_config(**{name: reset.get(name) for name in names})[1]


def resolve_config(
    task_id: str | None = None,
    seed: int | None = None,
    difficulty: str | None = None,
    product: str | None = None,
    causes: int | None = None,
) -> tuple[str, DrillConfig]:
    """Task id and configuration of a reset: a task, with the given values put over it.

    Without a task, an episode that changes more than the seed is called by its level, as in
    `drill_hard_custom`.

    Raises:
        UnknownNameError, InvalidValueError: see `DrillConfig`.
    """
    name = DEFAULT_TASK_ID if task_id is None else require_name("task_id", task_id, TASKS)
    task = TASKS[name]
    changed = any(value is not None for value in (difficulty, product, causes))
    config = DrillConfig(
        seed=task.seed if seed is None else seed,
        difficulty=task.difficulty if difficulty is None else difficulty,
        product=task.product if product is None else product,
        causes=task.causes if causes is None else causes,
    )
    custom = task_id is None and changed
    return (f"{config.difficulty}_{CUSTOM}" if custom else name), config
