"""The level that is read by SQL: five dimensions, the same answer, and what its players earn."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metric_tracker_rl.drilldown import certificate
from metric_tracker_rl.drilldown.arguments import NoArguments
from metric_tracker_rl.drilldown.building import build_episode
from metric_tracker_rl.drilldown.certificate import certify_one
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.cube import MOST_FIXED, cube_of
from metric_tracker_rl.drilldown.domains import DOMAINS
from metric_tracker_rl.drilldown.levels import LEVELS
from metric_tracker_rl.drilldown.policies import POLICIES
from metric_tracker_rl.drilldown.policies.by_sql import by_sql
from metric_tracker_rl.drilldown.policies.desk import Asking, Desk, ask
from metric_tracker_rl.drilldown.policies.heuristic import UNLIMITED
from metric_tracker_rl.drilldown.policies.heuristics import HEURISTICS
from metric_tracker_rl.drilldown.policies.scan import Scan
from metric_tracker_rl.drilldown.session import DrillRules, DrillSession
from metric_tracker_rl.drilldown.sql.domains import WIDE_DOMAINS
from metric_tracker_rl.drilldown.tools import find_tool, overview
from metric_tracker_rl.policies import get_policy
from openenv_kit.errors import InvalidValueError
from openenv_kit.play.driver import play

LEVEL = LEVELS["drill_sql"]
REFERENCE = POLICIES["drill_reference"]
WEEK, LATER = (0, 6), (20, 55)
SOME, TWO = {"plan": ["team", "business"], "region": "asia"}, ["signups", "workspaces_activated"]


@pytest.mark.slow
@pytest.mark.parametrize("name", DOMAINS)
def test_every_product_has_five_dimensions_and_its_own_stages(name: str) -> None:
    wide, plain = WIDE_DOMAINS[name], DOMAINS[name]
    assert wide.stages == plain.stages
    assert wide.components == plain.components
    assert wide.dim_names[: len(plain.dims)] == plain.dim_names
    assert all(4 <= len(dim.values) <= 6 for dim in wide.dims)
    cube = cube_of(wide.shape)
    assert len(wide.dims) == 5
    assert (cube.leaves, cube.fixed.max()) == (3000, 3)
    assert 1_400 <= cube.cells <= 1_600
    assert np.isclose([sum(weight for _, weight in dim.values) for dim in wide.dims], 1.0).all()


def test_a_domain_has_four_or_five_dimensions() -> None:
    wide = WIDE_DOMAINS["ordering_app"]
    with pytest.raises(InvalidValueError, match="number of dimensions is 3"):
        replace(wide, dims=wide.dims[:3], weekly_dim=0, noisy_dim=1)


def test_cells_of_five_dimensions_are_the_sums_of_their_leaves() -> None:
    cube = cube_of(WIDE_DOMAINS["saas_trial"].shape)
    leaves = np.arange(cube.leaves * 3, dtype=np.float64).reshape(1, cube.leaves, 3)
    sums = cube.sums(leaves)[0]
    for cell in range(0, cube.cells, 7):
        assert (sums[cell] == leaves[0][cube.member[cell]].sum(axis=0)).all()
        fixed = {axis: int(v) for axis, v in enumerate(cube.values[cell]) if v >= 0}
        assert cube.cell_of(fixed) == cell
    assert (sums[cube.everybody] == leaves[0].sum(axis=0)).all()


@pytest.mark.parametrize("name", ["ordering_app", "saas_trial"])
def test_what_cells_share_is_the_same_by_either_way(name: str) -> None:
    for shape in (DOMAINS[name].shape, WIDE_DOMAINS[name].shape):
        cube = cube_of(shape)
        leaves = np.arange(cube.leaves * 2, dtype=np.float64).reshape(cube.leaves, 2)
        every = cube.sums_of_all(leaves[None])[0]
        assert (every[cube.places] == cube.sums(leaves[None])[0]).all()
        for one in range(0, cube.cells, 211):
            shared = dict(zip(*map(np.ndarray.tolist, cube.beside(one)), strict=True))
            for other in range(0, cube.cells, 97):
                common = cube.member[one] & cube.member[other]
                assert (cube.meet[one, other] < 0) == (not common.any())
                beside = common.any() and other != one and cube.fixed[other] <= MOST_FIXED
                assert (other in shared) == beside
                if beside:
                    assert (every[shared[other]] == leaves[common].sum(axis=0)).all()
                assert cube.within[one, other] == (common == cube.member[one]).all()
        triples, others, places = cube.beside_triples
        for row in range(0, len(triples), 50):
            found = {*zip(others[row].tolist(), places[row].tolist(), strict=True)}
            assert found == {*zip(*map(np.ndarray.tolist, cube.beside(triples[row])), strict=True)}


def test_the_overview_tells_the_table_and_the_tools_in_force() -> None:
    session = DrillSession()
    opening = session.reset(difficulty="drill_sql", product="video_streaming", causes=0)
    told = opening.content["config"]
    assert told["sql"]["table"] == "counts"
    assert list(told["sql"]["columns"])[:6] == [*told["dimensions"], "date"]
    assert {tool["name"] for tool in opening.content["available_methods"]} == set(LEVEL.tools)
    for unit, most in LEVEL.limits.items():
        assert opening.content[f"{unit}_left"] == told["budget"][unit] == most
    other = DrillSession()
    other.reset(difficulty="drill")
    refused = other.step({"analysis_method": "sql", "analysis_args": {"query": "SELECT 1"}})
    assert "Unknown tool 'sql'" in refused.message


@pytest.mark.slow
@pytest.mark.parametrize(("name", "causes"), list(zip(DOMAINS, (0, 4, 4, 0), strict=True)))
def test_the_reference_plays_by_queries_within_its_budget(name: str, causes: int) -> None:
    """The named tasks, which have other numbers of causes, are played in test_session.py."""
    session = DrillSession()
    config = DrillConfig(40 + causes, "drill_sql", name, causes)
    opening = session.open("test", config, DrillRules())
    assert play(session, REFERENCE, opening).score == 1.0
    assert all(session.spent[unit] <= most for unit, most in LEVEL.limits.items())


@pytest.mark.slow
def test_the_reference_without_a_budget_reports_what_it_has() -> None:
    session = DrillSession()
    opening = session.open("test", DrillConfig(41, "drill_sql", "saas_trial", 2), DrillRules())
    session.spent["numbers"] = LEVEL.budget - 300
    outcome = play(session, REFERENCE, opening)
    assert (outcome.score, session.done) == (0.0, True)


@pytest.mark.slow
def test_a_certificate_holds_and_notices_a_player_that_misses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = DrillConfig(85, "drill_sql", "marketplace_checkout", 1)
    made = certify_one(config)
    assert made.holds
    assert made.moved_by == ()
    monkeypatch.setattr(certificate, "REFERENCE", get_policy("null"))
    monkeypatch.setattr(certificate, "variations", dict)
    assert certify_one(config).score == 0.0


@pytest.mark.slow
def test_no_naive_method_earns_much() -> None:
    each_of = LEVEL.causes * (2 if os.environ.get("METRIC_TRACKER_FULL") else 1)
    configs = [
        DrillConfig(60 + number, "drill_sql", name, causes)
        for name in DOMAINS
        for number, causes in enumerate(each for each in each_of if each)
    ]
    scans = [Scan(build_episode(config)) for config in configs]
    limited = [each for each in HEURISTICS.values() if each.ceiling != UNLIMITED]
    assert len(limited) == 19
    for heuristic in limited:
        scores = [heuristic.grade(scan).score for scan in scans]
        mean, perfect = heuristic.ceiling
        slack = 2.0 / len(scores) ** 0.5 * (mean * (1.0 - mean)) ** 0.5
        assert sum(scores) / len(scores) <= mean + slack, heuristic.name
        assert scores.count(1.0) <= perfect * len(scores) + 3, heuristic.name


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("slice", {}),
        ("slice", {"stages": ["signups"], "where": {"plan": "free", "industry": "health"}}),
        ("slice", {"where": {"plan": "team"}, "dates": [WEEK], "stages": ["signups"]}),
        ("slice", {"group_by": ["region", "plan"], "where": SOME, "every": "week"}),
        ("compare", {"dates": [WEEK], "reference": [(7, 13), LATER], "where": {"plan": "team"}}),
        ("compare", {"dates": [LATER], "reference": [WEEK], "group_by": ["source"], "stages": TWO}),
    ],
)
def test_a_query_answers_a_slice_or_a_comparison_and_costs_as_much(
    tool: str, arguments: dict[str, Any]
) -> None:
    episode = build_episode(DrillConfig(45, "drill_sql", "saas_trial", 0))
    desk = Desk(overview(episode, NoArguments()))
    arguments = {
        name: [[episode.dates[day] for day in days] for days in given]
        if name in ("dates", "reference")
        else given
        for name, given in arguments.items()
    }
    found, numbers = find_tool(tool).call(episode, arguments, LEVEL.limits)

    def once() -> Asking[Any]:
        return (yield from ask(tool, **arguments))

    player = by_sql(desk, once())
    query = next(player)["analysis_args"]["query"]
    result, spent = episode.database.query(query, LEVEL.limits)
    with pytest.raises(StopIteration) as end:
        player.send({"analysis_result": {"result": result}})
    assert end.value.value["rows"] == found["rows"]
    assert spent["numbers"] == numbers["numbers"]
