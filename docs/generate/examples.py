"""Generates worked examples of the reporting policy: one episode for each rule."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
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
    STYLE,
    add_legend,
    create_figure,
)
from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.anomaly_types import (
    COUNT_DROP,
    FUNNEL_BREAK,
    MIX_SHIFT,
    QUALITY_ISSUE,
    RATE_DROP,
)
from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    DATA_QUALITY,
    EVENT_COUNT,
    FUNNEL_STEP,
    HOURLY_MIX,
)
from metric_tracker_rl.engine.definitions.funnel import HOURS_PER_DAY
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.episode.episode import FunnelEpisode, build_episode

SEEDS = range(500)
"""Seeds to search: an example shows the first seed whose episode has the required root."""


class Entity(NamedTuple):
    """The entity of a report row."""

    entity_type: str
    name: str


class ExampleRoot(NamedTuple):
    """The episode of an example, and the expected row that it shows."""

    episode: FunnelEpisode
    row: ReportRow


@dataclass(frozen=True)
class Example:
    """An episode that shows one rule.

    Attributes:
        name: name of the section and of the picture.
        family: family of the episode's only anomaly.
        entity: entity of the root.
        series: daily series to draw, that of the root first; none for an hourly picture.
    """

    name: str
    family: str
    entity: Entity
    series: tuple[str, ...] = ()


EXAMPLES: dict[str, Example] = {
    example.name: example
    for example in (
        Example(
            "impossible-counts",
            QUALITY_ISSUE,
            Entity(DATA_QUALITY, "product_added_to_cart_lte_menu_opens"),
        ),
        Example("traffic-mix", MIX_SHIFT, Entity(HOURLY_MIX, "app_opens:daytime_share")),
        Example(
            "lost-events",
            COUNT_DROP,
            Entity(EVENT_COUNT, "product_added_to_cart"),
            (
                "product_added_to_cart",
                "menu_open_to_product_added_to_cart",
                "product_added_to_cart_to_order_placed",
            ),
        ),
        Example(
            "step-moved",
            RATE_DROP,
            Entity(CONVERSION_RATE, "menu_open_to_product_added_to_cart"),
            (
                "menu_open_to_product_added_to_cart",
                "orders_placed",
                "app_open_to_payment_successful",
            ),
        ),
        Example(
            "funnel-break",
            FUNNEL_BREAK,
            Entity(FUNNEL_STEP, "orders_placed_from_product_added_to_cart"),
            ("product_added_to_cart_to_order_placed", "payment_successful"),
        ),
        Example(
            "slow-leak",
            RATE_DROP,
            Entity(CONVERSION_RATE, "app_open_to_order_placed"),
            ("app_open_to_order_placed", "app_open_to_menu_open", "orders_placed"),
        ),
        Example(
            "traffic",
            COUNT_DROP,
            Entity(EVENT_COUNT, "app_opens"),
            ("app_opens", "payment_successful", "app_open_to_payment_successful"),
        ),
    )
}


class ExampleError(ValueError):
    """No episode has the root of an example."""


@cache
def find_root(example: Example) -> ExampleRoot:
    """Return the first episode with the root of an example.

    Raises:
        ExampleError: no seed gives an episode with that root.
    """
    for seed in SEEDS:
        episode = build_episode(
            EpisodeConfig(
                seed=seed,
                scenario_family=example.family,
                difficulty="medium",
                anomaly_count=1,
            )
        )
        for row in episode.expected_rows:
            if (row.entity_type, row.entity_name) == example.entity:
                return ExampleRoot(episode, row)
    raise ExampleError(f"{example.name}: no seed below {SEEDS.stop} has the root {example.entity}")


@style.context(STYLE)
def draw_example(example: Example) -> Figure:
    """Draw the daily series of an example, or the hours of its day."""
    episode, root = find_root(example)
    figure = create_figure(len(example.series) or 1)
    for axes, name in zip(figure.axes, example.series, strict=False):
        _draw_days(axes, episode, root, name)
    if root.entity_type == DATA_QUALITY:
        draw_impossible_hours(figure.axes[0], episode, root)
    elif root.entity_type == HOURLY_MIX:
        draw_hourly_traffic(figure.axes[0], episode, root)
    add_legend(figure)
    return figure


def example_markdown(example: Example) -> str:
    """Return the section of an example: its reset, picture, table of the day, and row."""
    episode, root = find_root(example)
    config = episode.config
    reset = (
        f'reset(seed={config.seed}, scenario_family="{config.scenario_family}", '
        f'difficulty="{config.difficulty}", anomaly_count={config.anomaly_count})'
    )
    return "\n\n".join(
        [
            f"`{reset}`, {root.date}:",
            f"![{root.anomaly_type} on {root.date}](assets/{example.name}.png)",
            *_day_table(episode, root),
            "The report:",
            f"```json\n{json.dumps(root.as_dict(), indent=2)}\n```",
        ]
    )


def _draw_days(axes: Any, episode: FunnelEpisode, root: ReportRow, name: str) -> None:
    """Draw a daily series, its median, the values that are not flagged, and the flagged day."""
    series, funnel = episode.series, episode.config.funnel_with_policy_daytime
    column, day = funnel.count_and_rate_names.index(name), episode.day_by_date[root.date]
    values = [row[column] for row in series.values_and_excess_by_day]
    median, limit = series.medians_by_column[column], float(series.thresholds[column])
    axes.plot(values, color=LINE_COLOUR, label="daily value")
    axes.axhline(median, color=MUTED_COLOUR, linestyle="--", linewidth=1, label="median")
    axes.axhspan(median * (1 - limit), median * (1 + limit), color=BAND_COLOUR, label="not flagged")
    if abs(series.deviations_and_excess_by_day[day][column]) >= limit:
        if column == root_column(episode, root):
            axes.plot(day, values[day], "o", color=ROOT_COLOUR, label="flagged: root")
        else:
            axes.plot(
                day,
                values[day],
                "o",
                color=CONSEQUENCE_COLOUR,
                mfc="white",
                label="flagged: consequence",
            )
    axes.set_title(name if column < len(funnel.event_count_names) else f"{name} (%)")
    axes.set_xticks(range(0, len(values), 7), episode.dates[::7])


def root_column(episode: FunnelEpisode, root: ReportRow) -> int:
    """Return the column of the daily series that a row reports."""
    return episode.config.funnel_with_policy_daytime.columns.get_column_of_entity(
        root.entity_type, root.entity_name
    )


def draw_hourly_traffic(axes: Any, episode: FunnelEpisode, root: ReportRow) -> None:
    """Draw the first stage's hourly counts of the day, and their medians over the episode."""
    opens = episode.generated.hourly[:, :, 0]
    start, stop = episode.config.funnel_with_policy_daytime.daytime_hours
    axes.axvspan(start - 0.5, stop - 0.5, color=BAND_COLOUR, label="daytime")
    axes.plot(np.median(opens, axis=0), color=MUTED_COLOUR, label="median hour of the episode")
    axes.plot(opens[episode.day_by_date[root.date]], color=LINE_COLOUR, label=root.date)
    _label_hours(axes, root, "app_opens by hour")


def draw_impossible_hours(axes: Any, episode: FunnelEpisode, root: ReportRow) -> None:
    """Draw two adjacent stages by hour, and mark hours in which the later one has more events."""
    funnel = episode.config.funnel_with_policy_daytime
    pair = funnel.quality_check_names.index(root.entity_name)
    earlier, later = episode.hourly_counts_of_day(episode.day_by_date[root.date])[
        :, pair : pair + 2
    ].T
    (impossible_hours,) = np.nonzero(later > earlier)
    axes.plot(earlier, color=MUTED_COLOUR, label=funnel.event_count_names[pair])
    axes.plot(later, color=LINE_COLOUR, label=funnel.event_count_names[pair + 1])
    axes.plot(
        impossible_hours, later[impossible_hours], "o", color=ROOT_COLOUR, label="impossible hour"
    )
    _label_hours(axes, root, "two adjacent stages by hour")


def _label_hours(axes: Any, root: ReportRow, title: str) -> None:
    axes.set_title(f"{root.anomaly_type} on {root.date}: {title}")
    axes.set_ylim(bottom=0)
    axes.set_xticks(
        range(0, HOURS_PER_DAY, 3), [f"{hour}:00" for hour in range(0, HOURS_PER_DAY, 3)]
    )


def _day_table(episode: FunnelEpisode, root: ReportRow) -> list[str]:
    """Return a table of the day's series and the verdict on each; nothing for impossible counts."""
    series, funnel = episode.series, episode.config.funnel_with_policy_daytime
    day = episode.day_by_date[root.date]
    if root.entity_type == DATA_QUALITY:
        return []
    names = [*funnel.count_and_rate_names, funnel.daytime_share_name]
    root_series_column = root_column(episode, root)
    rows = []
    for column, name in enumerate(names):
        deviation, limit = (
            series.deviations_and_excess_by_day[day][column],
            float(series.thresholds[column]),
        )
        verdict = ""
        if abs(deviation) >= limit:
            verdict = "**root**" if column == root_series_column else "consequence"
        is_share = column == series.funnel.columns.daytime_share
        rows.append(
            [
                f"`{name}`",
                f"{series.medians_by_column[column]:g}",
                f"{series.values_and_excess_by_day[day][column]:g}",
                f"{deviation:+.3f}" if is_share else f"{deviation:+.1%}",
                f"{limit:.2f}" if is_share else f"{limit:.0%}",
                verdict,
            ]
        )
    return [
        markdown_table(
            ["series", "median", "observed", "deviation", "flagged from", "verdict"], rows, "lrrrrl"
        )
    ]


def markdown_table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], alignment: str = ""
) -> str:
    """Return a Markdown table; `alignment` has a letter l (left) or r (right) for each column."""
    marks = ["---:" if letter == "r" else "---" for letter in alignment or "l" * len(titles)]
    lines = [titles, marks, *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
