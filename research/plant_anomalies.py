"""`python -m research.plant_anomalies TABLE --product FILE`: plants anomalies in a real table.

Each draw takes a window of four weeks in which the reporting policy finds nothing, and changes one
series of one day to twice its threshold. The policy should then find exactly that row.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    EVENT_COUNT,
    FUNNEL_STEP,
    HOURLY_MIX,
    Entity,
)
from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.engine.episode.table_window import (
    TableWindow,
    create_table_window_episode,
)
from metric_tracker_rl.engine.generation.effects import CountEffect
from metric_tracker_rl.engine.generation.planned_anomaly import CleanDay
from metric_tracker_rl.engine.generation.product_planners import MIN_SHARE_MARGIN
from metric_tracker_rl.engine.generation.room_of_day import MAX_DROP, MAX_RATE_FRACTION, RoomOfDay
from metric_tracker_rl.engine.generation.total_effects import SetDaytimeShare, SetTotals
from metric_tracker_rl.own_metrics.table_windows import (
    DEFAULT_WEEKS,
    build_window,
    iter_past_episodes,
    list_complete_window_starts,
    list_past_rows,
)
from metric_tracker_rl.products.product import Product
from metric_tracker_rl.products.product_file import read_product
from openenv_kit.cli.table_options import with_table_options
from openenv_kit.own_data.clean_table import load_table
from openenv_kit.own_data.options import ImportOptions
from openenv_kit.own_data.stage_counts import StageCounts

PLANTED_MULTIPLE = 2.0
"""Size of a planted deviation in multiples of the threshold."""
MAX_ATTEMPTS_PER_DRAW = 100
"""Largest number of days that are tried until a planted change has room."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Plant(NamedTuple):
    """A change of one day and the entity that it should be reported for."""

    effect: CountEffect
    entity: Entity


class PlantedKey(NamedTuple):
    """Date and entity of a report row."""

    date: str
    entity_type: str
    entity_name: str


@dataclass(frozen=True)
class PlantResult:
    """What was planted, and the rows that the reporting policy found.

    Attributes:
        planted: date and entity of the planted anomaly.
        found: dates and entities of the rows.
    """

    planted: PlantedKey
    found: tuple[PlantedKey, ...]

    @property
    def is_exact(self) -> bool:
        """Whether exactly the planted row was found."""
        return self.found == (self.planted,)


def plant_anomalies(
    table: StageCounts, product: Product, draws: int, seed: int = 0
) -> Iterator[PlantResult]:
    """Plant one anomaly after another in clean windows of a table.

    Args:
        table: cleaned counts.
        product: product with the table's thresholds.
        draws: number of anomalies.
        seed: seed of the windows, days and series.
    """
    rng = random.Random(seed)
    windows = list_clean_windows(table, product)
    if not windows:
        raise typer.BadParameter("no window of four weeks is without a row")
    for _ in range(draws):
        yield _plant_once(rng, windows, product)


def list_clean_windows(table: StageCounts, product: Product) -> list[TableWindow]:
    """Return the complete windows of four weeks in which the policy finds nothing."""
    windows = [
        build_window(table, product, table.get_date(first))
        for first in list_complete_window_starts(table, DEFAULT_WEEKS)
    ]
    return [w for w in windows if not create_table_window_episode(product, w).expected_rows]


def _plant_once(
    rng: random.Random, windows: Sequence[TableWindow], product: Product
) -> PlantResult:
    for _ in range(MAX_ATTEMPTS_PER_DRAW):
        window = rng.choice(windows)
        episode = create_table_window_episode(product, window)
        explained = {entry.day for entry in window.calendar}
        open_days = [
            day
            for day, total in enumerate(window.counts[..., 0].sum(axis=1).tolist())
            if total and day not in explained
        ]
        day = rng.choice(open_days)
        plants = list(_iter_plants(_build_clean_day(episode, day)))
        if plants:
            return _apply_plant(product, window, day, rng.choice(plants))
    raise typer.BadParameter("no series has room for twice its threshold")


def _apply_plant(product: Product, window: TableWindow, day: int, plant: Plant) -> PlantResult:
    counts = window.counts.copy()
    counts[day] = plant.effect.apply_to_copy(counts[day])
    changed = create_table_window_episode(product, replace(window, counts=counts))
    return PlantResult(
        planted=PlantedKey(window.iso_dates[day], *plant.entity),
        found=tuple(PlantedKey(*row.key) for row in changed.expected_rows),
    )


def _build_clean_day(episode: FunnelEpisode, day: int) -> CleanDay:
    series = episode.series
    return CleanDay(
        day=day,
        hours=episode.hourly_counts_of_day(day),
        values=series.values[day].tolist(),
        baselines=series.baselines[day % len(series.baselines)].tolist(),
        funnel=series.funnel,
        level=series.level,
    )


def _iter_plants(day: CleanDay) -> Iterator[Plant]:
    """Yield the changes of a day that reach twice a threshold and have room."""
    for sign in (-1.0, 1.0):
        yield from _iter_count_plants(day, sign)
        yield from _iter_rate_plants(day, sign)
        yield from _iter_share_plants(day, sign)


def _iter_count_plants(day: CleanDay, sign: float) -> Iterator[Plant]:
    room = RoomOfDay(day)
    totals = [round(value) for value in day.values[: day.funnel.columns.count_total]]
    for stage in (0, *day.funnel.inner_stage_indices):
        sizes = room.get_count_drop_sizes(stage) if sign < 0.0 else room.get_count_rise_sizes(stage)
        size = PLANTED_MULTIPLE * day.limits.thresholds[stage]
        if not max(size, sizes.smallest) <= sizes.largest or size >= MAX_DROP:
            continue
        target = round(day.baselines[stage] * (1.0 + sign * max(size, sizes.smallest)))
        if stage == 0:
            scale = target / totals[0]
            changed = [target, *(round(total * scale) for total in totals[1:])]
        else:
            changed = [*totals]
            changed[stage] = min(max(target, totals[stage + 1]), totals[stage - 1])
        effect = SetTotals(_make_possible(changed), day.funnel.daytime)
        yield Plant(effect, Entity(EVENT_COUNT, day.funnel.event_count_names[stage]))


def _iter_rate_plants(day: CleanDay, sign: float) -> Iterator[Plant]:
    funnel, limits = day.funnel, day.limits
    for stage in funnel.step_stage_indices:
        column = funnel.columns.column_of_step_rate_into(stage)
        size = PLANTED_MULTIPLE * limits.thresholds[column]
        rate = day.baselines[column] / 100.0 * (1.0 + sign * size)
        if size >= MAX_DROP or rate > MAX_RATE_FRACTION:
            continue
        totals = [round(value) for value in day.values[: funnel.columns.count_total]]
        scale = round(totals[stage - 1] * rate) / max(totals[stage], 1)
        changed = [*totals[:stage], *(round(total * scale) for total in totals[stage:])]
        is_break = sign < 0.0 and size >= limits.break_thresholds[stage - 1]
        entity = Entity(CONVERSION_RATE, funnel.step_rate_names[stage - 1])
        if is_break:
            entity = Entity(FUNNEL_STEP, funnel.funnel_step_names[stage - 1])
        yield Plant(SetTotals(_make_possible(changed), funnel.daytime), entity)


def _iter_share_plants(day: CleanDay, sign: float) -> Iterator[Plant]:
    if day.funnel.daytime is None:
        return
    column = day.funnel.columns.daytime_share
    share = day.baselines[column] + sign * PLANTED_MULTIPLE * day.limits.thresholds[column]
    if MIN_SHARE_MARGIN <= share <= 1.0 - MIN_SHARE_MARGIN:
        entity = Entity(HOURLY_MIX, day.funnel.daytime_share_name)
        yield Plant(SetDaytimeShare(day.funnel.daytime, share), entity)


def _make_possible(totals: Sequence[int]) -> tuple[int, ...]:
    """Return totals in which no stage exceeds the one before it."""
    possible = [totals[0]]
    for total in totals[1:]:
        possible.append(min(total, possible[-1]))
    return tuple(possible)


@with_table_options
def plant(
    options: ImportOptions,
    product: Annotated[Path, typer.Option(help="Product file of an import of the table.")],
    draws: Annotated[int, typer.Option(min=1, help="Number of planted anomalies.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
) -> None:
    """Count the planted anomalies that are reported exactly, and list the table's own rows."""
    table = load_table(options).stage_counts
    loaded = read_product(product)
    results = list(plant_anomalies(table, loaded, draws, seed))
    for result in results:
        if not result.is_exact:
            found = ", ".join("|".join(key) for key in result.found) or "nothing"
            typer.echo(f"planted {'|'.join(result.planted)}, found {found}")
    exact = sum(result.is_exact for result in results)
    typer.echo(f"{exact} of {len(results)} planted anomalies were reported exactly.")
    starts = list_complete_window_starts(table, DEFAULT_WEEKS)
    clean = len(list_clean_windows(table, loaded))
    typer.echo(f"{clean} of {len(starts)} windows of four weeks have no row.")
    for row in list_past_rows(list(iter_past_episodes(table, loaded))):
        typer.echo(
            f"{row.date} {row.entity_name} {row.anomaly_type}: {row.observed_value:g} instead of "
            f"{row.baseline_value:g}"
        )


app.command()(plant)

if __name__ == "__main__":
    app()
