"""Typed arguments of the analysis methods.

Names of metrics and entities depend on the funnel, so they are plain text here and are
looked up in the episode; the `names` mark lets the catalogue list them as an enum. It stands where
a name is required: ten lists of the same names would cost a model hundreds of tokens.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from metric_tracker_rl.wire_models import NotBool, PayloadGeneratorMethod
from openenv_kit.tool import ToolArguments

MAX_MULTIPLIER = 100.0
MAX_ROWS_PER_REPLY = 1000
"""Most rows that a reply can be asked for."""
DEFAULT_ROWS_PER_REPLY = 25
"""Rows of a reply, where no other number is asked for; so many stay below 8 kB."""


def names_from_funnel(kind: str) -> Any:
    """Mark a field as holding names of one kind: counts or rates."""
    return {"names": kind}


RowLimit = Annotated[int, Field(ge=1, le=MAX_ROWS_PER_REPLY), NotBool]
RowOffset = Annotated[int, Field(ge=0, le=100_000), NotBool]
Date = Annotated[str, Field(description="a date of the episode, YYYY-MM-DD")]
Dates = Annotated[list[str], Field(description="only these dates; empty for all")]
StdDevMultiplier = Annotated[
    float,
    Field(
        ge=0.0,
        le=MAX_MULTIPLIER,
        allow_inf_nan=False,
        description="standard deviations from the median to exceed",
    ),
    NotBool,
]
MetricName = Annotated[str | None, Field(description="one metric; null for all")]
MetricNames = Annotated[list[str], Field(description="several metrics; empty for all")]


class NoMethodArguments(ToolArguments):
    """For methods that take nothing."""


class DateArguments(ToolArguments):
    """One date."""

    date: Date


class RateArguments(ToolArguments):
    """One conversion rate on one date."""

    date: Date
    entity_name: str = Field(
        description="a conversion rate", json_schema_extra=names_from_funnel("rate_names")
    )


class CountArguments(ToolArguments):
    """One event count on one date."""

    date: Date
    entity_name: str = Field(
        description="an event count", json_schema_extra=names_from_funnel("count_names")
    )


class TaskOverviewArguments(ToolArguments):
    """How much to tell."""

    details: bool = Field(False, description="also the policy in words, dates and entities")


class SuspiciousDatesArguments(ToolArguments):
    """How many dates, and from which place of the ranking on."""

    limit: RowLimit = Field(10, description="most dates to return")
    offset: RowOffset = Field(0, description="dates to skip first")


class RawDataArguments(ToolArguments):
    """How many rows of the raw data, and of which kind."""

    limit: RowLimit = Field(5, description="most rows to return")
    offset: RowOffset = Field(0, description="rows to skip first")
    granularity: Literal["daily", "hourly"] = Field("daily", description="daily or hourly rows")


class MetricArguments(ToolArguments):
    """Some metrics."""

    metric_name: MetricName = None
    metric_names: MetricNames = Field(default_factory=list)


class PagedArguments(ToolArguments):
    """How many rows to show of those that are found."""

    limit: RowLimit = Field(DEFAULT_ROWS_PER_REPLY, description="most rows to return")


class DifferenceArguments(PagedArguments, MetricArguments):
    """Some metrics, and how far from the median."""

    threshold: Annotated[float, Field(ge=0.0, allow_inf_nan=False), NotBool] = Field(
        description="absolute difference from the median to exceed, in the metric's own unit"
    )


class GeneratedRowsArguments(PagedArguments):
    """What to tell of generated rows."""

    details: bool = Field(False, description="also each series' median and spread")


class RowFilterArguments(ToolArguments):
    """What a row generator lets through."""

    threshold_multiplier: StdDevMultiplier
    dates: Dates = Field(default_factory=list)


class SeriesRowsArguments(GeneratedRowsArguments, RowFilterArguments):
    """For row generators that look at one fixed series."""


class MetricRowsArguments(GeneratedRowsArguments, MetricArguments, RowFilterArguments):
    """For row generators over several metrics."""


class PreviewArguments(ToolArguments):
    """A report to look at."""

    rows: list[Any] = Field(description="report rows, each with the nine fields of payload_schema")


class PayloadArguments(ToolArguments):
    """Row generators to run together, and to submit."""

    generator_methods: list[PayloadGeneratorMethod] = Field(
        min_length=1, max_length=32, description="generators whose rows are merged"
    )


class PayloadRowsArguments(GeneratedRowsArguments, PayloadArguments):
    """Row generators to run together, and what to tell of their rows."""
