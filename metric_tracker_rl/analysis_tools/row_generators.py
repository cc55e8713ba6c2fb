"""Row generators: report rows by a statistical filter, blind to roots and echoes.

A row comes back where |value − median| > threshold_multiplier × standard deviation from the
median, and the deviation also reaches the difficulty's reporting threshold. None of them
applies the reporting policy's order, so their rows hold echoes beside roots.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from metric_tracker_rl.analysis_tools.arguments import (
    MAX_MULTIPLIER,
    Arguments,
    MetricRowsArguments,
    PayloadArguments,
    SeriesRowsArguments,
)
from metric_tracker_rl.analysis_tools.filters import (
    GENERATORS,
    Lens,
    RowGenerator,
    find_generator,
    tool_name,
)
from metric_tracker_rl.analysis_tools.registry import TOOLS, Result, Tool
from metric_tracker_rl.analysis_tools.statistics import chosen_metrics
from metric_tracker_rl.engine.reporting_policy import Finding, ReportRow, row_for
from metric_tracker_rl.engine.rules import EpisodeView
from metric_tracker_rl.engine.series import RATE_DECIMALS
from metric_tracker_rl.engine.vocabulary import DATA_QUALITY
from metric_tracker_rl.rows import PayloadGeneratorMethod
from openenv_kit.errors import ToolArgumentError, echo
from openenv_kit.tools.schema import describe_problems

__all__ = ["GENERATORS", "check_generators", "payload_generator", "run_generators"]


def check_generators(methods: Sequence[Any]) -> None:
    """Make sure that generators to submit have the shape that `payload_generator` asks for.

    Raises:
        ToolArgumentError: they do not; says which field, what it holds and what is allowed.
    """
    try:
        PayloadArguments.model_validate({"generator_methods": list(methods)})
    except ValidationError as error:
        problem = describe_problems("payload_generators", PayloadArguments, error)
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


@TOOLS.method(PayloadArguments)
def payload_generator(view: EpisodeView, arguments: PayloadArguments) -> Result:
    """Run several row generators and merge their rows, without submitting them."""
    rows, summaries = run_generators(view, arguments.generator_methods)
    return {
        "generator_methods": [method.model_dump() for method in arguments.generator_methods],
        "generated_row_count": len(rows),
        "generated_rows": [row.as_dict() for row in rows],
        "details": summaries,
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
    metrics: Sequence[str],
    multiplier: float,
    dates: Sequence[str],
) -> tuple[list[ReportRow], list[Result]]:
    if not generator.takes_metrics and (metric is not None or metrics):
        raise ToolArgumentError(f"{generator.name} looks at one fixed series; it takes no metric.")
    names = chosen_metrics(view, metric, metrics, generator.metrics(view))
    wanted = {view.episode.day_index(date) for date in dates} or range(len(view.episode.dates))
    rows: list[tuple[int, ReportRow]] = []
    details = []
    for lens in generator.lenses(view, names):
        found = list(_matches(view, lens, multiplier))
        kept = [(day, row) for day, row in found if day in wanted]
        rows.extend(kept)
        details.append(_detail(view, lens, multiplier, len(kept)))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])], details


def _matches(view: EpisodeView, lens: Lens, multiplier: float) -> Iterator[tuple[int, ReportRow]]:
    series, dates = view.episode.series, view.episode.dates
    limit = multiplier * _spread(view, lens)
    days, differences, sizes = _changes(view, lens)
    for day in days:
        difference = differences[day]
        kind = lens.falling if difference < 0 else lens.rising
        # A funnel break has a threshold of its own, above that of its rate.
        if kind is None or sizes[day] < lens.threshold or abs(difference) <= limit:
            continue
        finding = Finding(lens.entity_type, lens.entity_name, kind, lens.column)
        yield day, row_for(finding, day, dates[day], series)


def _changes(
    view: EpisodeView, lens: Lens
) -> tuple[Sequence[int], Sequence[float], Sequence[float]]:
    """Days to look at; value minus baseline and the size that thresholds are for, by day."""
    series, column = view.episode.series, lens.column
    if lens.entity_type == DATA_QUALITY:
        excess = series.excess_columns[column]
        return series.excess_days[column], excess, excess
    differences = series.difference_columns[column]
    return series.far_days[column], differences, series.deviation_sizes[column]


def _spread(view: EpisodeView, lens: Lens) -> float:
    series = view.episode.series
    if lens.entity_type == DATA_QUALITY:
        return series.excess_spreads[lens.column]
    return series.spreads[lens.column]


def _detail(view: EpisodeView, lens: Lens, multiplier: float, matches: int) -> Result:
    quality = lens.entity_type == DATA_QUALITY
    spread = _spread(view, lens)
    return {
        "entity_name": lens.entity_name,
        "median_value": 0.0 if quality else view.episode.series.baseline_row[lens.column],
        "std_dev_from_median": round(spread, RATE_DECIMALS + 2),
        "threshold_value": round(multiplier * spread, RATE_DECIMALS + 2),
        "reporting_threshold": lens.threshold,
        "match_count": matches,
    }


def _as_tool(generator: RowGenerator) -> Tool[Any]:
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
            "generated_rows": [row.as_dict() for row in rows],
            "details": details,
        }

    model: type[Arguments] = MetricRowsArguments if generator.takes_metrics else SeriesRowsArguments
    return Tool(tool_name(generator.name), generator.description, model, run)


for _generator in GENERATORS.values():
    TOOLS.add(_as_tool(_generator))
