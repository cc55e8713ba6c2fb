"""What a drill-down episode is made from: one frozen, validated value."""

from __future__ import annotations

import json
from dataclasses import dataclass

from metric_tracker_rl.drilldown.domains import Domain
from metric_tracker_rl.drilldown.levels import LEVELS, Level
from metric_tracker_rl.drilldown.products import added_digest, products_of
from openenv_kit.errors import require_integer, require_name

DAYS = 56
"""Length of every episode: eight whole weeks."""
WEEKS = DAYS // 7
DEFAULT_MAX_STEPS = 200
"""Steps of a play, unless its rules say otherwise."""
MAX_SEED = 2**64 - 1
MAX_CAUSES = 4


@dataclass(frozen=True)
class DrillConfig:
    """Everything that decides an episode's bytes.

    Attributes:
        seed: 0 to 2**64 - 1.
        difficulty: name of a level.
        product: name of a product that the level is played with.
        causes: 0 to 4 planned causes; never told to a player.

    Raises:
        UnknownNameError, InvalidValueError: a field holds something else.
    """

    seed: int
    difficulty: str = "drill"
    product: str = "ordering_app"
    causes: int = 2

    def __post_init__(self) -> None:
        require_integer("seed", self.seed, 0, MAX_SEED)
        require_name("difficulty", self.difficulty, LEVELS)
        require_name("product", self.product, products_of(self.level))
        require_integer("causes", self.causes, 0, MAX_CAUSES)

    @property
    def level(self) -> Level:
        """The level's numbers."""
        return LEVELS[self.difficulty]

    @property
    def domain(self) -> Domain:
        """The product's names and rates."""
        return products_of(self.level)[self.product]

    @property
    def identity(self) -> str:
        """Canonical text of what decides all that is drawn."""
        parts = {
            "generator": self.level.stream,
            "tier": "drilldown",
            "seed": self.seed,
            "difficulty": self.difficulty,
            "product": self.product,
            "causes": self.causes,
            **added_digest(self.product),
        }
        return json.dumps(parts, sort_keys=True, separators=(",", ":"))
