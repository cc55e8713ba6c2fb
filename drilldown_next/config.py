"""What an episode is generated from: one frozen, validated value."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

from drilldown_next.levels import ALL_LEVELS, Level
from drilldown_next.product import Product
from drilldown_next.products import PRODUCTS
from openenv_kit.errors import InvalidValueError, require_integer, require_name

MAX_SEED = 2**64 - 1
GENERATOR_VERSION = "15"
"""Version of an episode's data: counts, calendar, change log and alert."""
DEFINITION_VERSION = "3"
"""Version of the labels: which roots given counts contain."""
GRADER_VERSION = "3"
"""Version of the scores: which reports are valid and what they earn."""
VERSIONS = {
    "generator": GENERATOR_VERSION,
    "definition": DEFINITION_VERSION,
    "grader": GRADER_VERSION,
}


@dataclass(frozen=True)
class EpisodeConfig:
    """Everything that determines an episode.

    Attributes:
        seed: integer from 0 to 2**64 − 1.
        difficulty: name of a level.
        product: name of a product.
        root_count: number of roots, one of the level's. Players do not see it.

    Raises:
        UnknownNameError, InvalidValueError: a field has a wrong value.
    """

    seed: int
    difficulty: str
    product: str
    root_count: int

    def __post_init__(self) -> None:
        require_integer("seed", self.seed, 0, MAX_SEED)
        require_name("difficulty", self.difficulty, ALL_LEVELS)
        require_name("product", self.product, PRODUCTS)
        if self.root_count not in self.level.root_counts:
            allowed = ", ".join(map(str, sorted(set(self.level.root_counts))))
            raise InvalidValueError(f"root_count of {self.difficulty}", self.root_count, allowed)

    @property
    def level(self) -> Level:
        """The level."""
        return ALL_LEVELS[self.difficulty]

    @cached_property
    def adapted_product(self) -> Product:
        """The product as the level uses it."""
        return self.level.adapt_product(PRODUCTS[self.product])

    @property
    def identity(self) -> str:
        """Canonical text that seeds the episode's random numbers."""
        parts = {
            "environment": "drilldown",
            "generator": GENERATOR_VERSION,
            "seed": self.seed,
            "difficulty": self.difficulty,
            "product": self.product,
            "root_count": self.root_count,
        }
        return json.dumps(parts, sort_keys=True, separators=(",", ":"))
