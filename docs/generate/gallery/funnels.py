"""The gallery's pages of funnel episodes, one for each anomaly family."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure

from docs.generate.charts import (
    BAND_COLOUR,
    CONSEQUENCE_COLOUR,
    LINE_COLOUR,
    MUTED_COLOUR,
    ROOT_COLOUR,
    SECOND_COLOUR,
    STYLE,
    add_legend,
    create_figure,
)
from docs.generate.examples import (
    draw_hourly_traffic,
    draw_impossible_hours,
    markdown_table,
    root_column,
)
from docs.generate.gallery.gallery_part import (
    ExampleEpisode,
    FamilyDescription,
    GalleryPart,
    Reset,
)
from metric_tracker_rl.engine.configuration.splits import SPLITS, STRATA
from metric_tracker_rl.engine.definitions.anomaly_types import (
    COUNT_DROP,
    COUNT_SPIKE,
    FUNNEL_BREAK,
    MIX_SHIFT,
    MIXED,
    QUALITY_ISSUE,
    RATE_DROP,
    RATE_SPIKE,
)
from metric_tracker_rl.engine.definitions.entity_types import DATA_QUALITY, HOURLY_MIX
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.episode.episode import FunnelEpisode, build_episode
from metric_tracker_rl.environment import ENVIRONMENT

SPLIT = "train"
MAX_PANELS = 3
"""Maximum number of panels in a picture."""

FIRST_CALLS = (
    "`task_overview` returns the policy's thresholds, `get_metric_median` the baseline, and "
    "`list_suspicious_dates` the days with flagged series. On `expert`, `list_calendar` returns "
    "calendar entries; a deviation that an entry explains is no root. "
)
FAMILIES = {
    RATE_DROP: FamilyDescription(
        "A rate falls",
        "The conversion of one step falls on a day, and the lost users are missing from all later "
        "stages. Or several steps each lose a little, and only a composite rate over these steps "
        "is flagged (a slow leak).",
        f"{FIRST_CALLS}"
        "`rows_for_date` returns every count and rate of such a day. The flagged step "
        "rate is the root; later counts and composite rates are consequences and not reported. If "
        "no step rate is flagged, the flagged composite rate that spans the fewest stages is the "
        "root. "
        "`submit_solution` ends the episode.",
    ),
    RATE_SPIKE: FamilyDescription(
        "A rate rises",
        "The conversion of one step rises on a day, or of several steps a little, and all later "
        "stages have more events.",
        f"{FIRST_CALLS}"
        "`rows_for_date` returns every count and rate of such a day. As with a drop, the "
        "step that changed is the root, and later series are consequences. "
        "`submit_solution` ends the episode.",
    ),
    COUNT_DROP: FamilyDescription(
        "A count falls",
        "Fewer users arrive, so every later count falls while the rates stay the same. Or events "
        "of one stage were lost, so the rate into it falls and the rate out of it rises.",
        f"{FIRST_CALLS}"
        "`rows_for_date` shows which case it is. If `app_opens` is flagged, it is the root "
        "and later counts are consequences. If an inner count is flagged, its neighbours are not, "
        "and its two rates changed in opposite directions, that count is the root and the rates "
        "are consequences. `submit_solution` ends the episode.",
    ),
    COUNT_SPIKE: FamilyDescription(
        "A count rises",
        "More users arrive. Or events of one stage were recorded twice, so the rate into it rises, "
        "the rate out of it falls, and its neighbours stay the same.",
        f"{FIRST_CALLS}"
        "`rows_for_date` shows which case it is, by the same rules as for a drop. "
        "`submit_solution` ends the episode.",
    ),
    FUNNEL_BREAK: FamilyDescription(
        "A step breaks",
        "A step loses more than a third of its users. This is a rate drop so large that the policy "
        "reports it as a different anomaly type.",
        f"{FIRST_CALLS}"
        "`rows_for_date` returns the step rate. From the break threshold on, it is "
        "reported as a `funnel_step` instead of a `conversion_rate`, with `detect_funnel_break` as "
        "its method. `submit_solution` ends the episode.",
    ),
    MIX_SHIFT: FamilyDescription(
        "Traffic moves to other hours",
        "The day's total and every rate are at their baselines, but the share of daytime traffic "
        "deviates. Only hourly counts show it.",
        f"{FIRST_CALLS}"
        "`get_hourly_traffic_mix_shift_rows` returns the daytime share and its baseline, and "
        "`hourly_rows_for_date` the hourly counts. The shift is reported in addition to other "
        "anomalies of that day. `submit_solution` ends the episode.",
    ),
    QUALITY_ISSUE: FamilyDescription(
        "Impossible counts",
        "In a few hours a stage has more events than the stage before it. This is impossible, so "
        "the instrumentation is wrong.",
        f"{FIRST_CALLS}"
        "`check_impossible_counts` returns the pair of stages and the excess of the day. "
        "Nothing else is reported for that day. `submit_solution` ends the episode.",
    ),
    MIXED: FamilyDescription(
        "Several anomaly types",
        "Anomalies of any type on different days. A day with a mix shift may have another one.",
        f"{FIRST_CALLS}"
        "Each day is examined in the policy's order: `check_impossible_counts` first, "
        "`get_hourly_traffic_mix_shift_rows` if the share deviates, `rows_for_date` for "
        "everything else. `submit_solution` ends the episode.",
    ),
}


class FunnelGallery(GalleryPart):
    """The gallery's pages about the funnel."""

    name = "funnel"
    title = "Funnels"
    introduction = (
        "Four weeks of a product funnel, eight on `expert`. A model has to report the root of each "
        "anomaly and not its consequences; see the [reporting policy](../reporting-policy.md). The "
        "[tables](../benchmark-tables.md) have the scores of scripted policies."
    )
    environment = ENVIRONMENT
    families: Mapping[str, FamilyDescription] = FAMILIES

    @property
    def levels(self) -> Mapping[str, str]:
        return {name: _describe_level(name) for name in LEVELS}

    def candidate_resets(self, family: str, level: str) -> Iterator[Reset]:
        """Yield tasks of the train split's first block, which has each combination once."""
        stratum = _Stratum(family, level, 3 if family == MIXED else 1)
        for index in _task_indices_by_stratum().get(stratum, ()):
            yield {"split": SPLIT, "index": index}

    def example_of(self, family: str, level: str, reset: Reset) -> ExampleEpisode | None:
        config = SPLITS.task(reset["split"], reset["index"]).config
        if (config.scenario_family, config.difficulty) != (family, level):
            return None
        episode = build_episode(config)
        return ExampleEpisode(
            _report_markdown(episode.expected_rows), partial(draw_episode, episode)
        )

    def relevant_result(self, tool_result: Mapping[str, Any]) -> object:
        """Return the analysis result, or the message of a reply without one."""
        return tool_result.get("result", tool_result["message"])


class _Stratum(NamedTuple):
    family: str
    level: str
    anomaly_count: int


@cache
def _task_indices_by_stratum() -> Mapping[_Stratum, list[int]]:
    """Return the tasks of the train split's first block."""
    indices: defaultdict[_Stratum, list[int]] = defaultdict(list)
    for index in range(len(STRATA)):
        config = SPLITS.task(SPLIT, index).config
        stratum = _Stratum(config.scenario_family, config.difficulty, config.anomaly_count)
        indices[stratum].append(index)
    return indices


def _describe_level(name: str) -> str:
    level = LEVELS[name]
    decoys = f", {level.decoys} days that the calendar explains" if level.decoys else ""
    low, high = level.separation
    return (
        f"{level.days} days{decoys}; counts are flagged from {level.count_threshold:.0%}, rates "
        f"from {level.rate_threshold:.0%}, and an anomaly is {low:g} to {high:g} times as large "
        "as its threshold."
    )


def _report_markdown(rows: tuple[ReportRow, ...]) -> str:
    cells = [
        [
            row.date,
            f"`{row.entity_name}`",
            f"`{row.anomaly_type}`",
            f"{row.baseline_value:g}",
            f"{row.observed_value:g}",
            row.severity,
        ]
        for row in rows
    ]
    titles = ["date", "entity", "anomaly", "baseline", "observed", "severity"]
    return "The expected report:\n\n" + markdown_table(titles, cells, "lllrrl")


@style.context(STYLE)
def draw_episode(episode: FunnelEpisode) -> Figure:
    """Draw a panel for each root, and for a single root also its largest consequence."""
    roots = episode.expected_rows[:MAX_PANELS]
    hourly = [root for root in roots if root.entity_type in (DATA_QUALITY, HOURLY_MIX)]
    columns = [root_column(episode, root) for root in roots if root not in hourly]
    if len(columns) == 1 and not hourly:
        columns += _largest_consequence(episode, roots[0], columns[0])
    figure = create_figure(len(hourly) + len(columns), panel_height_in=1.5)
    for axes, root in zip(figure.axes, hourly, strict=False):
        draw = draw_impossible_hours if root.entity_type == DATA_QUALITY else draw_hourly_traffic
        draw(axes, episode, root)
    for axes, column in zip(figure.axes[len(hourly) :], columns, strict=True):
        _draw_days(axes, episode, column)
    add_legend(figure)
    return figure


def _largest_consequence(
    episode: FunnelEpisode, root: ReportRow, root_series_column: int
) -> list[int]:
    """Return the column with the largest other deviation on the root's day; none if not flagged."""
    series = episode.series
    relative_size = np.abs(series.deviations[episode.day_by_date[root.date]]) / series.thresholds
    relative_size[[root_series_column, series.funnel.columns.daytime_share]] = 0.0
    largest = int(np.argmax(relative_size))
    return [largest] if relative_size[largest] >= 1.0 else []


def _draw_days(axes: Any, episode: FunnelEpisode, column: int) -> None:
    """Draw a daily series with its median and threshold, and mark the flagged days."""
    series, funnel = episode.series, episode.config.funnel_with_policy_daytime
    values, median = series.values[:, column], series.medians_by_column[column]
    limit = float(series.thresholds[column])
    is_flagged = np.abs(series.deviations[:, column]) >= limit
    is_explained = is_flagged & (np.abs(series.unexplained_deviations[:, column]) < limit)
    root_days = [
        episode.day_by_date[row.date]
        for row in episode.expected_rows
        if row.entity_type not in (DATA_QUALITY, HOURLY_MIX) and root_column(episode, row) == column
    ]
    is_root = np.isin(np.arange(len(values)), root_days)
    (consequence_days,) = np.nonzero(is_flagged & ~is_explained & ~is_root)
    (explained_days,) = np.nonzero(is_explained)
    axes.plot(values, color=LINE_COLOUR, label="daily value")
    axes.axhline(median, color=MUTED_COLOUR, linestyle="--", linewidth=1, label="median")
    axes.axhspan(median * (1 - limit), median * (1 + limit), color=BAND_COLOUR, label="not flagged")
    for days, label, colour in (
        (root_days, "root", ROOT_COLOUR),
        (consequence_days, "consequence", CONSEQUENCE_COLOUR),
        (explained_days, "explained by the calendar", SECOND_COLOUR),
    ):
        fill_colour = colour if label == "root" else "white"
        if len(days):
            axes.plot(
                days, values[days], "o", label=label, color=colour, markerfacecolor=fill_colour
            )
    name = funnel.count_and_rate_names[column]
    axes.set_title(name if column < len(funnel.event_count_names) else f"{name} (%)")
    axes.set_xticks(range(0, len(values), 7), episode.dates[::7])
    axes.tick_params(axis="x", labelsize=7)
