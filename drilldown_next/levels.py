"""The levels, declared in one table. They were fixed before anybody played them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from drilldown_next.noise import Noise
from drilldown_next.product import Product


class Field(StrEnum):
    """A part of a report row. On the rungs, the alert gives some of them."""

    STEP = "step"
    SEGMENT = "segment"
    DATES = "dates"
    CHANGE = "change"


@dataclass(frozen=True)
class Level:
    """One level.

    Attributes:
        name: name in the reset argument `difficulty`.
        noise: noise of clean data.
        days: number of days; whole weeks.
        visits: people at the first stage on an average day.
        root_counts: number of roots in each stratum of a product.
        asked: fields of a report row that the player has to find.
        log_size: number of entries of the change log.
        log_clusters: number of dates around which several entries of one step lie; roots and other
            dates together.
        call_budget: number of calls of the tools that read counts.
        calendar_size: number of calendar entries.
        min_loss, max_loss: range of the planned losses.
        min_run_days, max_run_days: range of the length of a planned root.
        min_planned_score: smallest standardized score of a plan.
        max_segment_values: largest number of values of a root's segment.
        dimension_count, max_values, step_count: size of the reduced product; None for the whole
            product.
        has_sql: whether the product has its extra dimension and SQL replaces the other tools that
            read counts.
    """

    name: str
    noise: Noise
    visits: int
    root_counts: tuple[int, ...]
    log_size: int
    log_clusters: int
    call_budget: int
    days: int = 56
    asked: tuple[Field, ...] = tuple(Field)
    calendar_size: int = 0
    min_loss: float = 0.35
    max_loss: float = 0.60
    min_run_days: int = 3
    max_run_days: int = 10
    min_planned_score: float = 12.0
    max_segment_values: int = 2
    dimension_count: int | None = None
    max_values: int = 4
    step_count: int | None = None
    has_sql: bool = False

    @property
    def is_rung(self) -> bool:
        """Whether the level is a rung of the curriculum."""
        return self.dimension_count is not None

    def adapt_product(self, product: Product) -> Product:
        """Return the product as episodes of this level use it."""
        if self.dimension_count is not None and self.step_count is not None:
            return product.reduce(self.dimension_count, self.max_values, self.step_count)
        return product.widen() if self.has_sql else product


_MEDIUM_NOISE = Noise(day_shock=0.7, value_shock=0.25, bad_day_share=0.03)

_SMALLEST_RUNG = Level(
    "rung_1",
    Noise(day_shock=0.15, value_shock=0.05, bad_day_share=0.0),
    visits=3_000,
    days=42,
    root_counts=(1,),
    asked=(Field.SEGMENT, Field.CHANGE),
    log_size=7,
    log_clusters=1,
    call_budget=4,
    min_loss=0.40,
    max_run_days=7,
    max_segment_values=1,
    dimension_count=2,
    step_count=1,
)

RUNGS: dict[str, Level] = {
    level.name: level
    for level in (
        _SMALLEST_RUNG,
        replace(
            _SMALLEST_RUNG,
            name="rung_2",
            days=56,
            asked=(Field.DATES, Field.CHANGE),
            log_size=15,
            log_clusters=3,
        ),
        replace(
            _SMALLEST_RUNG,
            name="rung_3",
            days=56,
            asked=(Field.SEGMENT, Field.DATES, Field.CHANGE),
            log_size=10,
            log_clusters=2,
            call_budget=9,
        ),
        replace(
            _SMALLEST_RUNG,
            name="rung_4",
            days=56,
            visits=10_000,
            asked=tuple(Field),
            log_size=12,
            log_clusters=2,
            call_budget=12,
            max_segment_values=2,
            dimension_count=3,
            step_count=2,
        ),
    )
}
"""The rungs of the curriculum by name, from the easiest to the hardest."""

LEVELS: dict[str, Level] = {
    level.name: level
    for level in (
        Level(
            "easy",
            Noise(day_shock=0.5, value_shock=0.25, bad_day_share=0.02),
            visits=20_000,
            root_counts=(0, 1, 1, 1, 1, 1, 1, 1),
            log_size=16,
            log_clusters=2,
            call_budget=40,
        ),
        Level(
            "medium",
            _MEDIUM_NOISE,
            visits=20_000,
            root_counts=(0, 1, 1, 1, 1, 2, 2, 2),
            log_size=24,
            log_clusters=4,
            call_budget=50,
        ),
        Level(
            "hard",
            Noise(day_shock=1.0, value_shock=0.35, bad_day_share=0.04),
            visits=20_000,
            root_counts=(0, 2, 2, 2, 2, 3, 3, 3),
            log_size=32,
            log_clusters=6,
            call_budget=60,
            calendar_size=2,
            min_run_days=5,
            min_planned_score=13.0,
        ),
        Level(
            "sql",
            _MEDIUM_NOISE,
            visits=20_000,
            root_counts=(0, 1, 1, 1, 1, 2, 2, 2),
            log_size=32,
            log_clusters=4,
            call_budget=60,
            calendar_size=1,
            has_sql=True,
            min_run_days=5,
        ),
    )
}
"""The levels of the splits by name."""

ALL_LEVELS: dict[str, Level] = {**RUNGS, **LEVELS}
"""Every level by name."""
