"""The splits: numbered tasks of the four levels, a quarter each, and splits of the two rungs."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from firewatch_next.simulation.log_event import Wording
from firewatch_next.tasks.levels import MAIN_LEVEL_NAMES, RUNG_LEVEL_NAMES
from firewatch_next.tasks.task import StoredDraw, TaskSpec
from openenv_kit.splits import SEALED_SPLIT, SESSIONS_SPLIT, HashedSplits, PerLevelSplits

VERSION = "10"  # of faults, services and scores: raising it draws every task anew
BLOCKS = {"train": 500, "validation": 125, "test": 125, SEALED_SPLIT: 125, SESSIONS_SPLIT: 100}
RUNG_BLOCKS = {"train": 500, "validation": 125, "test": 125, SEALED_SPLIT: 125}
STORED_DRAWS_PATH = Path(__file__).with_name("stored_draws.json")


class SplitConfig(NamedTuple):
    """What a task of a split is drawn from. The seed must not leave the server."""

    level_name: str
    seed: int


def _make_config(seed: int, level_name: str) -> SplitConfig:
    return SplitConfig(level_name, seed)


def _level_of(config: SplitConfig) -> str:
    return config.level_name


SPLITS: PerLevelSplits[SplitConfig, str] = PerLevelSplits(
    domain=f"firewatch/{VERSION}",
    blocks=BLOCKS,
    strata=MAIN_LEVEL_NAMES,
    make_config=_make_config,
    level_of=_level_of,
    splits_by_level={
        rung: HashedSplits(
            domain=f"firewatch-rungs/{VERSION}|{rung}",
            blocks=RUNG_BLOCKS,
            strata=(rung,),
            make_config=_make_config,
            level_of=_level_of,
        )
        for rung in RUNG_LEVEL_NAMES
    },
)


def wording_of_split(split: str) -> Wording:
    """Return the phrasings of a split: test and sealed have their own, all others are open."""
    if split == "test" or split.startswith("test_"):
        return Wording.TEST
    if split.startswith(SEALED_SPLIT):
        return Wording.SEALED
    return Wording.OPEN


def make_split_spec(split: str, index: int) -> TaskSpec:
    """Return what a task of a split is drawn from.

    Raises:
        UnknownNameError, InvalidValueError: there is no such split, or no such index in it.
    """
    config = SPLITS.task(split, index).config
    task_id = f"{split}-{index}"
    return TaskSpec(
        task_id,
        f"firewatch/{VERSION}/{config.level_name}/{config.seed}",
        config.level_name,
        wording_of_split(split),
        {"split": split, "index": index},
        stored=None if split.startswith(SEALED_SPLIT) else stored_draws().get(task_id),
    )


@lru_cache(maxsize=1)
def stored_draws() -> dict[str, StoredDraw]:
    """Return the stored results of the search for public tasks, by task id."""
    if not STORED_DRAWS_PATH.exists():
        return {}
    document = json.loads(STORED_DRAWS_PATH.read_text())
    if document["version"] != VERSION:
        return {}
    return {
        task_id: StoredDraw(attempt, tuple(sizes))
        for task_id, (attempt, sizes) in document["draws"].items()
    }
