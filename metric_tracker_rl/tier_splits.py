"""Splits and episodes in memory of both tiers, as the kit asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from metric_tracker_rl.drilldown.building import CACHE_SIZE as DRILL_CACHE_SIZE
from metric_tracker_rl.drilldown.building import build_episode as build_drill_episode
from metric_tracker_rl.drilldown.tasks import SPLITS as DRILL_SPLITS
from metric_tracker_rl.engine.episode import build_episode
from metric_tracker_rl.engine.splits import SPLITS as FUNNEL_SPLITS
from openenv_kit.environment import Cache
from openenv_kit.errors import require_name
from openenv_kit.trust.splits import HashedSplits, HashedTask


@dataclass(frozen=True, eq=False)
class TierSplits:
    """Splits of several tiers side by side; no two have a name in common."""

    tiers: Sequence[HashedSplits[Any, Any]]

    def names(self) -> list[str]:
        """Splits that can be played here."""
        return [name for tier in self.tiers for name in tier.names()]

    def size(self, split: str) -> int:
        """Number of tasks of a split; raises UnknownNameError."""
        return self.of(split).size(split)

    def task(self, split: str, index: int) -> HashedTask[Any]:
        """One task; raises UnknownNameError or InvalidValueError."""
        return self.of(split).task(split, index)

    def commitment(self, split: str | None = None) -> str:
        """Commitment to a sealed split; None for the first tier's."""
        return self.of(split or self.tiers[0].sealed).commitment(split)

    def of(self, split: str) -> HashedSplits[Any, Any]:
        """The tier's splits that a split is one of; raises UnknownNameError."""
        homes = {tier.prefix + name: tier for tier in self.tiers for name in tier.blocks}
        return homes[require_name("split", split, homes)]


@dataclass(frozen=True)
class Caches:
    """Episodes of both tiers in memory."""

    funnel: Cache
    drill: Cache

    def resize(self, size: int) -> None:
        """Keep so many funnel episodes, and no more drill-down ones, which are larger, than fit."""
        self.funnel.resize(size)
        self.drill.resize(min(size, DRILL_CACHE_SIZE))

    def misses(self) -> int:
        """How many episodes had to be made so far."""
        return self.funnel.misses() + self.drill.misses()


SPLITS = TierSplits((FUNNEL_SPLITS, DRILL_SPLITS))
"""Every split; those of the drill-down tier begin with `drill_`."""

CACHES = Caches(build_episode, build_drill_episode)


@lru_cache
def tasks_of_level(split: str, level: str) -> tuple[int, ...]:
    """Positions of a split's tasks of one level; making a task's configuration is not free."""
    tasks = ((index, SPLITS.task(split, index)) for index in range(SPLITS.size(split)))
    return tuple(index for index, task in tasks if task.config.difficulty == level)
