"""Bad input of every kind is answered with what was wrong and what is allowed; play goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from openenv_kit.environment import Session
from support.funnel_episodes import analyse, perfect_report, running_episode, started, submit
from support.playable_environments import DRILLDOWN, FIREWATCH, FUNNEL, GAMES, Game

NAN, INFINITY = float("nan"), float("inf")


@pytest.fixture
def session() -> Iterator[EpisodeSession]:
    """A running episode that must still be playable to the full score afterwards."""
    session = started(task_id="medium_mixed_pair")
    yield session
    reply = submit(session, perfect_report(session))
    assert (reply.status, reply.reward) == ("evaluated", 1.0)


@pytest.fixture
def playing(game: Game) -> Iterator[Session]:
    """A running episode of each environment, that must still be playable to a score afterwards."""
    session = game.environment.create_session()
    reset, actions = game.solved
    assert session.reset(**reset).status == game.opened
    yield session
    replies = [session.step(action) for action in actions]
    last = next(reply for reply in replies if reply.done)  # what was refused may have cost steps
    assert (last.reward or 0.0) > 0.25


def refused(reply: Any) -> str:
    """The message of an error that told nothing else."""
    assert (reply.status, reply.reward or 0.0, reply.done) == ("error", 0.0, False)
    fields = ("analysis_result", "tool_result", "reward_breakdown", "score_parts")
    assert not any(reply.observation_fields.get(name) for name in fields)
    return str(reply.message)


# Resets.


BAD_RESETS = {
    FUNNEL.name: [
        ({"task_id": "easy_spike"}, "Unknown task_id 'easy_spike'. Did you mean 'easy_single_spi"),
        ({"task_id": 7}, "Unknown task_id 7. Allowed: easy_single_spike, medium_mixed_pair"),
        ({"scenario_family": "rate_drop"}, "Did you mean 'rate_drop_from_median'?"),
        ({"scenario_family": []}, "Unknown scenario_family []. Allowed: rate_drop_from_median"),
        ({"difficulty": "Hard"}, "Unknown difficulty 'Hard'. Did you mean 'hard'? Allowed: easy"),
        ({"difficulty": 3}, "difficulty is 3; allowed: a name, or a number from 0 to 1."),
        ({"difficulty": "0.5"}, "Unknown difficulty '0.5'. Allowed: easy, medium, hard"),
        ({"anomaly_density": "hihg"}, "Did you mean 'high'? Allowed: low, medium, high."),
        ({"anomaly_density": []}, "Unknown anomaly_density []. Allowed: low, medium, high."),
        ({"anomaly_count": -1}, "anomaly_count is -1; allowed: an integer from 0 to 7."),
        ({"anomaly_count": 8}, "anomaly_count is 8; allowed: an integer from 0 to 7."),
        ({"anomaly_count": True}, "anomaly_count is True; allowed: an integer"),
        ({"anomaly_count": 2.0}, "anomaly_count is 2.0; allowed: an integer"),
        ({"anomaly_count": NAN}, "anomaly_count is nan; allowed: an integer"),
        ({"seed": -1}, "seed is -1; allowed: an integer from 0 to 18446744073709551615."),
        ({"seed": 2**64}, "seed is 18446744073709551616; allowed: an integer from 0 to"),
        ({"seed": 1.5}, "seed is 1.5; allowed: an integer"),
        ({"seed": "11"}, "seed is '11'; allowed: an integer"),
        ({"seed": False}, "seed is False; allowed: an integer"),
        ({"seed": INFINITY}, "seed is inf; allowed: an integer"),
        ({"task": "easy"}, "Unknown reset argument 'task'. Did you mean 'task_id'?"),
        ({"anomalies": {}}, "anomalies is {}; allowed: a list"),
        ({"anomalies": [3]}, "anomaly is 3; allowed: an object"),
        ({"anomalies": [{}] * 51}, "number of anomalies is 51; allowed: at most 50"),
    ],
    FIREWATCH.name: [
        ({"task_id": "task_easy_oom_basline"}, "Did you mean 'task_easy_oom_baseline'?"),
        ({"task_id": 7}, "Unknown task_id 7. Allowed: task_easy_oom_baseline, task_easy_pool"),
        ({"difficulty": "brutal"}, "Unknown difficulty 'brutal'. Allowed: easy, medium, hard"),
        ({"difficulty": []}, "difficulty is []; allowed: a name, or a number from 0 to 1."),
        ({"seed": "42"}, "seed is '42'; allowed: a whole number."),
        ({"seed": True}, "seed is True; allowed: a whole number."),
        ({"seed": NAN}, "seed is nan; allowed: a whole number."),
        ({"split": "trane"}, "Unknown split 'trane'. Did you mean 'train'?"),
        ({"split": "sealed"}, "SEALED_SALT is None; allowed: a secret of at least 32"),
        ({"split": "train", "index": -1}, "index is -1; allowed: an integer from 0 to "),
        ({"split": "train", "index": 10**9}, "index is 1000000000; allowed: an integer from 0 to "),
        ({"split": "train", "index": 2.0}, "index is 2.0; allowed: an integer from 0 to "),
        ({"task": "easy"}, "Unknown reset argument 'task'. Did you mean 'task_id'?"),
    ],
}


@pytest.mark.parametrize(
    ("game", "bad", "expected"),
    [(GAMES[name], *row) for name, rows in BAD_RESETS.items() for row in rows],
    ids=lambda value: value.name if isinstance(value, Game) else str(value)[:40],
)
def test_a_reset_that_cannot_be_made_says_what_can(
    playing: Session, game: Game, bad: dict[str, Any], expected: str
) -> None:
    before = playing.state()
    assert expected in refused(playing.reset(**bad))
    assert playing.state() == before


# Actions as a whole.


SERVICE = min(
    FIREWATCH.environment.create_session()
    .reset(**FIREWATCH.solved[0])
    .observation_fields["services"]
)


@pytest.mark.parametrize(
    ("game", "action", "expected"),
    [
        *(
            (game, raw, f"action is {raw!r}; allowed: an object.")
            for game in GAMES.values()
            for raw in ([], None, 7, "text")
        ),
        (FUNNEL, {"analysis_method": "list_date"}, "Did you mean 'list_dates'?"),
        (FUNNEL, {"analysis_method": 17}, "analysis_method is 17; allowed: text or null."),
        (FIREWATCH, {"action_type": "fetch_log"}, "Did you mean 'fetch_logs'?"),
        (FIREWATCH, {"action_type": 17}, "Unknown action_type 17. Allowed: "),
        (FIREWATCH, {}, "Unknown action_type None. Allowed: "),
        (DRILLDOWN, {"tool": "slise"}, "Did you mean 'slice'?"),
        (DRILLDOWN, {"tool": 17}, "Unknown tool 17. Allowed: "),
        (DRILLDOWN, {"tool": "slice", "arguments": {"measure": "rate"}}, "rates"),
        (FIREWATCH, {"action_type": "fetch_logs"}, "Unknown target_service None. Allowed: "),
        (FIREWATCH, {"action_type": "fetch_logs", "target_service": {"a": 1}}, "{'a': 1}"),
        (
            FIREWATCH,
            {"action_type": "fetch_logs", "target_service": f"{SERVICE}s"},
            f"Did you mean '{SERVICE}'?",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Game) else str(value)[:40],
)
def test_an_action_that_cannot_be_read_says_what_can(
    playing: Session, game: Game, action: Any, expected: str
) -> None:
    assert expected in refused(playing.step(action))


SHOUT = "x" * 100_000
LOUD: dict[str, list[dict[str, Any]]] = {
    FUNNEL.name: [
        {"analysis_method": SHOUT},
        {"analysis_method": "rows_for_date", "analysis_args": {"date": SHOUT}},
        {"analysis_method": "list_dates", "analysis_args": {SHOUT: 1}},
    ],
    FIREWATCH.name: [
        {"action_type": SHOUT},
        {"action_type": "fetch_logs", "target_service": SHOUT},
        {"action_type": "fetch_logs", "target_service": SERVICE, "parameters": {SHOUT: 1}},
        {
            "action_type": "set_log_level",
            "target_service": SERVICE,
            "parameters": {"level": SHOUT},
        },
    ],
    DRILLDOWN.name: [
        {"tool": SHOUT},
        {"tool": "slice", "arguments": {"group_by": [SHOUT]}},
        {"tool": "slice", "arguments": {SHOUT: 1}},
        {"tool": "compare", "arguments": {"dates": [[SHOUT, SHOUT]]}},
    ],
}


def test_no_reply_is_a_megaphone(playing: Session, game: Game) -> None:
    for reply in (
        *map(playing.step, LOUD[game.name]),
        playing.reset(task_id=SHOUT),
        playing.reset(**{SHOUT: 1}),
    ):
        assert len(reply.message) < 2_000
        assert SHOUT[:200] not in str(reply)


# Methods and entities.


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("list_date", "Unknown analysis_method 'list_date'. Did you mean 'list_dates'?"),
        ("LIST_DATES", "Did you mean 'list_dates'?"),
        ("zzzzzzzz", "Unknown analysis_method 'zzzzzzzz'. Allowed: "),
        ("", "Unknown analysis_method ''. Allowed: "),
    ],
)
def test_an_unknown_method_is_told_the_nearest(
    session: EpisodeSession, method: Any, expected: str
) -> None:
    message = refused(analyse(session, method))
    assert expected in message
    assert "task_overview" in message


@pytest.mark.parametrize(
    ("method", "name", "expected"),
    [
        ("compare_rate_to_median", "app_open_to_menu", "Did you mean 'app_open_to_menu_open'?"),
        ("compare_rate_to_median", "app_opens", "Allowed: app_open_to_menu_open, menu_open_to"),
        ("compare_count_to_median", "orders", "Unknown entity_name 'orders'. Did you mean 'ord"),
        ("compare_count_to_median", "app_open_to_menu_open", "Allowed: app_opens, menu_opens"),
    ],
)
def test_an_unknown_entity_is_told_the_nearest(
    session: EpisodeSession, method: str, name: str, expected: str
) -> None:
    date = running_episode(session).dates[0]
    assert expected in refused(analyse(session, method, date=date, entity_name=name))


def test_an_unknown_metric_is_told_the_nearest(session: EpisodeSession) -> None:
    message = refused(analyse(session, "get_metric_median", metric_name="app_open"))
    assert "Unknown metric 'app_open'. Did you mean 'app_opens'?" in message
    rate = refused(
        analyse(
            session,
            "get_rate_drop_from_median_rows",
            threshold_multiplier=1,
            metric_names=["app_opens"],
        )
    )
    assert "Unknown metric 'app_opens'" in rate
    assert "Allowed: app_open_to_menu_open" in rate


# Dates.


@pytest.mark.parametrize(
    "date",
    ["1999-01-01", "2022-13-45", "yesterday", "", "2022/01/01", "20220101", " ", "9" * 500],
)
def test_a_date_out_of_range_or_malformed_is_told_the_range(
    session: EpisodeSession, date: str
) -> None:
    episode = running_episode(session)
    message = refused(analyse(session, "rows_for_date", date=date))
    assert f"Allowed: YYYY-MM-DD from {episode.dates[0]} to {episode.dates[-1]}." in message
    assert len(message) < 300


def test_a_mistyped_date_is_told_the_nearest(session: EpisodeSession) -> None:
    date = running_episode(session).dates[20]
    message = refused(analyse(session, "rows_for_date", date=date.replace("-", "/")))
    assert f"Did you mean '{date}'?" in message


def test_a_date_that_is_no_text_is_refused(session: EpisodeSession) -> None:
    assert "date is 20220101" in refused(analyse(session, "rows_for_date", date=20220101))
    assert "date is None" in refused(analyse(session, "rows_for_date", date=None))


def test_a_date_among_dates_is_checked_too(session: EpisodeSession) -> None:
    message = refused(
        analyse(session, "get_median_filter_rows", threshold_multiplier=1, dates=["2001-01-01"])
    )
    assert "date '2001-01-01' is not in this episode." in message


# Numbers.


@pytest.mark.parametrize(
    ("method", "argument", "value", "expected"),
    [
        ("list_suspicious_dates", "limit", -1, "limit is -1; allowed: an integer from 1 to 1000."),
        ("list_suspicious_dates", "limit", 0, "limit is 0; allowed: an integer from 1 to 1000."),
        ("list_suspicious_dates", "limit", 10**6, "limit is 1000000; allowed: an integer from 1"),
        ("list_suspicious_dates", "limit", True, "limit is True: a boolean is not a number"),
        ("list_suspicious_dates", "limit", "many", "limit is 'many'; allowed: an integer from 1"),
        ("list_suspicious_dates", "limit", NAN, "limit is nan; allowed: an integer from 1"),
        ("show_raw_data", "limit", -5, "limit is -5; allowed: an integer from 1 to 1000."),
        ("show_raw_data", "offset", -1, "offset is -1; allowed: an integer from 0 to 1"),
        (
            "show_raw_data",
            "granularity",
            "dayly",
            "(did you mean 'daily'?); allowed: daily, hourly.",
        ),
        ("get_median_filter_rows", "threshold_multiplier", NAN, "threshold_multiplier is nan"),
        ("get_median_filter_rows", "threshold_multiplier", INFINITY, "threshold_multiplier is inf"),
        (
            "get_median_filter_rows",
            "threshold_multiplier",
            -0.5,
            "allowed: a number from 0 to 100.",
        ),
        ("get_median_filter_rows", "threshold_multiplier", 101, "allowed: a number from 0 to 100."),
        ("get_funnel_break_rows", "threshold_multiplier", False, "a boolean is not a number"),
        ("get_rows_with_abs_diff_from_median_gt", "threshold", NAN, "threshold is nan"),
        (
            "get_rows_with_abs_diff_from_median_gt",
            "threshold",
            -1,
            "threshold is -1; allowed: a number of at least 0.",
        ),
        ("get_rows_with_abs_diff_from_median_gt", "threshold", True, "a boolean is not a number"),
    ],
)
def test_a_number_outside_its_range_is_told_the_range(
    session: EpisodeSession, method: str, argument: str, value: Any, expected: str
) -> None:
    assert expected in refused(analyse(session, method, **{argument: value}))


@pytest.mark.parametrize(
    ("multiplier", "expected"),
    [
        (True, "threshold_multiplier is True: a boolean is not a number."),
        (NAN, "threshold_multiplier is nan; allowed: a number from 0 to 100."),
        (INFINITY, "threshold_multiplier is inf; allowed: a number from 0 to 100."),
        (-1, "threshold_multiplier is -1; allowed: a number from 0 to 100."),
    ],
)
def test_a_payloads_multiplier_is_checked_before_anything_is_graded(
    session: EpisodeSession, multiplier: Any, expected: str
) -> None:
    method = {"method_name": "median_filter", "threshold_multiplier": multiplier}
    assert expected in refused(session.step({"payload_generators": [method]}))
    assert session.submission_count == 0


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("median_filter", " is 'median_filter'; allowed: an object."),
        ({}, "method_name' is required"),
        (
            {"method_name": "median_filter", "threshold": 1},
            "(did you mean 'threshold_multiplier'?); allowed: method_name, metric_name",
        ),
        ({"method_name": "median_filter", "dates": 5}, "dates is 5; allowed: a list."),
        ({"method_name": 5}, "method_name is 5; allowed: "),
    ],
)
def test_a_payloads_method_that_cannot_be_read_says_why(
    session: EpisodeSession, method: Any, expected: str
) -> None:
    assert expected in refused(session.step({"payload_generators": [method]}))
    tool = analyse(session, "payload_generator", generator_methods=[method])
    assert expected in refused(tool)


def test_a_boolean_multiplier_is_no_number_in_the_tool_either(session: EpisodeSession) -> None:
    method = {"method_name": "median_filter", "threshold_multiplier": True}
    reply = analyse(session, "payload_generator", generator_methods=[method])
    assert "a boolean is not a number" in refused(reply)


def test_a_payloads_unknown_method_is_told_the_nearest(session: EpisodeSession) -> None:
    reply = session.step({"payload_generators": [{"method_name": "median_filer"}]})
    assert "Unknown method_name 'median_filer'. Did you mean 'median_filter'?" in refused(reply)


# Arguments as a whole.


def test_a_missing_argument_is_named(session: EpisodeSession) -> None:
    assert "the argument 'date' is required" in refused(analyse(session, "rows_for_date"))


def test_an_unknown_argument_is_told_the_nearest(session: EpisodeSession) -> None:
    message = refused(analyse(session, "list_suspicious_dates", limits=3))
    assert "unknown argument 'limits' (did you mean 'limit'?); allowed: limit" in message


@pytest.mark.parametrize("raw", [[], "date", 7])
def test_arguments_that_are_no_object_are_refused(session: EpisodeSession, raw: Any) -> None:
    reply = session.step({"analysis_method": "list_dates", "analysis_args": raw})
    assert f"action: analysis_args is {raw!r}; allowed: an object." in refused(reply)


def test_arguments_without_a_method_are_refused(session: EpisodeSession) -> None:
    reply = session.step({"analysis_args": {"date": "2022-01-01"}})
    assert "analysis_args were given without analysis_method" in refused(reply)


def test_two_kinds_of_action_at_once_are_refused_and_nothing_is_graded(
    session: EpisodeSession,
) -> None:
    rows = perfect_report(session)
    method = {"method_name": "median_filter"}
    for call, kinds in (
        (
            {"analysis_method": "list_dates", "classifications": rows},
            "analysis_method and classifications",
        ),
        (
            {"analysis_method": "list_dates", "payload_generators": [method]},
            "analysis_method and payload_generators",
        ),
        (
            {"classifications": rows, "payload_generators": [method]},
            "classifications and payload_generators",
        ),
    ):
        message = refused(session.step(call))
        assert f"The action has {kinds}; allowed: one of them." in message
    assert session.submission_count == 0


# Reports.


def test_ten_thousand_rows_are_refused_whole(session: EpisodeSession) -> None:
    message = refused(submit(session, perfect_report(session)[:1] * 10_000))
    assert "has 10000 rows; allowed: at most 1000. Nothing was graded." in message
    assert session.submission_count == 0


def test_a_thousand_rows_are_read() -> None:
    session = started()
    assert submit(session, perfect_report(session)[:1] * 1000).status == "evaluated"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"observed_value": NAN}, "observed_value is nan; allowed: a finite number."),
        ({"delta_value": INFINITY}, "delta_value is inf; allowed: a finite number."),
        ({"baseline_value": True}, "baseline_value is True; allowed: a finite number."),
        ({"baseline_value": "twelve"}, "baseline_value is 'twelve'; allowed: a finite number."),
        ({"baseline_value": "NaN"}, "baseline_value is 'NaN'; allowed: a finite number."),
        ({"baseline_value": "1_000"}, "baseline_value is '1_000'; allowed: a finite number."),
        ({"baseline_value": None}, "baseline_value is None; allowed: a finite number."),
        ({"baseline_value": 10**400}, "allowed: a finite number."),
        ({"date": "2022-02-30"}, "date '2022-02-30' is not in this episode."),
        ({"date": 5}, "date 5 is not in this episode."),
        ({"entity_type": "event_counts"}, "Did you mean 'event_count'?"),
        ({"entity_type": ["event_count"]}, "Unknown entity_type ['event_count']."),
        ({"entity_name": "app_open"}, "Unknown entity_name 'app_open'."),
        ({"anomaly_type": "rate_drop"}, "Did you mean 'rate_drop_from_median'?"),
        ({"detection_method": "list_dates"}, "Unknown detection_method 'list_dates'."),
        ({"severity": "HIGH"}, "Unknown severity 'HIGH'. Did you mean 'high'?"),
        ({"severty": "high"}, "Unknown row field 'severty'. Did you mean 'severity'?"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_bad_row_is_invalid_with_its_reason_and_the_others_still_count(
    change: dict[str, Any], expected: str
) -> None:
    session = started()
    rows = perfect_report(session)
    reply = submit(session, [*rows, {**rows[0], **change}])
    [issue] = [
        i for i in reply.observation_fields["submission_issues"] if i.issue_type == "invalid_row"
    ]
    assert expected in issue.message
    assert reply.observation_fields["reward_breakdown"].invalid_rows == 1
    assert reply.reward == pytest.approx(0.95)


@pytest.mark.parametrize("row", [None, 3, "row", [], {}])
def test_a_row_that_is_none_is_invalid(row: Any) -> None:
    session = started()
    reply = submit(session, [*perfect_report(session), row])
    assert reply.observation_fields["reward_breakdown"].invalid_rows == 1


def test_a_row_without_a_field_names_the_field() -> None:
    session = started()
    row = perfect_report(session)[0]
    del row["severity"]
    [issue, *_] = submit(session, [row]).observation_fields["submission_issues"]
    assert issue.message == "The row lacks severity."
