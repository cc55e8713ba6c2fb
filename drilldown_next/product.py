"""What a product is: data without code, checked when it is created."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from drilldown_next.log_texts import Role, Work
from drilldown_next.segments import Segment
from openenv_kit.errors import InvalidValueError

MIN_DIMENSIONS, MAX_DIMENSIONS = 2, 5
MIN_VALUES, MAX_VALUES = 2, 12
MIN_STAGES, MAX_STAGES = 2, 5
MAX_LEAVES = 800
"""Largest number of combinations of values."""
RESERVED_NAMES = (
    "date",
    "day",
    "week",
    "weekday",
    "step",
    "segment",
    "id",
    "component",
    "scope",
    "owner",
    "change",
    "entered",
    "loss",
)
"""Names of columns in tool results and SQL tables, which no dimension or stage may have."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.+-]{0,39}")
_VALUES_WITH_ARTICLE = ("UK", "US", "north", "south", "east", "west")


@dataclass(frozen=True)
class Dimension:
    """An attribute of people.

    Attributes:
        name: name in requests.
        weights: relative share of the people for each value.
        phrase: how a sentence names the people with a value, such as `in {}`.
        role: what the dimension is about; decides which work can be limited by it.
    """

    name: str
    weights: tuple[tuple[str, float], ...]
    phrase: str
    role: Role

    @cached_property
    def values(self) -> tuple[str, ...]:
        """Names of the values."""
        return tuple(value for value, _ in self.weights)

    def describe_people(self, value: str) -> str:
        """Return the people with a value, as a phrase such as `in the UK`."""
        if self.phrase == "in {}" and value in _VALUES_WITH_ARTICLE:
            return f"in the {value}"
        return self.phrase.format(value)


@dataclass(frozen=True)
class Product:
    """A product whose funnel is analysed.

    Attributes:
        name: identifier; part of an episode's identity.
        dimensions: the dimensions.
        stages: names of the stages, in funnel order.
        step_rates: usual share of people who take each step, in (0, 1).
        components: what the change log calls the part of the product behind each step.
        work: what can be done to each component; see `log_texts`.
        weekday: traffic factor of each weekday, Monday first.
        extra_dimension: further dimension for the level `sql`; None if the product has none.
        rung_dimensions: names of the dimensions that the rungs use, the first two on all of them.

    Raises:
        InvalidValueError: a field has a wrong length, range or name.
    """

    name: str
    dimensions: tuple[Dimension, ...]
    stages: tuple[str, ...]
    step_rates: tuple[float, ...]
    components: tuple[str, ...]
    work: tuple[tuple[Work, ...], ...]
    weekday: tuple[float, ...]
    extra_dimension: Dimension | None = None
    rung_dimensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require_count("dimensions", self.dimensions, MIN_DIMENSIONS, MAX_DIMENSIONS)
        _require_count("stages", self.stages, MIN_STAGES, MAX_STAGES)
        steps = len(self.stages) - 1
        for field_name in ("step_rates", "components", "work"):
            _require_count(field_name, getattr(self, field_name), steps, steps)
        _require_count("weekday", self.weekday, 7, 7)
        names = [*self.dimension_names, *self.stages]
        for name in (self.name, *names, *self.components):
            _require_match("name", name, _NAME, "1 to 40 of a-z, 0-9 and _, a letter first")
        _require_distinct("name of a dimension or stage", names, RESERVED_NAMES)
        for dimension in self.dimensions:
            _check_dimension(dimension)
        if self.leaf_count > MAX_LEAVES:
            raise InvalidValueError(
                "combinations of values", self.leaf_count, f"at most {MAX_LEAVES}"
            )
        for rate in self.step_rates:
            if not 0.0 < rate < 1.0:
                raise InvalidValueError("step rate", rate, "a number above 0 and below 1")

    @cached_property
    def dimension_names(self) -> tuple[str, ...]:
        """Names of the dimensions."""
        return tuple(dimension.name for dimension in self.dimensions)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each dimension."""
        return tuple(len(dimension.values) for dimension in self.dimensions)

    @property
    def leaf_count(self) -> int:
        """Number of combinations of values."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def step_names(self) -> tuple[str, ...]:
        """Names of the steps: each is called after its later stage."""
        return self.stages[1:]

    def name_segment(self, segment: Segment) -> dict[str, str]:
        """Return the values of a segment by the names of their dimensions."""
        return {
            self.dimensions[dimension].name: self.dimensions[dimension].values[value]
            for dimension, value in segment
        }

    def describe_segment(self, segment: Segment) -> str:
        """Return the people of a segment as a phrase, such as `in India on iPhone`."""
        return " ".join(
            self.dimensions[dimension].describe_people(self.dimensions[dimension].values[value])
            for dimension, value in segment
        )

    def list_roles(self, segment: Segment) -> list[Role]:
        """Return what the dimensions of a segment are about."""
        return [self.dimensions[dimension].role for dimension, _ in segment]

    def widen(self) -> Product:
        """Return the product with its extra dimension."""
        assert self.extra_dimension is not None
        return replace(self, dimensions=(*self.dimensions, self.extra_dimension))

    def reduce(self, dimension_count: int, max_values: int, step_count: int) -> Product:
        """Return a smaller product for a rung.

        Args:
            dimension_count: number of dimensions, the first of `rung_dimensions`.
            max_values: largest number of values of a dimension; the last ones are left out.
            step_count: number of steps, the first of the product.
        """
        by_name = {dimension.name: dimension for dimension in self.dimensions}
        kept = [by_name[name] for name in self.rung_dimensions[:dimension_count]]
        return replace(
            self,
            dimensions=tuple(replace(each, weights=each.weights[:max_values]) for each in kept),
            stages=self.stages[: step_count + 1],
            step_rates=self.step_rates[:step_count],
            components=self.components[:step_count],
            work=self.work[:step_count],
        )


def _check_dimension(dimension: Dimension) -> None:
    kind = f"values of {dimension.name}"
    _require_count(kind, dimension.values, MIN_VALUES, MAX_VALUES)
    _require_distinct(f"value of {dimension.name}", dimension.values, ())
    for value, weight in dimension.weights:
        allowed = "1 to 40 letters, digits, spaces and _ . + -, a letter or digit first"
        _require_match(f"value of {dimension.name}", value, _VALUE, allowed)
        if not weight > 0.0:
            raise InvalidValueError(f"weight of {value}", weight, "a number above 0")


def _require_count(name: str, given: Sequence[object], low: int, high: int) -> None:
    if not low <= len(given) <= high:
        allowed = str(low) if low == high else f"{low} to {high}"
        raise InvalidValueError(f"number of {name}", len(given), allowed)


def _require_match(name: str, given: str, pattern: re.Pattern[str], allowed: str) -> None:
    if not pattern.fullmatch(given):
        raise InvalidValueError(name, given, allowed)


def _require_distinct(kind: str, given: Sequence[str], reserved: Sequence[str]) -> None:
    for index, name in enumerate(given):
        if name in given[:index]:
            raise InvalidValueError(kind, name, "names that differ from each other")
        if name in reserved:
            raise InvalidValueError(kind, name, f"any name except {', '.join(reserved)}")
