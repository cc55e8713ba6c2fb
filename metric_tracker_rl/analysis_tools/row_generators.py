"""Row generators, which select report rows with a statistical filter.

A row is generated for each value that meets two conditions: |value − median| is larger than
threshold_multiplier × the standard deviation from the median, and the deviation reaches the level's
reporting threshold. Unlike the reporting policy, row generators do not separate root anomalies from
deviations that are only their consequences, so their output contains both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from metric_tracker_rl.analysis_tools.arguments import (
    MAX_MULTIPLIER,
    PayloadArguments,
)
from metric_tracker_rl.analysis_tools.registry import MethodResult
from metric_tracker_rl.analysis_tools.statistics import select_requested_or_all_metric_names
from metric_tracker_rl.engine.definitions.anomaly_types import (
    ANOMALY_TYPES,
    MEDIAN_FILTER,
    find_anomaly_type_of_deviation,
    list_anomaly_types_of_entity_type,
)
from metric_tracker_rl.engine.definitions.display import STATISTIC_DECIMALS
from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    ENTITY_TYPES,
    EVENT_COUNT,
)
from metric_tracker_rl.engine.definitions.report_row import ReportRow, RowKey
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.reporting_policy.find_roots import RootFinding
from metric_tracker_rl.engine.reporting_policy.labels import build_report_row
from metric_tracker_rl.wire_models import PayloadGeneratorMethod
from openenv_kit.errors import ToolArgumentError, UnknownNameError, truncated_repr
from openenv_kit.schema import build_arguments_schema, describe_validation_error


@dataclass(frozen=True)
class RowGenerator:
    """A filter that selects anomalous values and returns them as report rows.

    The generator checks every series in which one of its anomaly types can occur.

    Attributes:
        name: name of the generator; the analysis method is `get_<name>_rows`.
        description: one line for the tool list that models read.
        anomaly_types: anomaly types of the generated rows.
    """

    name: str
    description: str
    anomaly_types: tuple[str, ...]

    @cached_property
    def entity_types(self) -> tuple[str, ...]:
        """Entity types of the generated rows."""
        return tuple(
            entity_type
            for entity_type in ENTITY_TYPES
            if set(list_anomaly_types_of_entity_type(entity_type)) & set(self.anomaly_types)
        )

    @cached_property
    def has_metric_arguments(self) -> bool:
        """Whether a caller may choose the metrics that the generator checks."""
        return set(self.entity_types) <= {EVENT_COUNT, CONVERSION_RATE}

    def map_read_entity_names_to_types(self, view: EpisodeView) -> dict[str, str]:
        """Return the types of all entities that the generator checks, by entity name."""
        names_by_type = view.episode.config.funnel_with_policy_daytime.entity_names_by_type
        return {
            entity_name: entity_type
            for entity_type in self.entity_types
            for entity_name in names_by_type[entity_type]
        }


class GeneratedRows(NamedTuple):
    """Output of one or several row generators.

    Attributes:
        rows: the generated report rows.
        details: a summary of each series if the rows come from one generator, or a summary of each
            generator if they come from several.
    """

    rows: list[ReportRow]
    details: list[MethodResult]


GENERATORS_BY_NAME: dict[str, RowGenerator] = {
    MEDIAN_FILTER: RowGenerator(
        MEDIAN_FILTER,
        "Rows of any count or rate far from its median, in either direction.",
        (
            *list_anomaly_types_of_entity_type(CONVERSION_RATE),
            *list_anomaly_types_of_entity_type(EVENT_COUNT),
        ),
    ),
    **{
        name: RowGenerator(name, f"Rows of {anomaly_type.description}.", (name,))
        for name, anomaly_type in ANOMALY_TYPES.items()
    },
}


def build_analysis_method_name(generator_name: str) -> str:
    """Return the name of the analysis method that runs a row generator."""
    return f"get_{generator_name}_rows"


def find_row_generator(generator_or_method_name: object) -> RowGenerator:
    """Find a row generator by its own name or by the name of the method that runs it.

    Raises:
        ToolArgumentError: no generator or method has this name. The message contains the nearest
            name.
    """
    if isinstance(generator_or_method_name, str):
        short_name = generator_or_method_name.removeprefix("get_").removesuffix("_rows")
        if short_name in GENERATORS_BY_NAME and generator_or_method_name in (
            short_name,
            build_analysis_method_name(short_name),
        ):
            return GENERATORS_BY_NAME[short_name]
    raise ToolArgumentError(
        str(UnknownNameError("method_name", generator_or_method_name, GENERATORS_BY_NAME))
    )


def validate_row_generator_calls(generator_calls: Sequence[Any]) -> None:
    """Raise an error if submitted generator calls do not match the schema of `payload_generator`.

    Raises:
        ToolArgumentError: a field is invalid. The message contains the value and the allowed
            values.
    """
    try:
        PayloadArguments.model_validate({"generator_methods": list(generator_calls)})
    except ValidationError as error:
        problem = describe_validation_error(
            "payload_generators", build_arguments_schema(PayloadArguments), error
        )
        raise ToolArgumentError(f"{problem} Nothing was graded.") from None


def run_and_merge_row_generators(
    view: EpisodeView, generator_calls: Sequence[PayloadGeneratorMethod | Mapping[str, Any]]
) -> GeneratedRows:
    """Run several row generators and merge their rows, sorted by date.

    If several rows have the same date, entity type and entity name, only the first one is kept.

    Raises:
        ToolArgumentError: a method, metric or date is unknown, or a multiplier is out of range.
    """
    merged: dict[RowKey, ReportRow] = {}
    summaries = []
    for method in generator_calls:
        generator = find_row_generator(method["method_name"])
        rows, details = run_row_generator(
            view,
            generator,
            metric_name=method.get("metric_name"),
            metric_names=method.get("metric_names") or (),
            min_std_devs_from_median=_require_threshold_multiplier_in_range(
                method.get("threshold_multiplier", 2.0)
            ),
            dates=method.get("dates") or (),
        )
        for row in rows:
            merged.setdefault(row.key, row)
        summaries.append(
            {"method_name": generator.name, "match_count": len(rows), "details": details}
        )
    return GeneratedRows(sorted(merged.values(), key=lambda row: row.date), summaries)


def _require_threshold_multiplier_in_range(requested_multiplier: Any) -> float:
    is_number = isinstance(requested_multiplier, int | float) and not isinstance(
        requested_multiplier, bool
    )
    if is_number and 0.0 <= requested_multiplier <= MAX_MULTIPLIER:
        return float(requested_multiplier)
    raise ToolArgumentError(
        f"threshold_multiplier is {truncated_repr(requested_multiplier)}; "
        f"allowed: a number from 0 to {MAX_MULTIPLIER:g}."
    )


def run_row_generator(
    view: EpisodeView,
    generator: RowGenerator,
    *,
    metric_name: str | None,
    metric_names: Sequence[str],
    min_std_devs_from_median: float,
    dates: Sequence[str],
) -> GeneratedRows:
    """Run one row generator and return a report row for each value that it selects.

    Args:
        view: the episode.
        generator: the generator.
        metric_name: one metric to check, or None.
        metric_names: further metrics to check. If neither argument names a metric, all metrics of
            the generator are checked.
        min_std_devs_from_median: distance from the median, in standard deviations, that a value
            must exceed.
        dates: dates to return rows for. If no date is given, all dates are included.

    Raises:
        ToolArgumentError: a metric or date is unknown, or the generator accepts no metrics.
    """
    if not generator.has_metric_arguments and (metric_name is not None or metric_names):
        raise ToolArgumentError(f"{generator.name} reads fixed series; it takes no metric.")
    episode = view.episode
    metrics = episode.metrics
    columns = episode.config.funnel_with_policy_daytime.columns
    type_by_name = generator.map_read_entity_names_to_types(view)
    names = select_requested_or_all_metric_names(
        view, metric_name, metric_names, tuple(type_by_name)
    )
    allowed_dates = [episode.require_episode_date(date) for date in dates]
    positions = metrics.find_column_positions_of_entities(names)
    std_devs = metrics.std_dev_from_baseline.to_numpy()[positions]
    differences = metrics.value_minus_baseline.to_numpy()[:, positions]
    is_flagged = metrics.flagged.to_numpy()[:, positions]
    is_selected = is_flagged & (np.abs(differences) > min_std_devs_from_median * std_devs)
    deviations = metrics.deviation.to_numpy()[:, positions].tolist()
    rows = []
    # argwhere sorts by date, and within a date in the order of `names`.
    for day, name_index in np.argwhere(is_selected).tolist():
        date = episode.dates[day]
        name = names[name_index]
        entity_type = type_by_name[name]
        anomaly_type = find_anomaly_type_of_deviation(entity_type, deviations[day][name_index])
        if anomaly_type not in generator.anomaly_types:
            continue
        if allowed_dates and date not in allowed_dates:
            continue
        finding = RootFinding(
            entity_type, name, anomaly_type, columns.get_column_of_entity(entity_type, name)
        )
        rows.append(build_report_row(finding, day, date, episode.series))
    match_counts = Counter(row.entity_name for row in rows)
    medians = metrics.median_over_all_days.to_numpy()[positions].tolist()
    limits = episode.series.limits
    details = [
        {
            "entity_name": name,
            "median_value": median,
            "std_dev_from_median": round(std_dev, STATISTIC_DECIMALS),
            "threshold_value": round(min_std_devs_from_median * std_dev, STATISTIC_DECIMALS),
            "reporting_threshold": limits.get_threshold(
                type_by_name[name], columns.get_column_of_entity(type_by_name[name], name)
            ),
            "match_count": match_counts[name],
        }
        for name, median, std_dev in zip(names, medians, std_devs.tolist(), strict=True)
    ]
    return GeneratedRows(rows, details)
