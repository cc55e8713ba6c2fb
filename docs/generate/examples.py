"""Worked examples of the reporting policy, one per rule, each a real episode."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure

from docs.generate.charts import BAND, ECHO, LINE, MUTED, ROOT, STYLE, add_legend, sheet
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
"""Where examples are looked for: the first seed whose root is the wanted one is shown."""


@dataclass(frozen=True)
class Example:
    """An episode in which one rule decides.

    Attributes:
        name: of the section and of the plot's file.
        family: of its one anomaly.
        entity: (entity_type, entity_name) of the root it is there to show.
        shown: daily series to draw, the root's own first; none for an hourly plot.
    """

    name: str
    family: str
    entity: tuple[str, str]
    shown: tuple[str, ...] = ()


EXAMPLES: dict[str, Example] = {
    each.name: each
    for each in (
        Example(
            "impossible-counts",
            QUALITY_ISSUE,
            (DATA_QUALITY, "product_added_to_cart_lte_menu_opens"),
        ),
        Example("traffic-mix", MIX_SHIFT, (HOURLY_MIX, "app_opens:daytime_share")),
        Example(
            "lost-events",
            COUNT_DROP,
            (EVENT_COUNT, "product_added_to_cart"),
            (
                "product_added_to_cart",
                "menu_open_to_product_added_to_cart",
                "product_added_to_cart_to_order_placed",
            ),
        ),
        Example(
            "step-moved",
            RATE_DROP,
            (CONVERSION_RATE, "menu_open_to_product_added_to_cart"),
            (
                "menu_open_to_product_added_to_cart",
                "orders_placed",
                "app_open_to_payment_successful",
            ),
        ),
        Example(
            "funnel-break",
            FUNNEL_BREAK,
            (FUNNEL_STEP, "orders_placed_from_product_added_to_cart"),
            ("product_added_to_cart_to_order_placed", "payment_successful"),
        ),
        Example(
            "slow-leak",
            RATE_DROP,
            (CONVERSION_RATE, "app_open_to_order_placed"),
            ("app_open_to_order_placed", "app_open_to_menu_open", "orders_placed"),
        ),
        Example(
            "traffic",
            COUNT_DROP,
            (EVENT_COUNT, "app_opens"),
            ("app_opens", "payment_successful", "app_open_to_payment_successful"),
        ),
    )
}


class ExampleError(ValueError):
    """No episode shows what an example is there for."""


@cache
def root_of(example: Example) -> tuple[FunnelEpisode, ReportRow]:
    """The example's episode and the one row it is there to show.

    Raises:
        ExampleError: no seed gives a right report with that row.
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
                return episode, row
    raise ExampleError(f"{example.name}: no seed below {SEEDS.stop} has the root {example.entity}")


@style.context(STYLE)
def plot(example: Example) -> Figure:
    """The picture of an example: daily series, or the hours of its day."""
    episode, root = root_of(example)
    figure = sheet(len(example.shown) or 1)
    for axes, name in zip(figure.axes, example.shown, strict=False):
        _draw_days(axes, episode, root, name)
    if root.entity_type == DATA_QUALITY:
        draw_impossible_hours(figure.axes[0], episode, root)
    elif root.entity_type == HOURLY_MIX:
        draw_mix(figure.axes[0], episode, root)
    add_legend(figure)
    return figure


def section(example: Example) -> str:
    """Markdown of an example: how to make it, the plot, the day's table, the row."""
    episode, root = root_of(example)
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
    """A daily series, its median, the band around it that is not flagged, and the flagged day."""
    series, funnel = episode.series, episode.config.funnel_spec
    column, day = funnel.metric_names.index(name), episode.day_by_date[root.date]
    values = [row[column] for row in series.values_by_day]
    base, limit = series.medians_by_column[column], float(series.thresholds[column])
    axes.plot(values, color=LINE, label="daily value")
    axes.axhline(base, color=MUTED, linestyle="--", linewidth=1, label="median")
    axes.axhspan(base * (1 - limit), base * (1 + limit), color=BAND, label="not flagged")
    if abs(series.deviations_by_day[day][column]) >= limit:
        if column == root_column(episode, root):
            axes.plot(day, values[day], "o", color=ROOT, label="flagged: the root")
        else:
            axes.plot(day, values[day], "o", color=ECHO, mfc="white", label="flagged: an echo")
    axes.set_title(name if column < len(funnel.count_names) else f"{name} (%)")
    axes.set_xticks(range(0, len(values), 7), episode.dates[::7])


def root_column(episode: FunnelEpisode, root: ReportRow) -> int:
    """Column of the daily series that a row is about."""
    return episode.config.funnel_spec.columns.column_of(root.entity_type, root.entity_name)


def draw_mix(axes: Any, episode: FunnelEpisode, root: ReportRow) -> None:
    """The first stage's hours of the day against the median hours."""
    opens = episode.generated.hourly[:, :, 0]
    start, stop = episode.config.funnel_spec.daytime
    axes.axvspan(start - 0.5, stop - 0.5, color=BAND, label="daytime")
    axes.plot(np.median(opens, axis=0), color=MUTED, label="median hour of the episode")
    axes.plot(opens[episode.day_by_date[root.date]], color=LINE, label=root.date)
    _name_hours(axes, root, "app_opens by hour")


def draw_impossible_hours(axes: Any, episode: FunnelEpisode, root: ReportRow) -> None:
    """Two adjacent stages of the day, and the hours in which the later one has more events."""
    funnel = episode.config.funnel_spec
    pair = funnel.quality_check_names.index(root.entity_name)
    above, below = episode.hourly_counts_of_day(episode.day_by_date[root.date])[
        :, pair : pair + 2
    ].T
    (marked,) = np.nonzero(below > above)
    axes.plot(above, color=MUTED, label=funnel.count_names[pair])
    axes.plot(below, color=LINE, label=funnel.count_names[pair + 1])
    axes.plot(marked, below[marked], "o", color=ROOT, label="impossible hour")
    _name_hours(axes, root, "two adjacent stages by hour")


def _name_hours(axes: Any, root: ReportRow, shown: str) -> None:
    axes.set_title(f"{root.anomaly_type} on {root.date}: {shown}")
    axes.set_ylim(bottom=0)
    axes.set_xticks(
        range(0, HOURS_PER_DAY, 3), [f"{hour}:00" for hour in range(0, HOURS_PER_DAY, 3)]
    )


def _day_table(episode: FunnelEpisode, root: ReportRow) -> list[str]:
    """Every flagged series of the day and what the rule makes of it; empty for no series."""
    series, funnel = episode.series, episode.config.funnel_spec
    day = episode.day_by_date[root.date]
    if root.entity_type == DATA_QUALITY:
        return []
    names = [*funnel.metric_names, funnel.mix_entity_name]
    chosen = root_column(episode, root)
    rows = []
    for column, name in enumerate(names):
        change, limit = series.deviations_by_day[day][column], float(series.thresholds[column])
        flagged = abs(change) >= limit
        verdict = ("**root**" if column == chosen else "echo") if flagged else ""
        share = column == series.funnel.columns.daytime_share
        rows.append(
            [
                f"`{name}`",
                f"{series.medians_by_column[column]:g}",
                f"{series.values_by_day[day][column]:g}",
                f"{change:+.3f}" if share else f"{change:+.1%}",
                f"{limit:.2f}" if share else f"{limit:.0%}",
                verdict,
            ]
        )
    return [
        table(
            ["series", "median", "that day", "deviation", "flagged from", "verdict"], rows, "lrrrrl"
        )
    ]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str = "") -> str:
    """A Markdown table; `align` holds l or r per column."""
    marks = ["---:" if letter == "r" else "---" for letter in align or "l" * len(header)]
    lines = [header, marks, *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
