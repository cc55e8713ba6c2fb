"""The gallery's room of drill-down episodes: a page for each family of causes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any

from docs.generate.cases import Found, Panel, Scene, picture_of
from docs.generate.examples import table
from docs.generate.gallery.card import table_under
from docs.generate.gallery.rooms import Arguments, Exhibit, Family, Reset, Room
from docs.generate.scenes import named
from metric_tracker_rl.drilldown.admitted import attempt_of
from metric_tracker_rl.drilldown.building import generate
from metric_tracker_rl.drilldown.causes import Cause
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.cube import segment_of
from metric_tracker_rl.drilldown.definition import Root
from metric_tracker_rl.drilldown.domains import DOMAINS
from metric_tracker_rl.drilldown.episode import Episode
from metric_tracker_rl.drilldown.generator import Draw
from metric_tracker_rl.drilldown.levels import (
    CANCEL,
    CANCEL_TRAFFIC,
    DOUBLE,
    LEVELS,
    LOSS,
    MIX,
    RATE,
    TRAFFIC,
)
from metric_tracker_rl.drilldown.tasks import DEFAULT_SPLIT, SPLITS, STRATA, config_of
from metric_tracker_rl.environment import ENVIRONMENT

PLAYERS = ("reference", "pairs_by_week", "largest_gain", "greedy_from_runs", "moved_totals", "null")
"""Players of the benchmark card whose scores are repeated."""
BLOCKS = 4
"""Blocks of the train split that are looked through; each has every level and product."""
PANELS = 2
"""Most rows of a picture."""

START = (
    "`overview` states the definition, the budget and the report's fields, and `change_log` lists "
    "what was changed. "
)
SEARCH = (
    "Totals hide it, so counts are read by segment: `slice` over pairs of attributes by week says "
    "where to look, `compare` holds a segment's days against the same weekdays of other weeks; on "
    "`drill_sql` flat queries with `sql` do both. "
)
END = (
    "The entry of `change_log` whose component and scope fit and which is at most two days older "
    "is the change. `submit_report` ends the episode."
)
FAMILIES = {
    RATE: Family(
        "A rate of some people",
        "People of one segment take a step at another rate than usual, for one to seven days. "
        "Wider segments move a little because they hold it.",
        f"{START}{SEARCH}The segment is right when all its parts moved alike and nobody beside it "
        f"did. {END}",
    ),
    TRAFFIC: Family(
        "The traffic of some people",
        "More or fewer people of one segment come. Rates of wider segments move as well, because "
        "other people take steps at other rates, while no part's own rate does.",
        f"{START}{SEARCH}A rate that moves in a segment and in none of its parts is an echo: what "
        f"moved is who came. {END}",
    ),
    MIX: Family(
        "A mix shift",
        "One segment's traffic moves by two fifths or more, and everybody else's against it, so "
        "that the total stands still.",
        f"{START}{SEARCH}Where everybody beside a segment moved against it, it is a mix shift and "
        f"no traffic change. {END}",
    ),
    LOSS: Family(
        "Lost tracking",
        "Events of one stage were not recorded for a segment: the rate into it falls, the rate "
        "out of it rises by the inverse, and over both steps nobody is missing.",
        f"{START}{SEARCH}Two changes of the same people and days whose factors multiply to 1 are "
        f"one root, of the first of the two stages. {END}",
    ),
    CANCEL: Family(
        "Two rates that cancel",
        "The rates of two segments move against each other on the same days, so that whatever "
        "holds both stands still.",
        f"{START}{SEARCH}Whoever finds one of the two segments looks on the same days for "
        f"one that moved the other way; both are reported. {END}",
    ),
    CANCEL_TRAFFIC: Family(
        "Two crowds that cancel",
        "The traffic of two segments moves against each other. It looks like a mix shift, but "
        "everybody else stands still.",
        f"{START}{SEARCH}What tells it from a mix shift is the people beside both segments, who "
        f"come as usual; both are reported as traffic changes. {END}",
    ),
    DOUBLE: Family(
        "Two steps in a row",
        "One segment loses people on two steps in a row, on the same days. It looks like lost "
        "tracking, but both rates fall.",
        f"{START}{SEARCH}The two factors do not multiply to 1, so these are two roots. {END}",
    ),
}


class DrillDown(Room):
    """Episodes of the drill-down tier."""

    name = "drill"
    title = "Drill-down"
    opening = (
        "Eight weeks of a product's counts by segment, in which nothing is flagged: which people, "
        "which days, which step, what kind of change, because of what? See "
        "[drill-down](../drill-down.md), and [worked cases](../drill-down-cases.md) with all of "
        "their calls. Scores of scripted players are of the "
        "[benchmark card](../benchmark.md#drill-down), made under the versions that it names; "
        "[plays by hand](../drill-down.md#played-by-hand) are of the level as it last was."
    )
    environment = ENVIRONMENT
    families: Mapping[str, Family] = FAMILIES

    @property
    def levels(self) -> Mapping[str, str]:
        """Each level with its budget."""
        return {name: _described(name) for name in LEVELS}

    def resets(self, family: str, level: str) -> Iterator[Reset]:
        """Named tasks, then those of the train split; the fewest causes first."""
        if family not in LEVELS[level].families:
            return
        yield from ({"task_id": f"{level}_{domain}"} for domain in DOMAINS)
        places = range(BLOCKS * len(STRATA))
        of_level = [place for place in places if _config(place).difficulty == level]
        for place in sorted(of_level, key=lambda place: _config(place).causes):
            if _config(place).causes:
                yield {"split": DEFAULT_SPLIT, "index": place}

    def exhibit(self, family: str, level: str, reset: Reset) -> Exhibit | None:
        """One cause of the family, in an episode that may hold others."""
        config = config_of(reset)
        if config.difficulty != level:
            return None
        draw, episode = _made(config, reset.get("task_id") or "{split}-{index}".format(**reset))
        cause = next((each for each in draw.causes if each.family == family), None)
        if cause is None:
            return None
        scene = Scene(cause.roots, _panels(cause, episode), "", {})
        others = len(draw.roots) - len(cause.roots)
        rest = f"\n\nThe right report has {others} more." if others else ""
        segments = [segment_of(episode.domain, root.cell) for root in cause.roots]

        def concerns(arguments: Arguments) -> bool:
            return arguments.get("where") in segments

        return Exhibit(
            f"{_rows(draw, episode, cause.roots)}{rest}",
            partial(picture_of, Found(config, draw, episode, scene)),
            concerns,
        )

    def figures(self) -> str:
        """What the benchmark card says of some players, and the newest plays by hand."""
        found = table_under("benchmark.md", "### Heuristics under their ceilings")
        by_hand = table_under("drill-down.md", "### Played by hand")
        rows = [
            [f"`{player}`", *(found[player][level].split(" ")[0] for level in LEVELS)]
            for player in PLAYERS
        ]
        rows.append(["played by hand", *(by_hand[level]["mean score"] for level in LEVELS)])
        return table(["mean score", *LEVELS], rows, "l" + "r" * len(LEVELS))

    def told(self, answer: Mapping[str, Any]) -> object:
        """The result, or the message where there is none."""
        return answer.get("result", answer["message"])


def _described(name: str) -> str:
    level = LEVELS[name]
    budget = " and ".join(f"{count:,} {unit}" for unit, count in level.limits.items())
    hidden = "no cause but a mix shift shows in a single value by day"
    counts = sorted(set(level.causes))
    return f"{counts[0]} to {counts[-1]} causes; at most {budget} may be read; {hidden}."


@cache
def _config(place: int) -> DrillConfig:
    return SPLITS.task(DEFAULT_SPLIT, place).config


@cache
def _made(config: DrillConfig, task_id: str) -> tuple[Draw, Episode]:
    """The episode of a task, with what was planned in it."""
    return generate(config, attempt_of(task_id, config))


def _panels(cause: Cause, episode: Episode) -> tuple[Panel, ...]:
    """The series that show a cause, at most `PANELS` of them."""
    stages, panels = episode.domain.stages, []
    for root in cause.roots:
        people = named(segment_of(episode.domain, root.cell))
        if root.is_traffic:
            panels.append(Panel(f"{stages[0]}: {people}", root.cell, 0))
        else:
            panels.append(_rate(root, stages, people, root.stage))
        if root.kind == MIX:
            panels.append(Panel(f"{stages[0]}: everybody else", root.cell, 0, outside=True))
        if root.kind == LOSS:
            panels.append(_rate(root, stages, people, root.stage + 1))
    return tuple(panels[:PANELS])


def _rate(root: Root, stages: Sequence[str], people: str, stage: int) -> Panel:
    return Panel(f"rate into {stages[stage]}: {people}", root.cell, stage, stage - 1)


def _rows(draw: Draw, episode: Episode, roots: Sequence[Root]) -> str:
    """Rows of the right report that belong to some roots."""
    cells = [
        [
            f"`{row.kind}`",
            f"`{row.stage}`",
            ", ".join(f"{name} = {value}" for name, value in row.segment) or "everybody",
            row.date_from if row.date_from == row.date_to else f"{row.date_from} to {row.date_to}",
            f"`{row.change}`",
        ]
        for root, row in zip(draw.roots, episode.expected_rows, strict=True)
        if root in roots
    ]
    return "The right rows:\n\n" + table(["kind", "stage", "people", "days", "change"], cells)
