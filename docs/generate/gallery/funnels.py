"""The gallery's room of funnel episodes: a page for each family of anomalies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure

from docs.generate.charts import BAND, ECHO, LINE, MUTED, ROOT, SECOND, STYLE, add_legend, sheet
from docs.generate.examples import draw_impossible_hours, draw_mix, root_column, table
from docs.generate.gallery.rooms import Exhibit, Family, Reset, Room
from metric_tracker_rl.engine.configuration.episode_config import MIXED
from metric_tracker_rl.engine.configuration.splits import SPLITS, STRATA
from metric_tracker_rl.engine.definitions.anomaly_types import (
    COUNT_DROP,
    COUNT_SPIKE,
    FUNNEL_BREAK,
    MIX_SHIFT,
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
PANELS = 3
"""Most panels of a picture."""

START = (
    "`task_overview` states the policy's thresholds, `get_metric_median` what is usual, and "
    "`list_suspicious_dates` on which days anything is flagged; on `expert`, `list_calendar` says "
    "what is known of a day, and what that explains is no root. "
)
FAMILIES = {
    RATE_DROP: Family(
        "A rate falls",
        "One step of the funnel converts worse on a day, and everybody who did not take it is "
        "missing from all later stages; or several steps each lose a little, and only a rate over "
        "the whole way is flagged (a slow leak).",
        f"{START}`rows_for_date` shows every count and rate of such a day. The flagged step rate "
        "is the root; later counts and composite rates are its echoes and are not reported. Where "
        "no step rate is flagged, the flagged composite that spans the fewest stages is the root. "
        "`submit_solution` ends the episode.",
    ),
    RATE_SPIKE: Family(
        "A rate rises",
        "One step of the funnel converts better than usual on a day, or several a little, and all "
        "later stages have more events for it.",
        f"{START}`rows_for_date` shows every count and rate of such a day. As with a drop, the "
        "step that moved is the root and what follows it an echo; the sign makes it a spike. "
        "`submit_solution` ends the episode.",
    ),
    COUNT_DROP: Family(
        "A count falls",
        "Fewer people come, and every later count falls with them while rates stand still; or the "
        "events of one stage were lost, and the rate into it falls as the rate out of it rises.",
        f"{START}`rows_for_date` shows which it is. Where `app_opens` is flagged it is the root "
        "and later counts are echoes. Where one inner count is flagged between two that are not, "
        "and its two rates moved against each other, that count is the root and the rates are the "
        "echoes. `submit_solution` ends the episode.",
    ),
    COUNT_SPIKE: Family(
        "A count rises",
        "More people come, or the events of one stage were recorded twice: then the rate into it "
        "rises as the rate out of it falls, and its neighbours stand still.",
        f"{START}`rows_for_date` shows which it is, by the same rules as for a drop. "
        "`submit_solution` ends the episode.",
    ),
    FUNNEL_BREAK: Family(
        "A step breaks",
        "A step loses more than a third of those who usually take it. It is a rate drop so large "
        "that the policy gives it a kind of its own.",
        f"{START}`rows_for_date` shows the step rate; from the break threshold on it is reported "
        "as a `funnel_step` instead of a `conversion_rate`, with `detect_funnel_break` as its "
        "method. `submit_solution` ends the episode.",
    ),
    MIX_SHIFT: Family(
        "People come at other hours",
        "The day's total is usual and so is every rate, but the share of it that falls in daytime "
        "is not. Only the hours show it.",
        f"{START}`get_hourly_traffic_mix_shift_rows` shows such a day's share beside the usual "
        "one, and `hourly_rows_for_date` the hours behind it. It is reported beside whatever else "
        "happened on that day. `submit_solution` ends the episode.",
    ),
    QUALITY_ISSUE: Family(
        "Impossible counts",
        "In a few hours a stage has more events than the stage before it: nobody can have done "
        "that, so the instruments are at fault.",
        f"{START}`check_impossible_counts` names the pair of stages and the excess over the day. "
        "Such a pair is all that is reported of its day, whatever else moved. `submit_solution` "
        "ends the episode.",
    ),
    MIXED: Family(
        "Several kinds at once",
        "Anomalies of any kind, on different days. A day of a mix shift may hold another one.",
        f"{START}Each such day is decided by itself, in the policy's order: "
        "`check_impossible_counts` first, `get_hourly_traffic_mix_shift_rows` where the share "
        "moved, `rows_for_date` for everything else. `submit_solution` ends the episode.",
    ),
}


class Funnels(Room):
    """Episodes of the reporting tiers."""

    name = "funnel"
    title = "Funnels"
    opening = (
        "Four weeks of a product funnel, eight on `expert`, of which an agent is to report what "
        "went wrong, and not what follows from it: see the [policy](../reporting-policy.md). "
        "Scores of scripted players are of the [tables](../benchmark-tables.md)."
    )
    environment = ENVIRONMENT
    families: Mapping[str, Family] = FAMILIES

    @property
    def levels(self) -> Mapping[str, str]:
        """Each level with its thresholds and its noise."""
        return {name: _described(name) for name in LEVELS}

    def resets(self, family: str, level: str) -> Iterator[Reset]:
        """Tasks of the train split's first block, which has each combination once."""
        for place in _of_first_block().get((family, level, 3 if family == MIXED else 1), ()):
            yield {"split": SPLIT, "index": place}

    def exhibit(self, family: str, level: str, reset: Reset) -> Exhibit | None:
        """The whole right report is what there is to see."""
        config = SPLITS.task(reset["split"], reset["index"]).config
        if (config.scenario_family, config.difficulty) != (family, level):
            return None
        episode = build_episode(config)
        return Exhibit(_report(episode.expected_rows), partial(picture, episode))

    def shown(self, answer: Mapping[str, Any]) -> object:
        """The result, or the message where there is none."""
        return answer.get("result", answer["message"])


@cache
def _of_first_block() -> Mapping[tuple[str, str, int], list[int]]:
    """Tasks of the train split's first block by family, level and number of anomalies."""
    found: dict[tuple[str, str, int], list[int]] = {}
    for place in range(len(STRATA)):
        config = SPLITS.task(SPLIT, place).config
        key = (config.scenario_family, config.difficulty, config.anomaly_count)
        found.setdefault(key, []).append(place)
    return found


def _described(name: str) -> str:
    level = LEVELS[name]
    decoys = f", {level.decoys} days that the calendar explains" if level.decoys else ""
    low, high = level.separation
    return (
        f"{level.days} days{decoys}; counts are flagged from {level.count_threshold:.0%}, rates "
        f"from {level.rate_threshold:.0%}, and an anomaly is {low:g} to {high:g} times as large "
        "as that."
    )


def _report(rows: tuple[ReportRow, ...]) -> str:
    """The right report in the order of its days."""
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
    header = ["date", "entity", "anomaly", "usual", "that day", "severity"]
    return "The right report:\n\n" + table(header, cells, "lllrrl")


@style.context(STYLE)
def picture(episode: FunnelEpisode) -> Figure:
    """A panel for each root; where there is one alone, also for its loudest echo."""
    roots = episode.expected_rows[:PANELS]
    hourly = [root for root in roots if root.entity_type in (DATA_QUALITY, HOURLY_MIX)]
    columns = [root_column(episode, root) for root in roots if root not in hourly]
    if len(columns) == 1 and not hourly:
        columns += _echo(episode, roots[0], columns[0])
    figure = sheet(len(hourly) + len(columns), height=1.5)
    for axes, root in zip(figure.axes, hourly, strict=False):
        draw = draw_impossible_hours if root.entity_type == DATA_QUALITY else draw_mix
        draw(axes, episode, root)
    for axes, column in zip(figure.axes[len(hourly) :], columns, strict=True):
        _draw_days(axes, episode, column)
    add_legend(figure)
    return figure


def _echo(episode: FunnelEpisode, root: ReportRow, column: int) -> list[int]:
    """The series that stands out most on a root's day beside its own; none where none does."""
    series = episode.series
    stands_out = np.abs(series.deviations[episode.day_by_date[root.date]]) / series.thresholds
    stands_out[[column, series.funnel.columns.daytime_share]] = 0.0
    loudest = int(np.argmax(stands_out))
    return [loudest] if stands_out[loudest] >= 1.0 else []


def _draw_days(axes: Any, episode: FunnelEpisode, column: int) -> None:
    """A daily series with what is usual; on flagged days it is told what the policy makes of it."""
    series, funnel = episode.series, episode.config.funnel_spec
    values, base = series.values[:, column], series.medians_by_column[column]
    limit = float(series.thresholds[column])
    flagged = np.abs(series.deviations[:, column]) >= limit
    explained = flagged & (np.abs(series.unexplained_deviations[:, column]) < limit)
    own = [
        episode.day_by_date[row.date]
        for row in episode.expected_rows
        if row.entity_type not in (DATA_QUALITY, HOURLY_MIX) and root_column(episode, row) == column
    ]
    (others,) = np.nonzero(flagged & ~explained & ~np.isin(np.arange(len(values)), own))
    (known,) = np.nonzero(explained)
    axes.plot(values, color=LINE, label="daily value")
    axes.axhline(base, color=MUTED, linestyle="--", linewidth=1, label="median")
    axes.axhspan(base * (1 - limit), base * (1 + limit), color=BAND, label="not flagged")
    for days, label, shape in (
        (own, "a root", {"color": ROOT}),
        (others, "an echo", {"color": ECHO, "markerfacecolor": "white"}),
        (known, "explained by the calendar", {"color": SECOND, "markerfacecolor": "white"}),
    ):
        if len(days):
            axes.plot(days, values[days], "o", label=label, **shape)
    name = funnel.metric_names[column]
    axes.set_title(name if column < len(funnel.count_names) else f"{name} (%)")
    axes.set_xticks(range(0, len(values), 7), episode.dates[::7])
    axes.tick_params(axis="x", labelsize=7)
