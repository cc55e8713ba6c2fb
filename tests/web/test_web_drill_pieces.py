"""Drill-down on the page without a browser: what is drawn of replies, the report, the end."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from html import unescape
from statistics import median
from typing import Any

import gradio as gr
import numpy as np
import pytest

from metric_tracker_rl.drilldown.building import build_episode
from metric_tracker_rl.drilldown.episode import Episode
from metric_tracker_rl.drilldown.tasks import SPLITS, TASKS
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.page.drill import answers, charts, episode, investigate, report, score
from metric_tracker_rl.page.drill.panels import (
    compare_changes,
    panels_of,
    slice_dates,
    slice_measures,
)
from metric_tracker_rl.page.drill.roots import root_views, roots_figure
from metric_tracker_rl.page.drill.state import MetricVisitor, segment_of
from metric_tracker_rl.page.drill.story import Story
from openenv_kit.errors import ConfigurationError, InvalidValueError
from openenv_kit.page import builder
from openenv_kit.page.scenes import scenes_of
from openenv_kit.page.watching import Frame, Playback, scripted
from openenv_kit.play.driver import observed

EASY = "drill_easy_saas_trial"
EPISODE = build_episode(TASKS[EASY])
ROWS = [row.as_dict() for row in EPISODE.expected_rows]
DAYS = [EPISODE.dates[7], EPISODE.dates[9]]


def started(**more: Any) -> MetricVisitor:
    visitor = MetricVisitor()
    visitor.start(**{"task_id": EASY, "feedback": "full", **more})
    assert visitor.frames, visitor.problem
    return visitor


def asked(tool: str, **arguments: Any) -> tuple[Story, dict[str, Any]]:
    """The story of a play with one call, and its result."""
    visitor = started()
    visitor.call(tool, arguments)
    assert not visitor.problem
    return visitor.story, dict(visitor.story.answers[-1].result)


@pytest.fixture(scope="module")
def views() -> Iterator[dict[str, Any]]:
    """Every view of the page, by name."""
    with gr.Blocks() as blocks:
        yield builder.lay_out(scenes_of(), False, blocks).views


def everything_shown(views: dict[str, Any], visitor: MetricVisitor) -> str:
    """All that any handler of the page could send about a visitor."""
    told = [value for view in views.values() for value in view.show(visitor)]
    return json.dumps(told, default=lambda v: v.to_json() if hasattr(v, "to_json") else repr(v))


def test_panels_hold_the_counts_of_the_reply_and_the_median_of_its_weekdays() -> None:
    story, result = asked("slice", group_by=["plan"])
    dates, told = slice_dates(result), slice_measures(result, story.stages)
    assert dates == story.dates == list(EPISODE.dates)
    counts = {(plan, stage): numbers for plan, stage, numbers in result["rows"]}
    for panel in panels_of(told, "", dates, weekly=False):
        values = counts[panel.title, story.stages[0]]
        assert panel.values == values
        assert panel.usual == [median(values[day % 7 :: 7]) for day in range(len(dates))]
    rate = f"rate into {story.stages[1]}, % of {story.stages[0]}"
    (first, *_) = panels_of(told, rate, dates, weekly=False)
    into, out_of = (counts[first.title, stage] for stage in story.stages[1::-1])
    assert first.values == pytest.approx([100 * a / b for a, b in zip(into, out_of, strict=True)])
    figure = charts.small_multiples(rate, [first])
    assert list(figure.data[-1].y) == first.values
    assert rate in figure.layout.annotations[0].text


def test_a_week_is_drawn_as_the_mean_of_its_days_and_a_day_as_bars() -> None:
    story, result = asked("slice", every="week", stages=["signups"])
    (only,) = slice_measures(result, story.stages)
    (panel,) = panels_of([only], "", slice_dates(result), weekly=True)
    assert panel.values == [number / 7 for number in result["rows"][0][-1]]
    assert panel.usual == []
    story, result = asked("slice", group_by=["plan"], dates=[DAYS[0], DAYS[0]])
    figure = answers.chart_of(story, story.answers[-1], "")
    assert [bar.type for bar in figure.data] == ["bar"]
    assert len(figure.data[0].x) == 3


def test_a_comparison_is_drawn_per_day_and_rates_by_their_own_counts() -> None:
    other = investigate.same_weekdays([DAYS], EPISODE.dates)
    assert len(other) == 7
    assert [*DAYS] not in other
    story, result = asked("compare", dates=[DAYS], reference=other, group_by=["plan"])
    found = compare_changes(result, story.stages)
    first, second = story.stages[:2]
    row = dict(zip(result["columns"], result["rows"][0], strict=True))
    change = found[f"{first}, people a day"][0]
    assert change.title == row["plan"]
    assert change.now == row[f"{first}.dates"] / 3
    assert change.before == row[f"{first}.reference"] / 21
    rate = found[f"rate into {second}, % of {first}"][0]
    assert rate.now == pytest.approx(100 * row[f"{second}.dates"] / row[f"{first}.dates"])
    assert rate.relative == pytest.approx(rate.now / rate.before - 1)


@pytest.mark.parametrize("days", [1, 7, 8, 14])
def test_other_weeks_never_meet_the_days_they_are_compared_with(days: int) -> None:
    chosen = [EPISODE.dates[20], EPISODE.dates[20 + days - 1]]
    for first, last in investigate.same_weekdays([chosen], EPISODE.dates):
        assert last < chosen[0] or first > chosen[1]


def other_labels(made: Episode) -> Episode:
    """The same data under another answer."""
    rows = [dataclasses.replace(row, date_from=made.dates[0]) for row in made.expected_rows]
    return dataclasses.replace(made, expected_rows=tuple(rows))


def test_nothing_that_is_shown_before_the_end_depends_on_the_answer(views: dict[str, Any]) -> None:
    shown = []
    for change in (lambda made: made, other_labels):
        visitor = started()
        visitor.token = "drawn anew for each visitor"
        visitor.session.engine.episode = change(visitor.session.engine.episode)
        visitor.call("slice", {"group_by": ["plan"]})
        visitor.call("compare", {"dates": [DAYS], "reference": [DAYS]})
        visitor.call("change_log", {})
        visitor.rows = ROWS
        visitor.log = []  # it tells how long each call took
        before = everything_shown(views, visitor)
        assert "taken back" not in before
        visitor.submit()
        visitor.log = []
        shown.append((before, everything_shown(views, visitor)))
    (one, one_end), (two, two_end) = shown
    assert one == two
    assert one_end != two_end
    assert "taken back" in one_end


def test_each_root_stands_on_its_data_and_is_gone_where_its_cause_is() -> None:
    seen = root_views(EPISODE.config)
    assert [(v.kind, v.stage, v.first, v.last) for v in seen] == [
        (row["kind"], row["stage"], row["date_from"], row["date_to"]) for row in ROWS
    ]
    for view in seen:
        run = slice(EPISODE.day_of[view.first], EPISODE.day_of[view.last] + 1)
        for course in view.courses:
            counted, undone = np.array(course.counted), np.array(course.undone)
            outside = np.ones(len(counted), dtype=bool)
            outside[run] = False
            assert np.array_equal(counted[outside], undone[outside])
            change = counted[run] / undone[run] - 1
            assert np.all(np.abs(change) > 0.09)
    assert len(seen[1].courses) == 2, "a tracking loss shows in two rates"
    figure = roots_figure(EPISODE)
    titles = [note.text for note in figure.layout.annotations]
    assert sum("its cause taken back" in title for title in titles) == 4
    assert len(figure.layout.shapes) == 8


def test_the_verdicts_on_rows_add_up_to_the_grade() -> None:
    loss = ROWS[1]
    wide = {**ROWS[0], "segment": {"region": "amer"}, "change": "chg-01"}
    wrong = {**loss, "date_from": EPISODE.dates[0], "date_to": EPISODE.dates[1]}
    visitor = started()
    visitor.rows = [wide, loss, {**loss, "kind": "rate_change"}, wrong, {"kind": "none"}, "x"]
    visitor.submit()
    told = visitor.story.breakdown
    assert told is not None
    said = [words for _, words in score.verdicts(visitor.rows, told["roots"], EPISODE)]
    costs = [float(each.rpartition(" ")[2]) for each in said if "costs" in each]
    earned = [float(each.rpartition(" ")[2]) for each in said if "earns" in each]
    assert (sum(costs), sum(earned)) == (told["cost"], pytest.approx(told["matched"], abs=0.01))
    html = report.scored(visitor.story, visitor.session)[0]
    assert "Found in part. The segment only overlaps (region = amer)" in html
    assert "cannot be read: costs 1" in html


def test_an_episode_without_roots_is_explained() -> None:
    visitor = started(task_id=None, difficulty="drill_easy", causes=0, seed=3)
    visitor.submit()
    html, chart = report.scored(visitor.story, visitor.session)
    assert "1.0000" in html
    assert "There was no root" in html
    assert chart["visible"] is False


@pytest.mark.parametrize("more", [{"feedback": "score"}, {"max_steps": 1}])
def test_a_play_that_was_not_told_its_roots_is_shown_none(
    views: dict[str, Any], more: dict[str, Any]
) -> None:
    visitor = started(**more)
    if "max_steps" in more:
        visitor.call("overview", {})
    visitor.submit()
    assert visitor.session.done
    html, chart = report.scored(visitor.story, visitor.session)
    assert ("nothing else" if "feedback" in more else "More than 1 steps") in html
    assert chart["visible"] is False
    assert "taken back" not in everything_shown(views, visitor)


def test_tiers_take_turns_and_leave_each_other_alone(views: dict[str, Any]) -> None:
    visitor = MetricVisitor()
    for task, drills in (("easy_single_spike", False), (EASY, True), ("hard_mixed_multi", False)):
        visitor.start(task_id=task)
        assert visitor.drills is drills
        seen = [update["visible"] for update in views["tier"].show(visitor)]
        assert seen == [not drills, drills] * 3
        assert (views["drill_rows"].show(visitor)[0] == gr.skip()) is not drills
        assert (views["check"].show(visitor)[0] == gr.skip()) is drills
        refused = "no funnel episode" if drills else "start a drill-down episode first"
        with pytest.raises(ConfigurationError, match=refused):
            _ = visitor.view if drills else visitor.story


def test_episodes_are_started_by_level_seed_and_product_or_from_a_split() -> None:
    visitor = MetricVisitor()
    episode._start_custom(visitor, "drill_easy", "ordering_app", " 12 ", None)
    made = visitor.session.engine.episode.config
    assert (made.seed, made.product, made.difficulty) == (12, "ordering_app", "drill_easy")
    assert "56 days of ordering app" in episode.card_html(visitor)
    with pytest.raises(InvalidValueError, match="seed is 'many'"):
        episode._start_custom(visitor, "drill_easy", "ordering_app", "many", None)
    episode._start_drawn(visitor, "drill_test", 1)
    assert visitor.session.task_id == "drill_test-1"
    assert visitor.reset["feedback"] == "full"


def test_a_sealed_episode_is_asked_for_its_score_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, given = MetricVisitor(), []
    monkeypatch.setattr(visitor, "start", lambda **reset: given.append(reset))
    episode._start_drawn(visitor, SPLITS.sealed, 2)
    assert given == [{"split": SPLITS.sealed, "index": 2, "feedback": "score"}]


def test_a_row_is_added_removed_and_refused_in_words() -> None:
    visitor = started()
    people = [f"{name} = {value}" for name, value in ROWS[0]["segment"].items()]
    days = ROWS[0]["date_from"], ROWS[0]["date_to"]
    values = (ROWS[0]["kind"], ROWS[0]["stage"], people, *days, ROWS[0]["change"])
    report._add(visitor, *values)
    assert visitor.rows == ROWS[:1]
    report._add(visitor, "rate_change", visitor.story.stages[0], [], "", days[1], "")
    assert visitor.rows[1]["date_from"] == days[1]
    assert "1 well formed, 1 not" in report.rows_html(visitor)
    with pytest.raises(InvalidValueError, match="one value of each attribute"):
        segment_of(["plan = team", "plan = business"])
    report._drop(visitor, "1")
    report._drop(visitor, "9")
    report._drop(visitor, None)
    assert visitor.rows == ROWS[:1]
    visitor.rows = [{"kind": "<b>"}, "<i>"]
    assert "<b>" not in report.rows_html(visitor)


@pytest.mark.parametrize("told", ["", "x/y", f"{DAYS[1]}/{DAYS[0]}", None, 3])
def test_days_that_are_none_are_not_chosen(told: object) -> None:
    visitor = started()
    visitor.choose_days(told)
    assert visitor.days is None
    visitor.choose_days("/".join(DAYS))
    assert visitor.days == tuple(DAYS)


def test_a_watched_policy_is_drawn_as_ones_own_play_is() -> None:
    scenes = scenes_of()
    watched = scripted(ENVIRONMENT.policies["drill_reference"], scenes.reset_of_task(EASY))
    board = scenes.show_board(watched)
    assert board[0] == ""
    assert "numbers left" in board[1]
    watched.run_to_end()
    board = scenes.show_board(watched)
    assert "= (2 matched − 0 cost) / 2 roots" in board[2]
    assert board[3]["visible"] is True
    watched.go(2)
    assert scenes.show_board(watched)[2] == ""


@pytest.mark.parametrize("rows", [[1, "x", None, {"kind": 2, "stage": "x"}], 7, "rows", {"a": 1}])
def test_no_report_of_a_recording_breaks_the_page(rows: Any) -> None:
    session, reset = ENVIRONMENT.session(), {"task_id": EASY, "feedback": "full"}
    frames = [Frame({}, observed(session.reset(**reset)))]
    for method, arguments in (("change_log", {}), ("submit_report", {"rows": rows})):
        action = {"analysis_method": method, "analysis_args": arguments}
        frames.append(Frame(action, observed(session.step(action))))
    watched, scenes = Playback("who", session, iter(frames)), scenes_of()
    watched.run_to_end()
    assert scenes.describe(watched.frame.action).startswith("submit ")
    assert scenes.show_board(watched)[5]["visible"] is True


def test_the_debug_tab_tells_the_rows_of_a_drill_down_episode() -> None:
    visitor = MetricVisitor(debug=True)
    visitor.start(task_id=EASY)
    with gr.Blocks() as blocks:
        views = builder.lay_out(scenes_of(), True, blocks).views
    (html,) = views["debug"].show(visitor)
    told = unescape(html.partition("<pre")[2].partition(">")[2].partition("</pre>")[0])
    assert json.loads(told)["expected_rows"] == ROWS
    assert ROWS[0]["date_from"] in html.partition("<pre")[0]
