"""Charts and verdicts of a funnel episode, without a browser."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from html import unescape
from typing import Any

import pytest

from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.episode.flagged_series import list_flagged_series_by_id
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.page.verdicts import (
    NEVER_READ,
    NOT_REPORTED,
    judge_submitted_and_missing_rows,
)
from metric_tracker_rl.page.visible_state import (
    collect_known_values_from_replies,
    collect_values_and_verdicts_to_show,
    rebuild_episode_from_reset_arguments,
)
from metric_tracker_rl.page.words import format_entity_name
from openenv_kit.episode_clients.in_process import observation_json_from_reply
from openenv_kit.page.begin_episode import begin_episode, make_opening_calls
from openenv_kit.page.components.grid import GLYPHS, CellVerdict
from openenv_kit.page.environment_view import get_environment_view_or_default
from openenv_kit.page.playback import PlaybackStep, create_playback_of_policy
from openenv_kit.page.tabs import play
from openenv_kit.page.visitor import Visitor

TASK = "hard_mixed_multi"
GUIDED: dict[str, Any] = {"task_id": TASK}
RAW = {**GUIDED, "disclosure": "raw"}
LEAN = {**GUIDED, "profile": "lean"}
WEEKDAYS = {**GUIDED, "policy": "varied"}
SCENES = get_environment_view_or_default(ENVIRONMENT)


def started(**reset: Any) -> Visitor:
    visitor = Visitor(ENVIRONMENT)
    visitor.start_episode(**(reset or GUIDED))
    assert visitor.has_episode, visitor.problem
    return visitor


def episode_of(visitor: Visitor) -> FunnelEpisode:
    return rebuild_episode_from_reset_arguments(visitor.reset).episode


def asked(visitor: Visitor, *calls: tuple[str, dict[str, Any]]) -> Visitor:
    for tool, arguments in calls:
        visitor.call_tool(tool, arguments)
        assert not visitor.problem
    return visitor


def charts(visitor: Visitor) -> str:
    return SCENES.overview_html(visitor.playback_steps, visitor.reset, visitor.selection)


def drawn(visitor: Visitor) -> str:
    """Everything that the page draws from replies."""
    panel = SCENES.question_panel(visitor)
    assert panel is not None
    return charts(visitor) + SCENES.details_html(visitor) + panel.title + panel.known_html


def count_marks(html: str) -> dict[CellVerdict, int]:
    """Number of verdict marks in the charts, by kind."""
    signs = re.findall(r'<b class="verdict [^"]*"[^>]*>(.)</b>', html)
    return {kind: signs.count(GLYPHS[kind]) for kind in CellVerdict if GLYPHS[kind] in signs}


def calls_for(
    episode: FunnelEpisode, profile: str, *, raw: bool
) -> list[tuple[str, dict[str, Any]]]:
    """Calls of every tool that shows data."""
    one, two, three = ({"date": date} for date in episode.dates[5:8])
    if profile == "lean":
        dates = {"dates": list(episode.dates[3:6])}
        lean: list[tuple[str, dict[str, Any]]] = [("overview", {}), ("day", dates)]
        return [*lean, ("hours", dates), *([] if raw else [("scan", {})])]
    both: list[tuple[str, dict[str, Any]]] = [
        ("rows_for_date", one),
        ("hourly_rows_for_date", two),
        ("show_raw_data", {"limit": 3}),
        ("show_raw_data", {"limit": 48, "offset": 240, "granularity": "hourly"}),
        ("get_metric_median", {}),
    ]
    funnel = episode.config.funnel_with_policy_daytime
    guided: list[tuple[str, dict[str, Any]]] = [
        ("list_suspicious_dates", {"limit": 5}),
        ("compare_rate_to_median", {**three, "entity_name": funnel.conversion_rate_names[0]}),
        ("compare_count_to_median", {**three, "entity_name": funnel.event_count_names[0]}),
        *(("detect_funnel_break", {"date": row.date}) for row in episode.expected_rows),
        *(("check_impossible_counts", {"date": row.date}) for row in episode.expected_rows),
        ("get_rows_with_abs_diff_from_median_gt", {"threshold": 5.0}),
        ("get_median_filter_rows", {"threshold_multiplier": 1.0}),
        ("get_hourly_traffic_mix_shift_rows", {"threshold_multiplier": 1.0}),
    ]
    return both if raw else [*both, *guided]


@pytest.mark.parametrize(
    "reset",
    [GUIDED, RAW, LEAN, {**LEAN, "disclosure": "raw"}, WEEKDAYS, {**WEEKDAYS, **LEAN}],
    ids=["guided", "raw", "lean", "raw lean", "varied", "varied lean"],
)
def test_known_values_are_read_from_results_correctly(reset: dict[str, Any]) -> None:
    visitor = started(**reset)
    episode, raw = episode_of(visitor), reset.get("disclosure") == "raw"
    series = episode.series
    asked(visitor, *calls_for(episode, str(reset.get("profile")), raw=raw))
    seen = collect_known_values_from_replies(visitor.playback_steps)
    assert len(seen.values) > 30
    by_weekday = (
        visitor.playback_steps[0].observation["config"].get("baseline") == "same_weekday_median"
    )
    assert by_weekday is ("policy" in reset)
    for (day, column), value in seen.values.items():
        assert value == pytest.approx(series.values_and_excess_by_day[day][column], abs=2e-4), (
            day,
            column,
        )
    known = {(d, c) for d, c in seen.values if seen.find_baseline(d, c) is not None}
    assert {column for _, column in known} >= set(range(seen.funnel.columns.daytime_share))
    for day, column in known:
        assert seen.find_baseline(day, column) == series.baselines_by_day[day][column], (
            day,
            column,
        )
        assert seen.compute_deviation(day, column) == pytest.approx(
            series.deviations_and_excess_by_day[day][column], abs=1e-4
        )


def test_charts_are_empty_before_a_call() -> None:
    visitor = started()
    rows = [row.as_dict() for row in episode_of(visitor).expected_rows]
    asked(
        visitor, ("preview_submission", {"rows": [*rows, {**rows[0], "severity": "huge"}, rows[0]]})
    )
    asked(visitor, ("list_dates", {}))
    assert charts(visitor).count("not read yet</p>") == 11
    assert 'class="line"' not in drawn(visitor)
    known_values = collect_known_values_from_replies(visitor.playback_steps)
    assert (known_values.values, known_values.suspicion) == ({}, {})


def test_charts_after_the_opening_calls_show_every_count_with_its_range_and_triangles() -> None:
    visitor = Visitor(ENVIRONMENT)
    begin_episode(SCENES, visitor, GUIDED)
    html = charts(visitor)
    assert visitor.step_count == 3
    assert html.count('class="line"') == html.count('class="range"') == 11
    series = episode_of(visitor).series
    flagged = sum(len(series.days_past_threshold_by_column[column]) for column in range(11))
    assert len(re.findall("[▲▼]</b>", html)) == flagged
    day = collect_known_values_from_replies(visitor.playback_steps).largest_deviation_day
    assert visitor.selection == f"0/{episode_of(visitor).dates[day or 0]}"
    assert "Hours of" in SCENES.details_html(visitor)


@pytest.mark.parametrize(
    ("reset", "count"), [({"max_steps": 9}, 0), ({"profile": "lean"}, 0), ({"max_steps": 10}, 3)]
)
def test_opening_calls_are_made_only_with_enough_steps_and_tools(
    reset: dict[str, Any], count: int
) -> None:
    visitor = Visitor(ENVIRONMENT)
    begin_episode(SCENES, visitor, {**GUIDED, **reset})
    assert (visitor.step_count, visitor.problem) == (count, "")


def test_opening_calls_can_be_switched_off_and_made_later() -> None:
    visitor = Visitor(ENVIRONMENT)
    visitor.may_read_data = False
    begin_episode(SCENES, visitor, GUIDED)
    assert visitor.step_count == 0
    make_opening_calls(SCENES, visitor)
    assert visitor.step_count == 3


def answers(
    episode: FunnelEpisode, visitor: Visitor, calls: list[tuple[str, dict[str, Any]]]
) -> None:
    """Let another episode answer a visitor's calls, under the same rules."""
    session = ENVIRONMENT.create_session()
    session.reset(**visitor.reset)
    opening = session.start_episode_from_view(
        "other", EpisodeView(episode, session.running_view.rules)
    )
    visitor.playback_steps = [PlaybackStep({}, observation_json_from_reply(opening))]
    for tool, arguments in calls:
        action = ENVIRONMENT.tools.build_action(tool, arguments)
        visitor.playback_steps.append(
            PlaybackStep(action, observation_json_from_reply(session.step(action)))
        )


def other_days(episode: FunnelEpisode, days: list[int]) -> FunnelEpisode:
    """Another episode that has the same counts on a few days."""
    hourly = episode.generated.hourly * 3
    hourly[days] = episode.generated.hourly[days]
    series = DailySeries(
        hourly,
        episode.config.funnel_with_policy_daytime,
        episode.config.level_with_policy_parameters,
    )
    return dataclasses.replace(
        episode,
        series=series,
        expected_rows=(),
        generated=dataclasses.replace(episode.generated, hourly=hourly),
    )


@pytest.mark.parametrize("reset", [GUIDED, RAW], ids=["guided", "raw"])
def test_episodes_with_equal_results_have_equal_charts(reset: dict[str, Any]) -> None:
    """Only days that were asked for are alike; the medians, the other days and the roots differ."""
    visitor, other = started(**reset), started(**reset)
    episode = episode_of(visitor)
    read = [*(row.date for row in episode.expected_rows[:2]), episode.dates[1]]
    calls = [("rows_for_date", {"date": date}) for date in read]
    different = other_days(episode, [episode.day_by_date[date] for date in read])
    assert different.series.medians_by_column != episode.series.medians_by_column
    for day in (read[0], episode.dates[2]):
        for each, made in ((visitor, episode), (other, different)):
            answers(made, each, calls)
            each.selection = f"0/{day}"
        assert drawn(visitor) == drawn(other)
    for each, made in ((visitor, episode), (other, different)):
        answers(made, each, [*calls, ("get_metric_median", {})])
    assert drawn(visitor) != drawn(other), "nothing that is told is drawn"


def page_under(reset: dict[str, Any], higher: float) -> str:
    """What is drawn where all thresholds that the opening told are so many times as high."""
    visitor = started(**reset)
    asked(visitor, *calls_for(episode_of(visitor), "standard", raw=True))
    config = visitor.playback_steps[0].observation["config"]
    config["thresholds"] = {name: higher * n for name, n in config["thresholds"].items()}
    return drawn(visitor)


def test_charts_in_raw_disclosure_do_not_depend_on_thresholds() -> None:
    low, high = page_under(RAW, 1.0), page_under(RAW, 10.0)
    assert low == high
    assert 'class="range"' not in low
    assert "▲" not in low.partition("mt-outstanding")[0]
    assert "impossible counts" not in low
    low, high = page_under(GUIDED, 1.0), page_under(GUIDED, 10.0)
    assert low != high, "thresholds are drawn nowhere at all"
    assert 'class="range"' in low


def reported(*rows: dict[str, Any], **reset: Any) -> Visitor:
    visitor = started(**(reset or GUIDED))
    visitor.take_step({"classifications": list(rows)})
    return visitor


ROWS = [row.as_dict() for row in episode_of(started()).expected_rows]
WITHOUT_CHART = ("hourly_mix", "data_quality")


def count_rows_with_chart(rows: Sequence[Mapping[str, Any]]) -> int:
    return sum(row["entity_type"] not in WITHOUT_CHART for row in rows)


def test_each_row_is_matched_wrong_a_consequence_extra_or_missing() -> None:
    episode = episode_of(started())
    keys = {row.key for row in episode.expected_rows}
    consequences = [
        each.row for each in list_flagged_series_by_id(episode) if each.row.key not in keys
    ]
    quiet = next(d for d in episode.dates if d not in {row.date for row in episode.expected_rows})
    extra = {**ROWS[0], "date": quiet}
    wrong = {**ROWS[1], "severity": "low" if ROWS[1]["severity"] != "low" else "high"}
    rows = [
        ROWS[0],
        wrong,
        *(each.as_dict() for each in consequences),
        extra,
        {"date": "x"},
        ROWS[0],
    ]
    found = judge_submitted_and_missing_rows(rows, episode)
    kinds = [each.kind for each in found]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        CellVerdict.MATCHED: 1,
        CellVerdict.WRONG_FIELD: 1,
        CellVerdict.CONSEQUENCE: len(consequences),
        CellVerdict.EXTRA: 1,
        CellVerdict.MISSING: len(ROWS) - 2,
    }
    said = {each.kind: each.sentence for each in found}
    given, expected = wrong["severity"], ROWS[1]["severity"]
    assert said[CellVerdict.WRONG_FIELD] == (
        f"Expected, but with other values. severity: reported {given}, expected {expected}."
    )
    assert "within its threshold" in said[CellVerdict.EXTRA]
    for each in found:
        if each.kind == CellVerdict.CONSEQUENCE:
            roots = {
                format_entity_name(row.as_dict())
                for row in episode.expected_rows
                if row.date == each.row.date
            }
            assert re.findall("^Consequence of (.*): only causes", each.sentence)[0] in roots


def test_consequence_names_its_root_on_a_day_with_two() -> None:
    episode = episode_of(started())
    date = ROWS[0]["date"]
    funnel = episode.config.funnel_with_policy_daytime
    (first,) = (row for row in episode.expected_rows if row.entity_name == "app_opens")
    later = dataclasses.replace(
        first,
        entity_type="funnel_step",
        entity_name=funnel.funnel_step_names[2],
        anomaly_type="funnel_break",
    )
    both = dataclasses.replace(episode, expected_rows=(first, later))
    flagged = [
        each.row for each in list_flagged_series_by_id(episode) if each.row.date == first.date
    ]
    said = {
        v.row.entity_name: v.sentence
        for v in judge_submitted_and_missing_rows([r.as_dict() for r in flagged], both)
    }
    assert "Consequence of app opens" in said["menu_opens"]
    assert "Consequence of product added to cart → order placed" in said["payment_successful"]
    assert date in episode.dates


def test_each_consequence_is_listed_with_its_cause_after_the_end_only() -> None:
    visitor = started()
    asked(visitor, ("rows_for_date", {"date": ROWS[0]["date"]}))
    visitor.selection = f"0/{ROWS[0]['date']}"
    assert "follows from" not in drawn(visitor)
    visitor.take_step({"classifications": [ROWS[0]]})
    episode = episode_of(visitor)
    expected = {row.key for row in episode.expected_rows}
    dates = {row.date for row in episode.expected_rows}
    consequences = sorted(
        (flagged.row.date, format_entity_name(flagged.row.as_dict()))
        for flagged in list_flagged_series_by_id(episode)
        if flagged.row.key not in expected
        and flagged.row.date in dates
        and not flagged.is_explained
    )
    assert len(consequences) > len(expected)
    verdicts = collect_values_and_verdicts_to_show(visitor.playback_steps, visitor.reset).verdicts
    listed = [
        (verdict.row.date, consequence.name)
        for verdict in verdicts
        for consequence in verdict.consequences
    ]
    assert sorted(listed) == consequences
    (first,) = (verdict for verdict in verdicts if verdict.row.key == episode.expected_rows[0].key)
    names = ", ".join(consequence.name for consequence in first.consequences)
    story = unescape(SCENES.score_explanation_html(visitor.playback_steps, visitor.reset))
    assert f"Its consequences: {names}." in story
    cause = format_entity_name(first.row.as_dict())
    assert f"↩ follows from {cause}" in unescape(drawn(visitor))
    sentences = [
        outcome.sentence for outcome in SCENES.row_outcomes(visitor.playback_steps, visitor.reset)
    ]
    assert any(names in sentence for sentence in sentences)


def test_charts_after_grading_have_verdicts_and_missed_rows_name_the_call_that_shows_them() -> None:
    wrong = {**ROWS[0], "severity": "low" if ROWS[0]["severity"] != "low" else "high"}
    visitor = reported(wrong, *ROWS[2:])
    marks = {
        CellVerdict.MATCHED: count_rows_with_chart(ROWS[2:]),
        CellVerdict.WRONG_FIELD: count_rows_with_chart(ROWS[:1]),
        CellVerdict.MISSING: count_rows_with_chart(ROWS[1:2]),
    }
    assert count_marks(charts(visitor)) == {kind: n for kind, n in marks.items() if n}
    flags = re.findall('title="([^"]*)">⚑', charts(visitor))
    assert {each.rpartition(": ")[2] for each in flags} & {"found", "wrong field", NEVER_READ}
    headline = SCENES.result_headline(visitor.playback_steps)
    assert headline.startswith(
        f"{len(ROWS) - 1} of {len(ROWS)} causes found, some fields wrong: 0."
    )
    story = unescape(SCENES.score_explanation_html(visitor.playback_steps, visitor.reset))
    assert f'{ROWS[1]["detection_method"]}(date="{ROWS[1]["date"]}"' in story
    assert NEVER_READ in story
    assert "severity: reported " in story


def test_missed_row_whose_value_was_read_is_not_called_unread() -> None:
    visitor = started()
    asked(visitor, ("rows_for_date", {"date": ROWS[0]["date"]}))
    visitor.take_step({"classifications": []})
    verdicts = collect_values_and_verdicts_to_show(visitor.playback_steps, visitor.reset).verdicts
    outcomes = {verdict.row.key: verdict.outcome for verdict in verdicts}
    assert outcomes[next(key for key in outcomes if key.date == ROWS[0]["date"])] == NOT_REPORTED
    assert NEVER_READ in outcomes.values()


def test_row_of_the_report_is_not_judged_before_the_end() -> None:
    visitor = started()
    before = drawn(visitor)
    visitor.report_rows = [ROWS[0], {"date": 3}]
    assert drawn(visitor) == before
    assert "verdict" not in before


def test_episode_that_returns_only_its_score_keeps_its_answer() -> None:
    visitor = reported(feedback="score", **GUIDED)
    assert visitor.is_done
    assert 'class="line"' not in charts(visitor)
    shown = drawn(visitor) + SCENES.score_explanation_html(visitor.playback_steps, visitor.reset)
    assert NEVER_READ not in shown
    assert "verdict" not in shown
    assert "onsequence" not in shown


def test_steps_that_ran_out_leave_every_row_missing() -> None:
    visitor = started(**GUIDED, max_steps=1)
    asked(visitor, ("list_dates", {}))
    assert collect_values_and_verdicts_to_show(visitor.playback_steps, visitor.reset).verdicts == ()
    visitor.call_tool("list_dates", {})
    verdicts = collect_values_and_verdicts_to_show(visitor.playback_steps, visitor.reset).verdicts
    assert {verdict.kind for verdict in verdicts} == {CellVerdict.MISSING}


@pytest.mark.parametrize("reset", [GUIDED, LEAN], ids=["standard", "lean"])
def test_playback_fills_the_charts_and_ends_with_its_verdicts(reset: dict[str, Any]) -> None:
    playback = create_playback_of_policy(ENVIRONMENT.policies["reference"], reset)
    for count in range(1, len(playback.steps)):
        html = SCENES.overview_html(playback.steps[:count], playback.reset)
        assert count_marks(html) == {}
    html = SCENES.overview_html(playback.steps, playback.reset)
    expected = rebuild_episode_from_reset_arguments(reset).episode.expected_rows
    count = count_rows_with_chart([row.as_dict() for row in expected])
    assert count_marks(html) == {CellVerdict.MATCHED: count}


def test_charts_are_small_and_escaped() -> None:
    visitor = reported({**ROWS[0], "entity_name": "<img src=x>"}, ROWS[0])
    shown = drawn(visitor)
    assert "<img" not in shown
    assert len(json.dumps(shown)) < 180_000


def test_selected_day_lists_what_is_outside_its_range_with_a_draft_of_its_row() -> None:
    visitor = Visitor(ENVIRONMENT)
    begin_episode(SCENES, visitor, GUIDED)
    series, editor = episode_of(visitor).series, SCENES.report_editor(visitor)
    assert editor is not None
    day = next(iter(series.days_past_threshold_by_column[0]))
    visitor.selection = f"0/{episode_of(visitor).dates[day]}"
    panel = SCENES.question_panel(visitor)
    assert panel is not None
    drafts = re.findall('data-mt="draft" data-value="([^"]*)"', panel.known_html)
    columns = [int(draft.partition("/")[0]) for draft in drafts]
    assert columns == [c for c in range(11) if day in series.days_past_threshold_by_column[c]]
    row = editor.build_draft_row(drafts[0])
    assert row in [each.row.as_dict() for each in list_flagged_series_by_id(episode_of(visitor))]
    assert editor.build_draft_row("99/never") is None


def test_series_with_a_row_in_the_report_is_shown_as_reported() -> None:
    visitor = Visitor(ENVIRONMENT)
    begin_episode(SCENES, visitor, GUIDED)
    day = next(iter(episode_of(visitor).series.days_past_threshold_by_column[0]))
    visitor.selection = f"0/{episode_of(visitor).dates[day]}"
    before = SCENES.question_panel(visitor)
    assert before is not None
    assert "Reported" not in before.known_html
    play._draft_row(SCENES, visitor, visitor.selection)
    after = SCENES.question_panel(visitor)
    assert after is not None
    assert re.findall(
        'data-value="([^"]*)"[^>]*aria-disabled="true">Reported', after.known_html
    ) == [visitor.selection]


def test_day_of_a_suggested_call_is_selected_and_the_column_is_kept() -> None:
    visitor = Visitor(ENVIRONMENT)
    begin_episode(SCENES, visitor, GUIDED)
    dates = episode_of(visitor).dates
    visitor.selection = f"3/{dates[0]}"
    call = json.dumps(["rows_for_date", {"date": dates[5]}])
    play._call_suggested_tool_or_ask_before_end(SCENES, visitor, call)
    assert visitor.selection == f"3/{dates[5]}"
    call = json.dumps(["list_suspicious_dates", {}])
    play._call_suggested_tool_or_ask_before_end(SCENES, visitor, call)
    assert visitor.selection == f"3/{dates[5]}"


def test_example_on_the_first_screen_is_a_drop_between_a_normal_count_and_a_consequence() -> None:
    html = SCENES.example_html
    assert re.findall("<em[^>]*>(.*?)</em>", html) == [
        "normal",
        "cause, reported",
        "consequence, not reported",
    ]
    assert [figure.count("▼</b>") for figure in html.split("<figure")[1:]] == [0, 1, 1]
