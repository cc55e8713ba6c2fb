"""Typed arguments of the analysis methods.

The names of metrics and entities depend on the funnel. The models therefore declare them as plain
strings, and the methods check that the episode contains them.

`build_schema_metadata_for_funnel_names` makes the JSON schema list the allowed names as an enum. It
is used for required fields only, because repeating the list in every schema would cost a model
hundreds of tokens.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.config import JsonDict

from metric_tracker_rl.wire_models import NotBool, PayloadGeneratorMethod
from openenv_kit.tool import ToolArguments

MAX_MULTIPLIER = 100.0
MAX_ROWS_PER_REPLY = 1000
"""Largest `limit` of rows in one reply."""
DEFAULT_ROWS_PER_REPLY = 25
"""Default `limit`. A reply with 25 rows stays below 8 kB."""


def build_schema_metadata_for_funnel_names(funnel_attribute: str) -> JsonDict:
    """Return JSON-schema metadata for a field whose allowed values are names of the funnel.

    Args:
        funnel_attribute: name of the `Funnel` attribute that lists the allowed values, such as
            `conversion_rate_names`.
    """
    return {"names": funnel_attribute}


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
    """Arguments of methods without arguments. The model has no fields."""


class DateArguments(ToolArguments):
    """Arguments of methods that read one date."""

    date: Date


class RateArguments(ToolArguments):
    """Arguments of methods that read one conversion rate on one date."""

    date: Date
    entity_name: str = Field(
        description="a conversion rate",
        json_schema_extra=build_schema_metadata_for_funnel_names("conversion_rate_names"),
    )


class CountArguments(ToolArguments):
    """Arguments of methods that read one event count on one date."""

    date: Date
    entity_name: str = Field(
        description="an event count",
        json_schema_extra=build_schema_metadata_for_funnel_names("event_count_names"),
    )


class TaskOverviewArguments(ToolArguments):
    """Arguments of `task_overview`."""

    details: bool = Field(False, description="include the policy text, dates and entities")


class SuspiciousDatesArguments(ToolArguments):
    """Arguments of `list_suspicious_dates`: a page of the ranking."""

    limit: RowLimit = Field(10, description="most dates to return")
    offset: RowOffset = Field(0, description="dates to skip first")


class RawDataArguments(ToolArguments):
    """Arguments of `show_raw_data`: a page of daily or hourly rows."""

    limit: RowLimit = Field(5, description="most rows to return")
    offset: RowOffset = Field(0, description="rows to skip first")
    granularity: Literal["daily", "hourly"] = Field("daily", description="daily or hourly rows")


class MetricArguments(ToolArguments):
    """Arguments of methods that read one, several or all metrics."""

    metric_name: MetricName = None
    metric_names: MetricNames = Field(default_factory=list)


class PagedArguments(ToolArguments):
    """Arguments of methods that return at most `limit` rows."""

    limit: RowLimit = Field(DEFAULT_ROWS_PER_REPLY, description="most rows to return")


class DifferenceArguments(PagedArguments, MetricArguments):
    """Arguments of `get_rows_with_abs_diff_from_median_gt`."""

    threshold: Annotated[float, Field(ge=0.0, allow_inf_nan=False), NotBool] = Field(
        description="absolute difference from the median to exceed, in the metric's unit"
    )


class GeneratedRowsArguments(PagedArguments):
    """Arguments that limit the output of row generators."""

    details: bool = Field(False, description="include each series' median and spread")


class RowFilterArguments(ToolArguments):
    """Arguments that filter the rows of a row generator."""

    threshold_multiplier: StdDevMultiplier
    dates: Dates = Field(default_factory=list)


class SeriesRowsArguments(GeneratedRowsArguments, RowFilterArguments):
    """Arguments of row generators that read fixed series."""


class MetricRowsArguments(GeneratedRowsArguments, MetricArguments, RowFilterArguments):
    """Arguments of row generators that can be limited to some metrics."""


class PreviewArguments(ToolArguments):
    """Arguments of `preview_submission`."""

    rows: list[Any] = Field(description="report rows, each with the nine fields of payload_schema")


class PayloadArguments(ToolArguments):
    """Row generators whose merged rows are submitted."""

    generator_methods: list[PayloadGeneratorMethod] = Field(
        min_length=1, max_length=32, description="generators whose rows are merged"
    )


class PayloadRowsArguments(GeneratedRowsArguments, PayloadArguments):
    """Arguments of `payload_generator`."""
