"""What a product is: a `Domain` value and no code, checked as it is made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from drilldown_env.work import ANYTHING, TRACKING_WORK, Work
from openenv_kit.errors import InvalidValueError

STAGES = 5
DIMENSIONS = (4, 5)
"""Numbers of dimensions that a product may have."""
TRACKING = "tracking"
"""The component that every product has beside its own: losses of recorded events."""
_THE = ("UK", "US", "north", "south", "east", "west")
"""Places that take an article."""
RESERVED = ("date", "day", "week", "weekday", "stage", "id", "component", "owner", "change")
"""Names of columns that replies and the tables of SQL have themselves."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.+-]{0,39}")


@dataclass(frozen=True)
class Dimension:
    """One attribute of people.

    Attributes:
        name: what requests call it.
        values: (value, weight) pairs; weights are relative shares of the people.
        rate_effect: half-width of a value's relative effect on step rates, in [0, 0.5].
        phrase: how people write of those who have a value, as "in {}".
        role: what it is about, one of `ROLES`, which decides what can be done to whom; "" for any.
    """

    name: str
    values: tuple[tuple[str, float], ...]
    rate_effect: float
    phrase: str = ""
    role: str = ""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of its values."""
        return tuple(name for name, _ in self.values)

    def people(self, value: str) -> str:
        """Those who have a value, as a colleague writes it."""
        if self.phrase == "in {}" and value in _THE:
            return f"in the {value}"
        return (self.phrase or f"with {self.name.replace('_', ' ')} {{}}").format(value)

    def audience(self, value: str) -> str:
        """The same as a log lists them, without the words that join them to a sentence."""
        return self.people(value).partition(" ")[2].removeprefix("the ")


@dataclass(frozen=True)
class Domain:
    """A product.

    Attributes:
        name: identifier; part of an episode's identity.
        dims: four or five dimensions of 2 to 8 values each.
        stages: five stages, in funnel order.
        base_rates: four step rates, each in (0, 0.95).
        components: one component for each stage, which the change log names.
        work: what is done to each of them, in the words of a log; empty for `ANYTHING`.
        weekday: seven traffic factors, Monday first.
        weekly_dim: dimension whose values have a weekday pattern of their own.
        noisy_dim: dimension whose values have day noise of their own.
        volume: factor on a level's visits a day.
        affinity: half-width of the relative tie between two values of different dimensions.

    Raises:
        InvalidValueError: a field has another shape or range.
    """

    name: str
    dims: tuple[Dimension, ...]
    stages: tuple[str, ...]
    base_rates: tuple[float, ...]
    components: tuple[str, ...]
    weekday: tuple[float, ...]
    weekly_dim: int
    noisy_dim: int
    volume: float = 1.0
    affinity: float = 0.35
    work: tuple[tuple[Work, ...], ...] = ()

    def __post_init__(self) -> None:
        _require_named("name", self.name)
        if len(self.dims) not in DIMENSIONS:
            raise InvalidValueError("number of dimensions", len(self.dims), "4 or 5")
        _require_length("stages", self.stages, STAGES)
        _require_length("components", self.components, STAGES)
        _require_length("base_rates", self.base_rates, STAGES - 1)
        _require_length("weekday", self.weekday, 7)
        columns = (*self.dim_names, *self.stages)
        _require_distinct("name of a dimension or stage", columns, RESERVED)
        _require_distinct("component", self.components, (TRACKING,))
        for name in (*columns, *self.components):
            _require_named("name", name)
        for dim in self.dims:
            if not 2 <= len(dim.values) <= 8:
                raise InvalidValueError(f"number of values of {dim.name}", len(dim.values), "2-8")
            _require_distinct(f"value of {dim.name}", dim.names)
            for value, weight in dim.values:
                if not _VALUE.fullmatch(value):
                    allowed = "1 to 40 letters, digits, spaces and _ . + -, a letter or digit first"
                    raise InvalidValueError(f"value of {dim.name}", value, allowed)
                _require_between(f"weight of {value}", weight, 0.0, 100.0)
            _require_between(f"rate_effect of {dim.name}", dim.rate_effect, 0.0, 0.5, zero=True)
        for rate in self.base_rates:
            _require_between("base rate", rate, 0.0, 0.95)
        for factor in self.weekday:
            _require_between("weekday factor", factor, 0.0, 10.0)
        _require_between("volume", self.volume, 0.0, 10.0)
        _require_between("affinity", self.affinity, 0.0, 0.5)
        for dim_index in (self.weekly_dim, self.noisy_dim):
            if dim_index not in range(len(self.dims)):
                most = len(self.dims) - 1
                raise InvalidValueError("dimension index", dim_index, f"0 to {most}")

    def work_on(self, component: str) -> Sequence[Work]:
        """What can be done to a component, or to the tracking."""
        if component == TRACKING:
            return TRACKING_WORK
        return self.work[self.components.index(component)] if self.work else ANYTHING

    @cached_property
    def dim_names(self) -> tuple[str, ...]:
        """Names of the dimensions."""
        return tuple(dim.name for dim in self.dims)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each dimension."""
        return tuple(len(dim.values) for dim in self.dims)


def _require_named(kind: str, given: str) -> None:
    if not _NAME.fullmatch(given):
        allowed = "1 to 40 small letters, digits and _, a letter first"
        raise InvalidValueError(kind, given, allowed)


def _require_length(name: str, given: Sequence[object], length: int) -> None:
    if len(given) != length:
        raise InvalidValueError(f"number of {name}", len(given), str(length))


def _require_distinct(kind: str, given: Sequence[str], taken: Sequence[str] = ()) -> None:
    """No name twice, and none that is taken."""
    for place, name in enumerate(given):
        if name in given[:place] or name in taken:
            others = f" and from {', '.join(taken)}" if taken else ""
            raise InvalidValueError(kind, name, f"names that differ from each other{others}")


def _require_between(
    name: str, given: float, low: float, high: float, *, zero: bool = False
) -> None:
    """Above `low`, or zero where that is allowed; at most `high`."""
    if not low <= given <= high or (given == 0.0 and not zero):
        raise InvalidValueError(name, given, f"a number above {low} and up to {high}")
