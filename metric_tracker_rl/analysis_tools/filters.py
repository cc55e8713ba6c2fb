"""The row generators' table: which series each one filters, and what its rows are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from metric_tracker_rl.analysis_tools.statistics import metric_column
from metric_tracker_rl.engine.rules import EpisodeView
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
from openenv_kit.errors import ToolArgumentError, UnknownNameError


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
