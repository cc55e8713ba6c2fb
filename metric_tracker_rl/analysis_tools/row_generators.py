"""Row generators: report rows by a statistical filter, blind to roots and echoes.

A row comes back where |value − median| > threshold_multiplier × standard deviation from the
median, and the deviation also reaches the difficulty's reporting threshold. None of them
applies the reporting policy's order, so their rows hold echoes beside roots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import ValidationError

from metric_tracker_rl.analysis_tools.arguments import (
    MAX_MULTIPLIER,
    Arguments,
    MetricRowsArguments,
    PayloadArguments,
    SeriesRowsArguments,
)
from metric_tracker_rl.analysis_tools.registry import TOOLS, Result, Tool
from metric_tracker_rl.analysis_tools.statistics import chosen_metrics, metric_column
from metric_tracker_rl.engine.reporting_policy import Finding, ReportRow, row_for
from metric_tracker_rl.engine.rules import EpisodeView
from metric_tracker_rl.engine.series import RATE_DECIMALS
from metric_tracker_rl.engine.vocabulary import (
    CONVERSION_RATE,
    COUNT_DROP,
    COUNT_SPIKE,
    DATA_QUALITY,
    EVENT_COUNT,
    FUNNEL_BREAK,
    FUNNEL_STEP,
    HOURLY_MIX,
    MEDIAN_FILTER,
    MIX_SHIFT,
    QUALITY_ISSUE,
    RATE_DROP,
    RATE_SPIKE,
)
from metric_tracker_rl.rows import PayloadGeneratorMethod
from openenv_kit.errors import ToolArgumentError, UnknownNameError, echo
from openenv_kit.tools.schema import describe_problems


class Lens(NamedTuple):
    """One series through a generator's eyes: where it is, and what its rows are called."""

    entity_type: str
    entity_name: str
    column: int
    falling: str | None
    """Anomaly type of a value below the median; None if those are not wanted."""
    rising: str | None
    threshold: float


@dataclass(frozen=True)
class RowGenerator:
    """One filter.

    Attributes:
        name: method name; the analysis method is `get_<name>_rows`.
        description: one line, written for agents.
        lenses: the series it looks at, given the metrics asked for.
        takes_metrics: whether it can be limited to some metrics.
        metrics: the metrics it can be limited to.
    """

    name: str
    description: str
    lenses: Callable[[EpisodeView, Sequence[str]], list[Lens]]
    metrics: Callable[[EpisodeView], Sequence[str]] = field(default=lambda _: ())
    takes_metrics: bool = True


def _metric_lenses(*kinds: str) -> Callable[[EpisodeView, Sequence[str]], list[Lens]]:
    """Lenses over named metrics that report the given anomaly types."""

    def lenses(view: EpisodeView, names: Sequence[str]) -> list[Lens]:
        level, stages = view.episode.config.level, len(view.episode.config.funnel_spec.counts)
        found = []
        for name in names:
            column = metric_column(view, name)
            drop, spike = (COUNT_DROP, COUNT_SPIKE) if column < stages else (RATE_DROP, RATE_SPIKE)
            found.append(
                Lens(
                    EVENT_COUNT if column < stages else CONVERSION_RATE,
                    name,
                    column,
                    drop if drop in kinds else None,
                    spike if spike in kinds else None,
                    level.count_threshold if column < stages else level.rate_threshold,
                )
            )
        return found

    return lenses


def _break_lenses(view: EpisodeView, _: Sequence[str]) -> list[Lens]:
    config = view.episode.config
    first = len(config.funnel_spec.counts)
    limit = config.level.break_threshold
    return [
        Lens(FUNNEL_STEP, name, first + index, FUNNEL_BREAK, None, limit)
        for index, name in enumerate(config.funnel_spec.steps)
    ]


def _mix_lenses(view: EpisodeView, _: Sequence[str]) -> list[Lens]:
    config = view.episode.config
    column, limit = len(config.funnel_spec.metrics), config.level.mix_threshold
    return [Lens(HOURLY_MIX, config.funnel_spec.mix, column, MIX_SHIFT, MIX_SHIFT, limit)]


def _quality_lenses(view: EpisodeView, _: Sequence[str]) -> list[Lens]:
    names = view.episode.config.funnel_spec.quality_checks
    # Any excess at all is past the reporting threshold.
    return [Lens(DATA_QUALITY, name, k, None, QUALITY_ISSUE, 0.0) for k, name in enumerate(names)]


def _counts(view: EpisodeView) -> Sequence[str]:
    return view.episode.config.funnel_spec.counts


def _rates(view: EpisodeView) -> Sequence[str]:
    return view.episode.config.funnel_spec.rates


def _all_metrics(view: EpisodeView) -> Sequence[str]:
    return view.episode.config.funnel_spec.metrics


GENERATORS: dict[str, RowGenerator] = {
    each.name: each
    for each in (
        RowGenerator(
            MEDIAN_FILTER,
            "Rows of any count or rate far from its median, in either direction.",
            _metric_lenses(RATE_DROP, RATE_SPIKE, COUNT_DROP, COUNT_SPIKE),
            _all_metrics,
        ),
        RowGenerator(
            RATE_DROP,
            "Rows of conversion rates far below their median.",
            _metric_lenses(RATE_DROP),
            _rates,
        ),
        RowGenerator(
            RATE_SPIKE,
            "Rows of conversion rates far above their median.",
            _metric_lenses(RATE_SPIKE),
            _rates,
        ),
        RowGenerator(
            COUNT_DROP,
            "Rows of event counts far below their median.",
            _metric_lenses(COUNT_DROP),
            _counts,
        ),
        RowGenerator(
            COUNT_SPIKE,
            "Rows of event counts far above their median.",
            _metric_lenses(COUNT_SPIKE),
            _counts,
        ),
        RowGenerator(
            FUNNEL_BREAK,
            "Rows of funnel steps whose rate fell by at least the break threshold.",
            _break_lenses,
            takes_metrics=False,
        ),
        RowGenerator(
            MIX_SHIFT,
            "Rows of dates whose daytime share is far from its median.",
            _mix_lenses,
            takes_metrics=False,
        ),
        RowGenerator(
            QUALITY_ISSUE,
            "Rows of adjacent stages with impossible counts in some hour.",
            _quality_lenses,
            takes_metrics=False,
        ),
    )
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
