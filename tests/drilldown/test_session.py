"""Playing the drill-down tier in process: tools, budget, fuzz, non-interference, the reference."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_jsonable_python

from metric_tracker_rl.drilldown.building import build_episode
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.cube import cell_of_segment
from metric_tracker_rl.drilldown.domains import DOMAINS
from metric_tracker_rl.drilldown.episode import Episode
from metric_tracker_rl.drilldown.levels import LEVELS
from metric_tracker_rl.drilldown.policies import POLICIES
from metric_tracker_rl.drilldown.policies.heuristic import UNLIMITED
from metric_tracker_rl.drilldown.policies.heuristics import HEURISTICS
from metric_tracker_rl.drilldown.policies.scan import Scan
from metric_tracker_rl.drilldown.session import RESET_ARGUMENTS, DrillRules, DrillSession
from metric_tracker_rl.drilldown.tasks import DEFAULT_TASK_ID, SPLITS, STRATA, TASKS
from metric_tracker_rl.drilldown.tools import MOST_NUMBERS, TOOLS
from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.environment import Reply
from openenv_kit.play.driver import observed, play

CONFIG = DrillConfig(3, "drill", "ordering_app", 2)
EPISODE = build_episode(CONFIG)
REFERENCE = POLICIES["drill_reference"]


def started(config: DrillConfig = CONFIG, **rules: Any) -> DrillSession:
    session = DrillSession()
    assert session.open("test", config, DrillRules(**rules)).status == "ready"
    return session


def call(session: DrillSession, tool: str, **arguments: Any) -> Reply:
    return session.step({"analysis_method": tool, "analysis_args": arguments})


def result(reply: Reply) -> Any:
    assert reply.status == "analyzed", reply.message
    return reply.content["analysis_result"]["result"]


def numbers_in(rows: list[list[Any]]) -> int:
    flat = [x for row in rows for value in row for x in (value if type(value) is list else [value])]
    return sum(type(value) is int for value in flat)


def test_a_slice_is_the_sum_of_its_leaves() -> None:
    session = started()
    where = {"platform": "ios", "channel": ["email", "social"]}
    stages = ["app_opens", "payment_successful"]
    asked = {"group_by": ["country"], "where": where, "stages": stages}
    reply = result(call(session, "slice", **asked))
    assert reply["columns"] == ["country", "stage", "counts"]
    for country, stage, counts in reply["rows"]:
        cells = [
            cell_of_segment(EPISODE.domain, {"platform": "ios", "country": country, "channel": c})
            for c in where["channel"]
        ]
        number = EPISODE.domain.stages.index(stage)
        right = sum(EPISODE.counts[EPISODE.cube.member[cell], number].sum(axis=0) for cell in cells)
        assert counts == right.tolist()


def test_groups_come_in_the_order_asked_for() -> None:
    session = started()
    asked = {"every": "week", "stages": ["app_opens"]}
    one = result(call(session, "slice", group_by=["platform", "country"], **asked))["rows"]
    other = result(call(session, "slice", group_by=["country", "platform"], **asked))["rows"]
    assert {(a, b, *c) for a, b, _, c in one} == {(b, a, *c) for a, b, _, c in other}
    assert one[0][:2] == ["ios", "us"]
    assert other[1][:2] == ["us", "android"]


def test_weeks_and_several_ranges() -> None:
    session, dates = started(), EPISODE.dates
    stages = ["app_opens"]
    weeks = result(call(session, "slice", every="week", stages=stages))
    days = result(call(session, "slice", stages=stages))
    daily = days["rows"][0][-1]
    assert weeks["rows"][0][-1] == [sum(daily[at : at + 7]) for at in range(0, 56, 7)]
    ranges = [[dates[50], dates[52]], [dates[3], dates[3]]]
    some = result(call(session, "slice", stages=stages, dates=ranges))
    assert some["rows"][0][-1] == [*daily[50:53], daily[3]]
    assert some["dates"] == [*dates[50:53], dates[3]]
    assert days["dates"] == [dates[0], dates[-1]]
    assert days["every_seventh_date"] == weeks["weeks_from"] == list(dates[::7])
    flat = result(call(session, "slice", stages=stages, dates=[dates[0], dates[9]], every="week"))
    assert flat["days"] == [7, 3]
    assert flat["rows"][0][-1] == [sum(daily[:7]), sum(daily[7:10])]


def test_compare_adds_up_both_sides() -> None:
    session, dates = started(), EPISODE.dates
    asked = {
        "dates": [dates[10], dates[11]],
        "reference": [[dates[3], dates[4]], [dates[4], dates[5]]],
    }
    reply = result(call(session, "compare", group_by=["platform"], **asked))
    assert reply["days"] == {"dates": 2, "reference": 3}
    ios = cell_of_segment(EPISODE.domain, {"platform": "ios"})
    daily = EPISODE.counts[EPISODE.cube.member[ios], 0].sum(axis=0)
    assert reply["rows"][0][:3] == ["ios", daily[10:12].sum(), daily[3:6].sum()]


def test_numbers_are_counted_and_a_refused_call_costs_none() -> None:
    session = started()
    budget = CONFIG.level.budget
    reply = call(session, "slice", group_by=["platform", "country"], every="week")
    read = numbers_in(result(reply)["rows"])
    assert reply.content["numbers_left"] == budget - read == budget - 18 * 5 * 8
    reply = call(session, "slice", group_by=["platform", "country"])
    assert reply.status == "error"
    assert "5,040 numbers" in reply.message
    assert f"{MOST_NUMBERS:,} in one reply" in reply.message
    assert reply.content["numbers_left"] == budget - read
    for free in ("overview", "change_log"):
        assert call(session, free).content["numbers_left"] == budget - read
    assert call(session, "preview_report", rows=[]).content["numbers_left"] == budget - read


def test_a_spent_budget_refuses_and_leaves_the_report() -> None:
    session = started()
    while (reply := call(session, "slice", group_by=["country", "channel"], every="week")).status:
        if reply.status == "error":
            break
    assert session.read <= CONFIG.level.budget
    assert "Nothing was read" in reply.message
    rows = [row.as_dict() for row in EPISODE.expected_rows]
    assert call(session, "submit_report", rows=rows).reward == 1.0


def test_every_step_counts_and_one_too_many_ends_with_nothing() -> None:
    session = started(max_steps=2)
    assert call(session, "overvew").message.startswith("Unknown tool 'overvew'. Did you mean")
    assert call(session, "overview").content["calls_left"] == 0
    last = call(session, "overview")
    assert (last.done, last.reward, last.status) == (True, 0.0, "completed")
    assert call(session, "overview").status == "completed"


def test_errors_name_the_value_and_the_nearest() -> None:
    session = started()
    for arguments, words in (
        ({"group_by": ["contry"]}, "Did you mean 'country'"),
        ({"where": {"platform": "ioss"}}, "Did you mean 'ios'"),
        ({"stages": ["app_open"]}, "Did you mean 'app_opens'"),
        ({"dates": [["2020-01-01", "2020-01-02"]]}, "'2020-01-01'"),
        ({"group_by": ["country", "country"]}, "dimensions that differ"),
        ({"grup_by": []}, "did you mean 'group_by'"),
        ({"form": "per_mille_of_usual"}, "counts on drill"),
        ({"where": {"platform": []}}, "at least one value"),
    ):
        reply = call(session, "slice", **arguments)
        assert reply.status == "error"
        assert words in reply.message


def test_per_mille_is_there_on_the_easy_level_alone() -> None:
    session = started(DrillConfig(3, "drill_easy", "ordering_app", 1))
    reply = result(call(session, "slice", form="per_mille_of_usual", stages=["app_opens"]))
    values = np.array(reply["rows"][0][-1])
    assert abs(np.median(values)) <= 5
    assert np.abs(values).max() < 1000


@pytest.mark.parametrize("first", [0, 3, 50])
def test_per_mille_by_week_compares_a_week_with_the_same_weekdays_of_the_others(first: int) -> None:
    """The last week is of the days that are left."""
    session = started(DrillConfig(3, "drill_easy", "ordering_app", 1))
    dates = session.episode.dates  # type: ignore[union-attr]
    weeks = {"dates": [dates[first], dates[-1]], "every": "week", "stages": ["menu_opens"]}
    [(_, told)] = result(call(session, "slice", form="per_mille_of_usual", **weeks))["rows"]
    counts = session.episode.counts.sum(axis=0)  # type: ignore[union-attr]
    for place, start in enumerate(range(first, 56, 7)):
        length = min(7, 56 - start)
        starts = range(start % 7, 57 - length, 7)
        below, into = (
            [stage[each : each + length].sum() for each in starts] for stage in counts[:2]
        )
        rates = np.array(into) / np.array(below)
        expected = 1000 * (rates[start // 7] / np.median(rates) - 1)
        assert told[place] == pytest.approx(expected, abs=0.0501)


def test_an_invalid_row_says_why_and_costs() -> None:
    session = started(feedback="full")
    rows = [row.as_dict() for row in EPISODE.expected_rows]
    wrong: list[Any] = [
        {**rows[0], "kind": "rate_chang"},
        {**rows[0], "stage": "nowhere"},
        {
            **rows[0],
            "segment": {
                "platform": "ios",
                "country": "us",
                "channel": "email",
                "app_version": "8.4",
            },
        },
        {**rows[0], "date_to": "2031-01-01"},
        {**rows[0], "change": "chg-99"},
        {**rows[0], "more": 1},
        {"kind": rows[0]["kind"]},
        "row",
    ]
    told = result(call(session, "preview_report", rows=wrong))
    assert told["invalid_rows"] == len(wrong) == len(told["issues"])
    graded = call(session, "submit_report", rows=[*rows, wrong[0]]).content["reward_breakdown"]
    assert graded["total_score"] == pytest.approx(1.0 - 1.0 / len(rows), abs=1e-6)
    assert [root["credit"] for root in graded["roots"]] == [1.0] * len(rows)


def test_feedback_tells_the_score_alone_unless_asked_for_more() -> None:
    session = started()
    graded = session.step({"classifications": [EPISODE.expected_rows[0].as_dict()]})
    told = graded.content["reward_breakdown"].model_dump()
    assert told == {"total_score": graded.reward}
    assert dict(ENVIRONMENT.score_parts(observed(graded)) or {}) == told
    assert session.state().status == "completed"


def other_labels(episode: Episode) -> Episode:
    wrong = [
        dataclasses.replace(
            row, date_from=episode.dates[0], date_to=episode.dates[0], change="chg-01"
        )
        for row in episode.expected_rows
    ]
    return dataclasses.replace(episode, expected_rows=tuple(wrong))


def frames(episode: Episode) -> list[str]:
    session = DrillSession()
    replies = [session.start("test", episode, DrillRules())]
    rows = [row.as_dict() for row in EPISODE.expected_rows]
    dates = episode.dates
    for tool, arguments in (
        ("overview", {}),
        ("slice", {"group_by": ["country"], "every": "week"}),
        ("compare", {"dates": [dates[0], dates[1]], "reference": [dates[7], dates[8]]}),
        ("change_log", {}),
        ("preview_report", {"rows": rows}),
        ("slice", {"group_by": ["nowhere"]}),
        ("submit_report", {"rows": rows}),
    ):
        replies.append(call(session, tool, **arguments))
        replies.append(Reply("state", session.state().model_dump_json()))
    return [json.dumps(to_jsonable_python(reply)) for reply in replies]


def test_nothing_before_the_report_depends_on_the_labels() -> None:
    true, false = frames(EPISODE), frames(other_labels(EPISODE))
    differing = [number for number, (a, b) in enumerate(zip(true, false, strict=True)) if a != b]
    assert differing == [len(true) - 2]  # the graded report and nothing else


def test_no_reset_tells_the_seed_or_the_number_of_causes() -> None:
    session = DrillSession()
    config = DrillConfig(987654321, "drill", "saas_trial", 3)
    told = json.dumps(session.open("test", config, DrillRules()).content)
    assert "987654321" not in told
    assert "causes" not in json.loads(told)["config"]
    assert "987654321" in json.dumps(session.identity())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["group_by", "where", "stages", "dates", "every", "form", "reference", "rows", "x"]
)
VALUES = JSON | st.sampled_from(
    [["platform"], {"platform": "ios"}, ["app_opens"], [EPISODE.dates[0], EPISODE.dates[3]], "week"]
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*TOOLS, "nothing"]), st.dictionaries(NAMES, VALUES, max_size=4) | JSON)
def test_no_arguments_raise_or_overspend(tool: str, arguments: Any) -> None:
    session = started()
    reply = session.step({"analysis_method": tool, "analysis_args": arguments})
    assert reply.status in ("analyzed", "evaluated", "error")
    assert len(reply.message) < 2000
    json.dumps(to_jsonable_python(reply.content))
    spent = CONFIG.level.budget - reply.content["numbers_left"]
    if reply.status == "analyzed" and tool in ("slice", "compare"):
        rows = reply.content["analysis_result"]["result"]["rows"]
        assert spent == numbers_in(rows) <= MOST_NUMBERS
    else:
        assert spent == 0


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(JSON)
def test_no_action_raises(action: Any) -> None:
    reply = started().step(action)
    assert reply.status in ("error", "evaluated", "analyzed")


def test_resets_name_what_is_wrong_and_leave_the_episode() -> None:
    session = DrillSession()
    assert session.step({}).status == "error"
    assert session.reset().status == "ready"
    assert session.task_id == DEFAULT_TASK_ID
    running = session.episode
    for arguments in (
        {"task_id": "drill_esy_ordering_app"},
        {"seed": -1},
        {"split": "drill_test", "index": 10**6},
        {"split": "drill_test", "seed": 3},
        {"split": "test", "index": 3},
        {"max_submissions": 2},
        {"feedback": "none"},
        {"max_steps": 0},
        {"sed": 3},
        {"causes": True},
    ):
        assert session.reset(**arguments).status == "error"
        assert session.episode is running
    assert "episode_id" in RESET_ARGUMENTS
    assert session.reset(split="drill_test", index=5).status == "ready"
    assert session.task_id == "drill_test-5"


def test_a_block_of_a_split_holds_every_stratum_and_one_empty_in_six() -> None:
    assert len(STRATA) == 96
    block = [SPLITS.task("drill_train", index).config for index in range(96)]
    assert sum(config.causes == 0 for config in block) == 16
    assert {(c.difficulty, c.product) for c in block} == {(a, b) for a in LEVELS for b in DOMAINS}
    assert len(TASKS) == 16


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_the_reference_plays_every_named_task_to_one_within_its_budget(task: str) -> None:
    session = DrillSession()
    level = TASKS[task].level
    outcome = play(session, REFERENCE, session.reset(task_id=task))
    assert outcome.score == 1.0
    assert all(session.spent[unit] <= limit for unit, limit in level.limits.items())


def test_the_reference_reports_nothing_where_nothing_is() -> None:
    session = started(DrillConfig(12, "drill_hard", "marketplace_checkout", 0))
    opening = session.open("test", DrillConfig(12, "drill_hard", "saas_trial", 0), DrillRules())
    assert play(session, REFERENCE, opening).score == 1.0


@pytest.mark.slow
def test_no_heuristic_earns_more_than_it_may() -> None:
    configs = [
        DrillConfig(60 + number, level, name, causes)
        for level in ("drill", "drill_hard")
        for name in DOMAINS
        for number, causes in enumerate(each for each in LEVELS[level].causes if each)
    ]
    scans = [Scan(build_episode(config)) for config in configs]
    limited = [each for each in HEURISTICS.values() if each.ceiling != UNLIMITED]
    assert len(limited) == 19
    for heuristic in limited:
        scores = [heuristic.grade(scan).score for scan in scans]
        mean, perfect = heuristic.ceiling
        slack = 2.0 / len(scores) ** 0.5 * (mean * (1.0 - mean)) ** 0.5  # two standard errors
        assert sum(scores) / len(scores) <= mean + slack, heuristic.name
        assert scores.count(1.0) <= perfect * len(scores) + 3, heuristic.name
