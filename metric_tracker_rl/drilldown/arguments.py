"""Typed arguments of the drill-down tools.

Names of dimensions, values and stages depend on the product, so they are plain text here and are
looked up in the episode.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MOST_GROUPS = 2
"""Most dimensions that a reply is split by."""
MOST_RANGES = 16


def _as_ranges(given: object) -> object:
    """One range may be given without the list around it."""
    if isinstance(given, list | tuple) and len(given) == 2 and isinstance(given[0], str):
        return [given]
    return given


Range = Annotated[list[str], Field(min_length=2, max_length=2)]
Ranges = Annotated[
    list[Range],
    BeforeValidator(_as_ranges),
    Field(max_length=MOST_RANGES),
]
Groups = Annotated[
    list[str],
    Field(max_length=MOST_GROUPS, description="dimensions to split by, at most two"),
]
Where = Annotated[
    dict[str, str | list[str]],
    Field(description="only these people: value or list of values by dimension"),
]
Stages = Annotated[list[str], Field(max_length=5, description="only these stages; empty for all")]


class Arguments(BaseModel):
    """Base of all argument models: unknown arguments are errors."""

    model_config = ConfigDict(extra="forbid")


class NoArguments(Arguments):
    """For tools that take nothing."""


class SliceArguments(Arguments):
    """Counts by segment and day or week."""

    group_by: Groups = Field(default_factory=list)
    where: Where = Field(default_factory=dict)
    stages: Stages = Field(default_factory=list)
    dates: Ranges = Field(
        default_factory=list,
        description="ranges [first date, last date], from any date on; empty for all days",
    )
    every: Literal["day", "week"] = Field(
        "day",
        description="one count a day, or one for each seven days from the first date of a range; "
        "where a range is no multiple of seven days, its last count is of the days left",
    )


class PerMilleArguments(SliceArguments):
    """For levels that offer changes beside counts."""

    form: Literal["counts", "per_mille_of_usual"] = Field(
        "counts",
        description="counts, or, on drill_easy only, the change in per mille: by day against the "
        "same weekday's median, by week against the median week. Weeks of two attributes tell most",
    )


class CompareArguments(Arguments):
    """Sums over some days beside sums over others."""

    dates: Ranges = Field(min_length=1, description="ranges [first date, last date] to look at")
    reference: Ranges = Field(min_length=1, description="ranges to compare them with")
    group_by: Groups = Field(default_factory=list)
    where: Where = Field(default_factory=dict)
    stages: Stages = Field(default_factory=list)


class SqlArguments(Arguments):
    """A query."""

    query: str = Field(description="one SELECT over the table counts")


class ReportArguments(Arguments):
    """A report."""

    rows: list[Any] = Field(description="report rows, each with the six fields of row_format")
