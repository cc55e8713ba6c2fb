"""Typed arguments of the analysis methods.

Names of metrics and entities depend on the funnel, so they are plain text here and are
looked up in the episode; the `names` mark lets the catalogue list them as an enum. It stands where
a name is required: ten lists of the same names would cost a model hundreds of tokens.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from metric_tracker_rl.wire_models import NotBool, PayloadGeneratorMethod
from openenv_kit.tool import Arguments

MAX_MULTIPLIER = 100.0
MOST_ROWS = 1000
"""Most rows that a reply can be asked for."""
ROWS_A_PAGE = 25
"""Rows of a reply, where no other number is asked for; so many stay below 8 kB."""


def names(kind: str) -> Any:
    """Mark a field as holding names of one kind: counts or rates."""
    return {"names": kind}


Limit = Annotated[int, Field(ge=1, le=MOST_ROWS), NotBool]
Offset = Annotated[int, Field(ge=0, le=100_000), NotBool]
Date = Annotated[str, Field(description="a date of the episode, YYYY-MM-DD")]
Dates = Annotated[list[str], Field(description="only these dates; empty for all")]
Multiplier = Annotated[
    float,
    Field(
        ge=0.0,
        le=MAX_MULTIPLIER,
        allow_inf_nan=False,
        description="standard deviations from the median to exceed",
    ),
    NotBool,
]
Metric = Annotated[str | None, Field(description="one metric; null for all")]
Metrics = Annotated[list[str], Field(description="several metrics; empty for all")]


class NoArguments(Arguments):
    """For methods that take nothing."""


class DateArguments(Arguments):
    """One date."""

    date: Date


class RateArguments(Arguments):
    """One conversion rate on one date."""

    date: Date
    entity_name: str = Field(description="a conversion rate", json_schema_extra=names("rates"))


class CountArguments(Arguments):
    """One event count on one date."""

    date: Date
    entity_name: str = Field(description="an event count", json_schema_extra=names("counts"))


class OverviewArguments(Arguments):
    """How much to tell."""

    details: bool = Field(False, description="also the policy in words, dates and entities")


class SuspiciousArguments(Arguments):
    """How many dates, and from which place of the ranking on."""

    limit: Limit = Field(10, description="most dates to return")
    offset: Offset = Field(0, description="dates to skip first")


class RawDataArguments(Arguments):
    """How many rows of the raw data, and of which kind."""

    limit: Limit = Field(5, description="most rows to return")
    offset: Offset = Field(0, description="rows to skip first")
    granularity: Literal["daily", "hourly"] = Field("daily", description="daily or hourly rows")


class MetricArguments(Arguments):
    """Some metrics."""

    metric_name: Metric = None
    metric_names: Metrics = Field(default_factory=list)


class PagedArguments(Arguments):
    """How many rows to show of those that are found."""

    limit: Limit = Field(ROWS_A_PAGE, description="most rows to return")


class DifferenceArguments(PagedArguments, MetricArguments):
    """Some metrics, and how far from the median."""

    threshold: Annotated[float, Field(ge=0.0, allow_inf_nan=False), NotBool] = Field(
        description="absolute difference from the median to exceed, in the metric's own unit"
    )


class GeneratedArguments(PagedArguments):
    """What to tell of generated rows."""

    details: bool = Field(False, description="also each series' median and spread")


class FilterArguments(Arguments):
    """What a row generator lets through."""

    threshold_multiplier: Multiplier
    dates: Dates = Field(default_factory=list)


class SeriesRowsArguments(GeneratedArguments, FilterArguments):
    """For row generators that look at one fixed series."""


class MetricRowsArguments(GeneratedArguments, MetricArguments, FilterArguments):
    """For row generators over several metrics."""


class PreviewArguments(Arguments):
    """A report to look at."""

    rows: list[Any] = Field(description="report rows, each with the nine fields of payload_schema")


class PayloadArguments(Arguments):
    """Row generators to run together, and to submit."""

    generator_methods: list[PayloadGeneratorMethod] = Field(
        min_length=1, max_length=32, description="generators whose rows are merged"
    )


class PayloadRowsArguments(GeneratedArguments, PayloadArguments):
    """Row generators to run together, and what to tell of their rows."""
