"""Worked examples of the reporting policy, one per rule, each a real episode."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from docs.generate.charts import Daily, Hourly, daily_chart, hourly_chart
from metric_tracker_rl.engine.config import EpisodeConfig
from metric_tracker_rl.engine.episode import Episode, build_episode
from metric_tracker_rl.engine.funnel import HOURS
from metric_tracker_rl.engine.reporting_policy import ReportRow
from metric_tracker_rl.engine.vocabulary import (
    CONVERSION_RATE,
    COUNT_DROP,
    DATA_QUALITY,
    EVENT_COUNT,
    FUNNEL_BREAK,
    FUNNEL_STEP,
    HOURLY_MIX,
    MIX_SHIFT,
    QUALITY_ISSUE,
    RATE_DROP,
)

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
def root_of(example: Example) -> tuple[Episode, ReportRow]:
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


def plot(example: Example) -> str:
    """SVG of an example."""
    episode, root = root_of(example)
    title = f"{root.anomaly_type} on {root.date}"
    if root.entity_type == DATA_QUALITY:
        return hourly_chart(_impossible_hours(episode, root, title))
    if root.entity_type == HOURLY_MIX:
        return hourly_chart(_mix(episode, root, title))
    panels = [_panel(episode, root, name) for name in example.shown]
    return daily_chart(title, episode.dates, panels)


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
            f"![{root.anomaly_type} on {root.date}](assets/{example.name}.svg)",
            *_day_table(episode, root),
            "The report:",
            f"```json\n{json.dumps(root.as_dict(), indent=2)}\n```",
        ]
    )


def _panel(episode: Episode, root: ReportRow, name: str) -> Daily:
    series, funnel = episode.series, episode.config.funnel_spec
    column = funnel.metrics.index(name)
    day = episode.day_of[root.date]
    marks = {}
    if abs(series.deviation_rows[day][column]) >= series.thresholds[column]:
        marks[day] = "root" if column == _root_column(episode, root) else "echo"
    base = series.baseline_row[column]
    return Daily(
        name=name if column < len(funnel.counts) else f"{name} (%)",
        values=[row[column] for row in series.rows],
        baseline=base,
        threshold=base * float(series.thresholds[column]),
        marks=marks,
    )


def _root_column(episode: Episode, root: ReportRow) -> int:
    funnel = episode.config.funnel_spec
    if root.entity_type == FUNNEL_STEP:
        return len(funnel.counts) + funnel.steps.index(root.entity_name)
    return funnel.metrics.index(root.entity_name)


def _mix(episode: Episode, root: ReportRow, title: str) -> Hourly:
    opens = episode.draw.hourly[:, :, 0]
    middle = len(episode.dates) // 2
    usual = [sorted(hours)[middle] for hours in opens.T.tolist()]
    return Hourly(
        title=f"{title}: app_opens by hour",
        first=("median hour of the episode", usual),
        second=(root.date, opens[episode.day_of[root.date]].tolist()),
        shaded=episode.config.funnel_spec.daytime,
    )


def _impossible_hours(episode: Episode, root: ReportRow, title: str) -> Hourly:
    funnel = episode.config.funnel_spec
    pair = funnel.quality_checks.index(root.entity_name)
    hours = episode.hours(episode.day_of[root.date])
    above, below = hours[:, pair].tolist(), hours[:, pair + 1].tolist()
    return Hourly(
        title=f"{title}: two adjacent stages by hour",
        first=(funnel.counts[pair], above),
        second=(funnel.counts[pair + 1], below),
        marked=[hour for hour in range(HOURS) if below[hour] > above[hour]],
    )


def _day_table(episode: Episode, root: ReportRow) -> list[str]:
    """Every flagged series of the day and what the rule makes of it; empty for no series."""
    series, funnel = episode.series, episode.config.funnel_spec
    day = episode.day_of[root.date]
    if root.entity_type == DATA_QUALITY:
        return []
    names = [*funnel.metrics, funnel.mix]
    chosen = series.share_column if root.entity_type == HOURLY_MIX else _root_column(episode, root)
    rows = []
    for column, name in enumerate(names):
        change, limit = series.deviation_rows[day][column], float(series.thresholds[column])
        flagged = abs(change) >= limit
        verdict = ("**root**" if column == chosen else "echo") if flagged else ""
        share = column == series.share_column
        rows.append(
            [
                f"`{name}`",
                f"{series.baseline_row[column]:g}",
                f"{series.rows[day][column]:g}",
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
