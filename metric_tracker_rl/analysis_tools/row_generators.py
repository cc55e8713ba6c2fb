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
    GeneratedArguments,
    MetricRowsArguments,
    PayloadArguments,
    PayloadRowsArguments,
    SeriesRowsArguments,
)
from metric_tracker_rl.analysis_tools.registry import TOOLS, Result, kept
from metric_tracker_rl.analysis_tools.statistics import chosen_metrics
from metric_tracker_rl.engine.configuration.play_rules import EpisodeView
from metric_tracker_rl.engine.definitions.names import (
    CONVERSION_RATE,
    ENTITY_TYPES,
    EVENT_COUNT,
    MEDIAN_FILTER,
    ROWS_OF,
)
from metric_tracker_rl.engine.reporting_policy.daily_series import RATE_DECIMALS
from metric_tracker_rl.engine.reporting_policy.find_roots import Finding, anomaly_type, types_of
from metric_tracker_rl.engine.reporting_policy.labels import ReportRow, row_for
from metric_tracker_rl.wire_models import PayloadGeneratorMethod
from openenv_kit.errors import ToolArgumentError, UnknownNameError, echo
from openenv_kit.schema import describe_problems, json_schema
from openenv_kit.tool import Arguments, Tool


@dataclass(frozen=True)
class RowGenerator:
    """One filter, over every series whose rows can report one of its anomaly types.

    Attributes:
        name: method name; the analysis method is `get_<name>_rows`.
        description: one line, written for agents.
        reports: anomaly types of its rows.
    """

    name: str
    description: str
    reports: tuple[str, ...]

    @cached_property
    def entity_types(self) -> tuple[str, ...]:
        """Entity types of its rows."""
        return tuple(kind for kind in ENTITY_TYPES if set(types_of(kind)) & set(self.reports))

    @cached_property
    def takes_metrics(self) -> bool:
        """Whether it can be limited to some metrics."""
        return set(self.entity_types) <= {EVENT_COUNT, CONVERSION_RATE}

    def entities(self, view: EpisodeView) -> dict[str, str]:
        """Entity type by entity name of the series it looks at."""
        names = view.episode.config.funnel_spec.entity_names
        return {name: kind for kind in self.entity_types for name in names[kind]}


GENERATORS: dict[str, RowGenerator] = {
    MEDIAN_FILTER: RowGenerator(
        MEDIAN_FILTER,
        "Rows of any count or rate far from its median, in either direction.",
        (*types_of(CONVERSION_RATE), *types_of(EVENT_COUNT)),
    ),
    **{name: RowGenerator(name, f"Rows of {about}.", (name,)) for name, about in ROWS_OF.items()},
}


def tool_name(generator: str) -> str:
    """Name of the analysis method that runs a generator."""
    return f"get_{generator}_rows"


def find_generator(name: object) -> RowGenerator:
    """Generator by its own name or by its analysis method's name.

    Raises:
        ToolArgumentError: no such generator; names the nearest.
    """
    if isinstance(name, str):
        short = name.removeprefix("get_").removesuffix("_rows")
        if short in GENERATORS and name in (short, tool_name(short)):
            return GENERATORS[short]
    raise ToolArgumentError(str(UnknownNameError("method_name", name, GENERATORS)))


def check_generators(methods: Sequence[Any]) -> None:
    """Make sure that generators to submit have the shape that `payload_generator` asks for.

    Raises:
        ToolArgumentError: they do not; says which field, what it holds and what is allowed.
    """
    try:
        PayloadArguments.model_validate({"generator_methods": list(methods)})
    except ValidationError as error:
        problem = describe_problems("payload_generators", json_schema(PayloadArguments), error)
        raise ToolArgumentError(f"{problem} Nothing was graded.") from None


def run_generators(
    view: EpisodeView, methods: Sequence[PayloadGeneratorMethod | Mapping[str, Any]]
) -> tuple[list[ReportRow], list[Result]]:
    """Rows of several generators, merged by key, and a summary of each.

    Raises:
        ToolArgumentError: an unknown method, metric or date, or a bad multiplier.
    """
    merged: dict[tuple[str, str, str], ReportRow] = {}
    summaries = []
    for method in methods:
        generator = find_generator(method["method_name"])
        rows, details = _run(
            view,
            generator,
            method.get("metric_name"),
            method.get("metric_names") or (),
            _multiplier(method.get("threshold_multiplier", 2.0)),
            method.get("dates") or (),
        )
        for row in rows:
            merged.setdefault(row.key, row)
        summaries.append(
            {"method_name": generator.name, "match_count": len(rows), "details": details}
        )
    return sorted(merged.values(), key=lambda row: row.date), summaries


@TOOLS.tool(PayloadRowsArguments)
def payload_generator(view: EpisodeView, arguments: PayloadRowsArguments) -> Result:
    """Run several row generators and merge their rows, without submitting them."""
    rows, summaries = run_generators(view, arguments.generator_methods)
    return {
        "generator_methods": [method.model_dump() for method in arguments.generator_methods],
        "generated_row_count": len(rows),
        **_page(rows, summaries, arguments),
    }


def _page(
    rows: Sequence[ReportRow], details: list[Result], arguments: GeneratedArguments
) -> Result:
    """The first rows, as many as are asked for, and details where they are."""
    return {
        "generated_rows": [row.as_dict() for row in rows[: arguments.limit]],
        "details": details if arguments.details else [],
    }


def _multiplier(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and 0.0 <= value <= MAX_MULTIPLIER:
        return float(value)
    raise ToolArgumentError(
        f"threshold_multiplier is {echo(value)}; allowed: a number from 0 to {MAX_MULTIPLIER:g}."
    )


def _run(
    view: EpisodeView,
    generator: RowGenerator,
    metric: str | None,
    several: Sequence[str],
    multiplier: float,
    dates: Sequence[str],
) -> tuple[list[ReportRow], list[Result]]:
    if not generator.takes_metrics and (metric is not None or several):
        raise ToolArgumentError(f"{generator.name} looks at one fixed series; it takes no metric.")
    episode, metrics = view.episode, view.episode.metrics
    series, columns = episode.series, episode.config.funnel_spec.columns
    entities = generator.entities(view)
    names = chosen_metrics(view, metric, several, tuple(entities))
    chosen = [*map(episode.require_date, dates)]
    taken = metrics.columns(names)
    spreads = metrics.spread.to_numpy()[taken]
    differences = metrics.difference.to_numpy()[:, taken]
    far = metrics.flagged.to_numpy()[:, taken] & (np.abs(differences) > multiplier * spreads)
    changes = metrics.deviation.to_numpy()[:, taken].tolist()
    rows = []
    for day, place in np.argwhere(far).tolist():  # by date, then in the names' order
        date, kind, name = episode.dates[day], entities[names[place]], names[place]
        anomaly = anomaly_type(kind, changes[day][place])
        if anomaly in generator.reports and (not chosen or date in chosen):
            finding = Finding(kind, name, anomaly, columns[kind, name])
            rows.append(row_for(finding, day, date, series))
    matches = Counter(row.entity_name for row in rows)
    medians = metrics.median.to_numpy()[taken].tolist()
    details = [
        {
            "entity_name": name,
            "median_value": median,
            "std_dev_from_median": round(spread, RATE_DECIMALS + 2),
            "threshold_value": round(multiplier * spread, RATE_DECIMALS + 2),
            "reporting_threshold": episode.config.level.thresholds[entities[name]],
            "match_count": matches[name],
        }
        for name, median, spread in zip(names, medians, spreads.tolist(), strict=True)
    ]
    return rows, details


def _as_tool(generator: RowGenerator) -> Tool:
    """The analysis method of one generator."""

    def run(view: EpisodeView, arguments: Any) -> Result:
        metric = getattr(arguments, "metric_name", None)
        metrics = getattr(arguments, "metric_names", ())
        multiplier = arguments.threshold_multiplier
        rows, details = _run(view, generator, metric, metrics, multiplier, arguments.dates)
        looked_at = [detail["entity_name"] for detail in details]
        return {
            "method_name": generator.name,
            **({"metric_names": looked_at} if generator.takes_metrics else {}),
            "threshold_multiplier": multiplier,
            "match_count": len(rows),
            **_page(rows, details, arguments),
        }

    model: type[Arguments] = MetricRowsArguments if generator.takes_metrics else SeriesRowsArguments
    name, described = tool_name(generator.name), generator.description
    return Tool(name, described, model, kept(run), vocabulary=TOOLS.vocabulary)


for _generator in GENERATORS.values():
    TOOLS.add(_as_tool(_generator))
