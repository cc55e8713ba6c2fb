"""What an episode is made from: one frozen, validated value."""

from __future__ import annotations

import json
from dataclasses import dataclass

from drilldown_env.domain import Domain
from drilldown_env.levels import EVERY_LEVEL, Level
from drilldown_env.products import added_digest, products_of
from openenv_kit.errors import InvalidValueError, require_integer, require_name

DAYS = 56
"""Length of every episode: eight whole weeks, from a Monday on."""
WEEKS = DAYS // 7
MAX_SEED = 2**64 - 1

GENERATOR_VERSION = "13"
"""Bytes of an episode: domains, clean model, planning, acceptance, alert and change log."""
STREAMS = "12"
"""The generator's version when all episodes were last drawn anew; some may have changed since."""
DEFINITION_VERSION = "2"
"""Labels: which roots the definition finds in given counts."""
GRADER_VERSION = "2"
"""Scores: which reports are valid, and what one is worth."""
VERSIONS = {
    "generator": GENERATOR_VERSION,
    "definition": DEFINITION_VERSION,
    "grader": GRADER_VERSION,
}
"""What recordings and certificates are made under."""


@dataclass(frozen=True)
class DrillConfig:
    """Everything that decides an episode's bytes.

    Attributes:
        seed: 0 to 2**64 - 1.
        difficulty: name of a level.
        product: name of a product.
        roots: how many there are, 0 or as many as the level has; never told to a player.

    Raises:
        UnknownNameError, InvalidValueError: a field holds something else.
    """

    seed: int
    difficulty: str = "drill"
    product: str = "ordering_app"
    roots: int = 2

    def __post_init__(self) -> None:
        require_integer("seed", self.seed, 0, MAX_SEED)
        require_name("difficulty", self.difficulty, EVERY_LEVEL)
        require_name("product", self.product, products_of(self.level))
        if type(self.roots) is not int or self.roots not in self.level.roots:
            allowed = ", ".join(map(str, sorted(set(self.level.roots))))
            raise InvalidValueError(f"roots of {self.difficulty}", self.roots, allowed)

    @property
    def level(self) -> Level:
        """The level's numbers."""
        return EVERY_LEVEL[self.difficulty]

    @property
    def domain(self) -> Domain:
        """The product's names and rates."""
        return products_of(self.level)[self.product]

    @property
    def identity(self) -> str:
        """Canonical text of what decides all that is drawn."""
        parts = {
            "environment": "drilldown",
            "generator": STREAMS,
            "seed": self.seed,
            "difficulty": self.difficulty,
            "product": self.product,
            "roots": self.roots,
            **added_digest(self.product),
        }
        return json.dumps(parts, sort_keys=True, separators=(",", ":"))
