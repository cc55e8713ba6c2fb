"""Row generators: report rows by a statistical filter, blind to roots and echoes.

A row comes back where |value − median| > threshold_multiplier × standard deviation from the
median, and the deviation also reaches the difficulty's reporting threshold. None of them
applies the reporting policy's order, so their rows hold echoes beside roots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import ValidationError

from metric_tracker_rl.analysis_tools.arguments import (
    MAX_MULTIPLIER,
    GeneratedRowsArguments,
    MetricRowsArguments,
    PayloadArguments,
    PayloadRowsArguments,
    SeriesRowsArguments,
)
from metric_tracker_rl.analysis_tools.registry import TOOLS, MethodResult, cache_result
from metric_tracker_rl.analysis_tools.statistics import resolve_metric_names
from metric_tracker_rl.engine.definitions.anomaly_types import (
    ANOMALY_TYPES,
    MEDIAN_FILTER,
    anomaly_type_of_deviation,
    anomaly_types_of,
)
from metric_tracker_rl.engine.definitions.display import STATISTIC_DECIMALS
from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    ENTITY_TYPES,
    EVENT_COUNT,
)
from metric_tracker_rl.engine.definitions.report_row import ReportRow, RowKey
from metric_tracker_rl.engine.definitions.thresholds import thresholds_by_entity_type
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.reporting_policy.find_roots import RootFinding
from metric_tracker_rl.engine.reporting_policy.labels import build_report_row
from metric_tracker_rl.wire_models import PayloadGeneratorMethod
from openenv_kit.errors import ToolArgumentError, UnknownNameError, truncated_repr
from openenv_kit.schema import describe_validation_error, json_schema
from openenv_kit.tool import Tool, ToolArguments


@dataclass(frozen=True)
class RowGenerator:
    """One filter, over every series whose rows can report one of its anomaly types.

    Attributes:
        name: method name; the analysis method is `get_<name>_rows`.
        description: one line, written for agents.
        anomaly_types: anomaly types of its rows.
    """

    name: str
    description: str
    anomaly_types: tuple[str, ...]

    @cached_property
    def entity_types(self) -> tuple[str, ...]:
        """Entity types of its rows."""
        return tuple(
            kind for kind in ENTITY_TYPES if set(anomaly_types_of(kind)) & set(self.anomaly_types)
        )

    @cached_property
    def has_metric_arguments(self) -> bool:
        """Whether it can be limited to some metrics."""
        return set(self.entity_types) <= {EVENT_COUNT, CONVERSION_RATE}

    def entity_types_by_name(self, view: EpisodeView) -> dict[str, str]:
        """Entity type by entity name of the series it looks at."""
        names = view.episode.config.funnel_spec.entity_names_by_type
        return {name: kind for kind in self.entity_types for name in names[kind]}


GENERATORS_BY_NAME: dict[str, RowGenerator] = {
    MEDIAN_FILTER: RowGenerator(
        MEDIAN_FILTER,
        "Rows of any count or rate far from its median, in either direction.",
        (*anomaly_types_of(CONVERSION_RATE), *anomaly_types_of(EVENT_COUNT)),
    ),
    **{
        name: RowGenerator(name, f"Rows of {anomaly_type.description}.", (name,))
        for name, anomaly_type in ANOMALY_TYPES.items()
    },
}


def analysis_method_name(generator: str) -> str:
    """Name of the analysis method that runs a generator."""
    return f"get_{generator}_rows"


def find_generator(name: object) -> RowGenerator:
    """Generator by its own name or by its analysis method's name.

    Raises:
        ToolArgumentError: no such generator; names the nearest.
    """
    if isinstance(name, str):
        short = name.removeprefix("get_").removesuffix("_rows")
        if short in GENERATORS_BY_NAME and name in (short, analysis_method_name(short)):
            return GENERATORS_BY_NAME[short]
    raise ToolArgumentError(str(UnknownNameError("method_name", name, GENERATORS_BY_NAME)))


def validate_generators(methods: Sequence[Any]) -> None:
    """Make sure that generators to submit have the shape that `payload_generator` asks for.

    Raises:
        ToolArgumentError: they do not; says which field, what it holds and what is allowed.
    """
    try:
        PayloadArguments.model_validate({"generator_methods": list(methods)})
    except ValidationError as error:
        problem = describe_validation_error(
            "payload_generators", json_schema(PayloadArguments), error
        )
        raise ToolArgumentError(f"{problem} Nothing was graded.") from None


def run_generators(
    view: EpisodeView, methods: Sequence[PayloadGeneratorMethod | Mapping[str, Any]]
) -> tuple[list[ReportRow], list[MethodResult]]:
    """Rows of several generators, merged by key, and a summary of each.

    Raises:
        ToolArgumentError: an unknown method, metric or date, or a bad multiplier.
    """
    merged: dict[RowKey, ReportRow] = {}
    summaries = []
    for method in methods:
        generator = find_generator(method["method_name"])
        rows, details = _run_generator(
            view,
            generator,
            method.get("metric_name"),
            method.get("metric_names") or (),
            _require_multiplier(method.get("threshold_multiplier", 2.0)),
            method.get("dates") or (),
        )
        for row in rows:
            merged.setdefault(row.key, row)
        summaries.append(
            {"method_name": generator.name, "match_count": len(rows), "details": details}
        )
    return sorted(merged.values(), key=lambda row: row.date), summaries


@TOOLS.tool(PayloadRowsArguments)
def payload_generator(view: EpisodeView, arguments: PayloadRowsArguments) -> MethodResult:
    """Run several row generators and merge their rows, without submitting them."""
    rows, summaries = run_generators(view, arguments.generator_methods)
    return {
        "generator_methods": [method.model_dump() for method in arguments.generator_methods],
        "generated_row_count": len(rows),
        **_generated_rows_fields(rows, summaries, arguments),
    }


def _generated_rows_fields(
    rows: Sequence[ReportRow], details: list[MethodResult], arguments: GeneratedRowsArguments
) -> MethodResult:
    """The first rows, as many as are asked for, and details where they are."""
    return {
        "generated_rows": [row.as_dict() for row in rows[: arguments.limit]],
        "details": details if arguments.details else [],
    }


def _require_multiplier(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and 0.0 <= value <= MAX_MULTIPLIER:
        return float(value)
    raise ToolArgumentError(
        f"threshold_multiplier is {truncated_repr(value)}; "
        f"allowed: a number from 0 to {MAX_MULTIPLIER:g}."
    )


def _run_generator(
    view: EpisodeView,
    generator: RowGenerator,
    metric_name: str | None,
    metric_names: Sequence[str],
    multiplier: float,
    dates: Sequence[str],
) -> tuple[list[ReportRow], list[MethodResult]]:
    if not generator.has_metric_arguments and (metric_name is not None or metric_names):
        raise ToolArgumentError(f"{generator.name} looks at one fixed series; it takes no metric.")
    episode, metrics = view.episode, view.episode.metrics
    series, columns = episode.series, episode.config.funnel_spec.columns
    entities = generator.entity_types_by_name(view)
    names = resolve_metric_names(view, metric_name, metric_names, tuple(entities))
    chosen = [*map(episode.require_date, dates)]
    taken = metrics.column_positions(names)
    spreads = metrics.std_dev_from_baseline.to_numpy()[taken]
    differences = metrics.difference.to_numpy()[:, taken]
    far = metrics.flagged.to_numpy()[:, taken] & (np.abs(differences) > multiplier * spreads)
    changes = metrics.deviation.to_numpy()[:, taken].tolist()
    rows = []
    for day, place in np.argwhere(far).tolist():  # by date, then in the names' order
        date, kind, name = episode.dates[day], entities[names[place]], names[place]
        anomaly = anomaly_type_of_deviation(kind, changes[day][place])
        if anomaly in generator.anomaly_types and (not chosen or date in chosen):
            finding = RootFinding(kind, name, anomaly, columns.column_of(kind, name))
            rows.append(build_report_row(finding, day, date, series))
    matches = Counter(row.entity_name for row in rows)
    medians = metrics.median.to_numpy()[taken].tolist()
    thresholds = thresholds_by_entity_type(episode.config.level)
    details = [
        {
            "entity_name": name,
            "median_value": median,
            "std_dev_from_median": round(spread, STATISTIC_DECIMALS),
            "threshold_value": round(multiplier * spread, STATISTIC_DECIMALS),
            "reporting_threshold": thresholds[entities[name]],
            "match_count": matches[name],
        }
        for name, median, spread in zip(names, medians, spreads.tolist(), strict=True)
    ]
    return rows, details


def _build_generator_tool(generator: RowGenerator) -> Tool:
    """The analysis method of one generator."""

    def run(view: EpisodeView, arguments: Any) -> MethodResult:
        metric = getattr(arguments, "metric_name", None)
        metrics = getattr(arguments, "metric_names", ())
        multiplier = arguments.threshold_multiplier
        rows, details = _run_generator(
            view, generator, metric, metrics, multiplier, arguments.dates
        )
        looked_at = [detail["entity_name"] for detail in details]
        return {
            "method_name": generator.name,
            **({"metric_names": looked_at} if generator.has_metric_arguments else {}),
            "threshold_multiplier": multiplier,
            "match_count": len(rows),
            **_generated_rows_fields(rows, details, arguments),
        }

    model: type[ToolArguments] = (
        MetricRowsArguments if generator.has_metric_arguments else SeriesRowsArguments
    )
    name, described = analysis_method_name(generator.name), generator.description
    return Tool(name, described, model, cache_result(run), vocabulary=TOOLS.vocabulary)


for _generator in GENERATORS_BY_NAME.values():
    TOOLS.add(_build_generator_tool(_generator))
