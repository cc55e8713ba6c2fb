"""Difficulty levels, declared in one table.

They were fixed before anybody played them and are kept: what players score is measured, never
fitted. The definition of the answer and the grade are the same on all of them.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

from openenv_kit.rollouts.curriculum import RUNG_LEVEL_NAMES

RATE = "rate_change"
TRAFFIC = "traffic_change"
MIX = "mix_shift"
LOSS = "tracking_loss"
KINDS = (RATE, TRAFFIC, MIX, LOSS)
"""Kinds of a root."""

SLICES = ("slice", "compare", "change_log", "submit_report")
"""Tools where counts are read by slices."""
QUERIES = ("sql", "submit_report")
"""Tools where counts are read by SQL."""


@dataclass(frozen=True)
class Noise:
    """Noise of clean data.

    Attributes:
        visits: lowest and highest mean number of visits a day.
        traffic, traffic_value: standard deviation of a day's traffic: common to all, and of each
            value of the noisy dimension.
        rate, rate_value: the same for step rates.
    """

    visits: tuple[float, float]
    traffic: float
    traffic_value: float
    rate: float
    rate_value: float


QUIET = Noise((1.5e6, 1.9e6), 0.012, 0.006, 0.0025, 0.002)
USUAL = Noise((0.8e6, 1.0e6), 0.014, 0.008, 0.003, 0.0025)


@dataclass(frozen=True)
class Level:
    """One level.

    Attributes:
        name: identifier at reset.
        noise: noise of clean data.
        roots: number of roots in each of the eight strata of a product; one in eight has none.
        faint: share of the roots, rounded, that no single value shows; see `planner`.
        budget: calls of the tools that read counts.
        events: entries of the public calendar, each of which moves traffic.
        fixed: most values that the segment of a root fixes.
        tools: names of the tools in force, in the order agents see them.
    """

    name: str
    noise: Noise
    roots: tuple[int, ...]
    faint: float
    budget: int
    events: int = 0
    fixed: int = 3
    tools: tuple[str, ...] = SLICES

    @property
    def sql(self) -> bool:
        """Whether the counts are read by SQL."""
        return "sql" in self.tools


LEVELS: dict[str, Level] = {
    level.name: level
    for level in (
        Level("drill_easy", QUIET, (0, 1, 1, 1, 1, 2, 2, 2), faint=0.0, budget=30),
        Level("drill", USUAL, (0, 2, 2, 2, 2, 3, 3, 3), faint=0.4, budget=45),
        Level("drill_hard", USUAL, (0, 3, 3, 4, 4, 4, 5, 5), faint=0.5, budget=70, events=2),
        Level(
            "drill_sql",
            USUAL,
            (0, 2, 2, 3, 3, 3, 4, 4),
            faint=0.4,
            budget=45,
            tools=QUERIES,
        ),
    )
}
"""Every level by name."""


def _rung(number: int) -> Level:
    """A rung, from 0 to 9: one root that the alert shows, then more, fainter and of fewer people.

    Everything lies on straight lines to `drill_hard` with its most roots.
    """
    share, last = number / (len(RUNG_LEVEL_NAMES) - 1), LEVELS["drill_hard"]

    def along(first: float, to: float) -> int:
        return round(first + (to - first) * share)

    def noise(quiet: Any, usual: Any) -> Any:
        if isinstance(quiet, tuple):
            return tuple(map(noise, quiet, usual))
        return round(quiet + (usual - quiet) * share, 6)

    return Level(
        RUNG_LEVEL_NAMES[number],
        Noise(*noise(astuple(QUIET), astuple(USUAL))),
        roots=(along(1, max(last.roots)),),
        faint=round(last.faint * share, 6),
        budget=along(LEVELS["drill_easy"].budget, last.budget),
        events=along(0, last.events),
        fixed=along(1, last.fixed),
    )


EVERY_LEVEL: dict[str, Level] = {
    **LEVELS,
    **{RUNG_LEVEL_NAMES[n]: _rung(n) for n in range(len(RUNG_LEVEL_NAMES))},
}
"""The levels and the rungs, by name."""
STAGES = tuple({"difficulty": name} for name in RUNG_LEVEL_NAMES)
"""Arguments of resets on each rung, for a curriculum."""
