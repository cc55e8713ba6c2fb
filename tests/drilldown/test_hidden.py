"""The reference's search for hidden causes: what tables of two attributes say together."""

from __future__ import annotations

from collections.abc import Generator
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from metric_tracker_rl.drilldown.arguments import NoArguments
from metric_tracker_rl.drilldown.baselines import by_stage
from metric_tracker_rl.drilldown.building import generate
from metric_tracker_rl.drilldown.causes import Effect, Planner
from metric_tracker_rl.drilldown.clean import draw_clean
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.cube import Floats, cube_of
from metric_tracker_rl.drilldown.domains import DOMAINS, ORDERING_APP
from metric_tracker_rl.drilldown.episode import Episode
from metric_tracker_rl.drilldown.evidence import TOGETHER, evidence_of, triples_of
from metric_tracker_rl.drilldown.levels import L3, LEVELS, MIX
from metric_tracker_rl.drilldown.policies.comparison import Finding
from metric_tracker_rl.drilldown.policies.desk import Desk
from metric_tracker_rl.drilldown.policies.hidden_search import HiddenSearch
from metric_tracker_rl.drilldown.policies.pair_tables import PairTables
from metric_tracker_rl.drilldown.products import products_of
from metric_tracker_rl.drilldown.tools import find_tool, overview
from openenv_kit.bitstream import BitStream

CUBE = cube_of(ORDERING_APP.shape)
HARD = DrillConfig(83, "drill_hard", "saas_trial", 3)
PLAIN = DrillConfig(82, "drill", "video_streaming", 2)
WIDE = DrillConfig(84, "drill_sql", "saas_trial", 3)


def answered(episode: Episode, asking: Generator[Any, Any, Any]) -> tuple[Any, int]:
    """What some asking comes to, and how many numbers it read."""
    numbers, reply = 0, None
    try:
        while True:
            action = asking.send(reply)
            tool = find_tool(action["analysis_method"])
            result, spent = tool.call(episode, action["analysis_args"], {"numbers": 10**6})
            numbers += sum(spent.values())
            reply = {"analysis_result": {"result": result}}
    except StopIteration as end:
        return end.value, numbers


def search_of(episode: Episode) -> HiddenSearch:
    desk = Desk(overview(episode, NoArguments()))
    totals, _ = answered(episode, desk.read_totals())
    return HiddenSearch(desk, totals)


def shift(leaves: np.ndarray, size: float) -> tuple[Floats, Floats]:
    """Change and weight of every cell where some leaves of a uniform cube change in one week."""
    people = np.full((1, CUBE.leaves, 8), 1_000.0)
    surplus = np.zeros_like(people)
    surplus[0, leaves, 3] = size * 1_000.0
    weight = CUBE.sums(people)
    return CUBE.sums(surplus) / weight, weight


def test_evidence_is_what_three_tables_say_about_a_segment_and_largest_there() -> None:
    """On a uniform cube the three tables hold 41 % of a segment's own squared deviations."""
    triples = triples_of(CUBE)[0]
    cell = CUBE.cell_of({0: 1, 1: 4, 3: 2})
    z = evidence_of(CUBE, *shift(CUBE.member[cell], 0.2))[0]
    own = 0.2 * np.sqrt(1_000.0 * CUBE.member[cell].sum() / 1.2)
    kept = (2 / 3) * (5 / 6) / 4 + (2 / 3) * (3 / 4) / 6 + (5 / 6) * (3 / 4) / 3
    assert z[triples == cell, 3][0] == pytest.approx(own * np.sqrt(kept))
    assert np.abs(z).max() == z[triples == cell, 3][0]
    assert (np.delete(z, 3, axis=1) == 0.0).all()


@pytest.mark.parametrize("fixed", [{}, {2: 1}])
def test_what_a_value_or_everybody_does_is_no_evidence(fixed: dict[int, int]) -> None:
    z = evidence_of(CUBE, *shift(CUBE.member[CUBE.cell_of(fixed)], 0.2))
    assert np.abs(z).max() < 1e-6


def test_what_is_the_same_every_week_is_no_evidence() -> None:
    change, weight = shift(CUBE.member[CUBE.cell_of({0: 1, 1: 4, 3: 2})], 0.2)
    always = change + 0.01 * (np.arange(CUBE.cells) % 7)[:, None]
    assert evidence_of(CUBE, always, weight) == pytest.approx(evidence_of(CUBE, change, weight))


@pytest.mark.parametrize(
    ("factor", "bounds", "shows"),
    [
        (0.99, (0.0, 99.0), False),
        (0.5, (3.4, 99.0), True),
        (0.5, (3.4, 4.2), False),
        (0.5, (90.0, 99.0), False),
    ],
)
def test_a_planner_knows_what_tables_will_show(
    factor: float, bounds: tuple[float, float], shows: bool
) -> None:
    config = DrillConfig(4, "drill_hard", "ordering_app", 1)
    stream = BitStream("what tables show")
    planner = Planner(CUBE, draw_clean(stream, ORDERING_APP, L3, 0), config.level, stream)
    cell = CUBE.cell_of({0: 1, 1: 0, 3: 0})
    assert planner.noise.gives_away([Effect(2, cell, 20, 21, factor)], bounds) == shows


def test_tables_of_two_attributes_are_read_without_their_first_values() -> None:
    episode = generate(HARD)[1]
    search = search_of(episode)
    weekly, numbers = answered(episode, search.desk.read_pairs(search.totals))
    stages = by_stage(episode.counts)
    true = episode.cube.sums(stages).reshape(5, -1, 8, 7).sum(axis=3)
    few = episode.cube.fixed <= 2
    assert (weekly[:, few] == true[:, few]).all()
    assert not weekly[:, ~few].any()
    less = [size - 1 for size in episode.domain.shape]
    pairs = sum(one * other for place, one in enumerate(less) for other in less[:place])
    assert numbers == (sum(less) + pairs) * 5 * 8


@pytest.mark.slow
def test_a_finding_is_taken_out_of_the_tables() -> None:
    draw, episode = generate(HARD)
    search = search_of(episode)
    weekly, _ = answered(episode, search.desk.read_pairs(search.totals))
    tables = PairTables(episode.cube, weekly)
    [effect, *_] = [e for c in draw.causes for e in c.effects if e.channel]
    place = int(np.flatnonzero(tables.triples == effect.cell)[0])
    week = effect.first // 7
    before = tables.evidence(effect.channel)[place, week]
    days = range(effect.first, effect.stop)
    found = Finding(effect.channel, days, effect.cell, effect.factor)
    counts = episode.counts[episode.cube.member[effect.cell], effect.channel, effect.first].sum()
    tables.take_out(found, float(counts))
    after = tables.evidence(effect.channel)[place, week]
    sign = 1.0 if effect.factor > 1.0 else -1.0
    assert sign * after < sign * before - 1.0


@pytest.mark.parametrize("config", [HARD, PLAIN, WIDE], ids=lambda c: c.difficulty)
def test_hidden_causes_show_in_three_tables_together(config: DrillConfig) -> None:
    """As much as the level says, less what the reference allows for its own estimates."""
    draw, episode = generate(config)
    stages = by_stage(episode.counts)
    weekly = episode.cube.sums(stages).reshape(5, -1, 8, 7).sum(axis=3)
    tables = PairTables(episode.cube, weekly)
    z = [tables.evidence(channel) for channel in range(5)]
    triples = tables.triples.tolist()
    for cause in (cause for cause in draw.causes if cause.family != MIX):
        shown = []
        for week in {cause.effects[0].first // 7, (cause.effects[0].stop - 1) // 7}:
            own = [abs(z[e.channel][triples.index(e.cell), week]) for e in cause.effects]
            steps = {effect.channel for effect in cause.effects}
            shown.append(max(*own, sum(own) / TOGETHER if len(steps) > 1 else 0.0))
        assert max(shown) >= config.level.evidence[0] - 0.5


@pytest.mark.parametrize("config", [PLAIN, WIDE], ids=lambda c: c.difficulty)
def test_a_search_that_begins_beside_a_root_ends_at_it(config: DrillConfig) -> None:
    draw, episode = generate(config)
    cube = episode.cube
    [effect, *_] = [e for c in draw.causes if c.family != MIX for e in c.effects if e.channel]
    values = cube.values[effect.cell].tolist()
    free = [axis for axis, value in enumerate(values) if value < 0][-1]
    left_out = next(axis for axis, value in enumerate(values) if value >= 0)
    fixed = {axis: v for axis, v in enumerate(values) if v >= 0 and axis != left_out}
    days = range(effect.first, effect.stop)
    for value in range(episode.domain.shape[free]):
        search = search_of(episode)
        weekly, _ = answered(episode, search.desk.read_pairs(search.totals))
        search.tables = PairTables(cube, weekly)
        beside = cube.cell_of({**fixed, free: value})
        found, _ = answered(episode, search.settle(beside, [effect.channel], days))
        assert found
        assert search.findings[0].cell == effect.cell


def test_where_nothing_is_to_be_found_little_is_read_beside_the_tables() -> None:
    config = DrillConfig(5, "drill_hard", "video_streaming", 0)
    episode = generate(config)[1]
    search = search_of(episode)
    _, numbers = answered(episode, search.work())
    assert search.findings == []
    assert numbers < 66 * 40 + 240 + 400


@pytest.mark.parametrize("level", ["drill", "drill_hard", "drill_sql"])
@pytest.mark.parametrize("name", DOMAINS)
def test_a_budget_does_not_buy_every_segment_of_three_values_by_week(level: str, name: str) -> None:
    """Not even for a reader who leaves out what follows from wider tables."""
    shape = products_of(LEVELS[level])[name].shape
    needed = sum(
        np.prod([size - 1 for size in kept])
        for most in range(4)
        for kept in combinations(shape, most)
    )
    assert needed * 5 * 8 > LEVELS[level].budget
