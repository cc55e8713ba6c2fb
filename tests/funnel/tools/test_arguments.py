"""Wrong arguments of tools are rejected with the nearest or the allowed values."""

from __future__ import annotations

from typing import Any

import pytest

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from support.funnel_episodes import analyse, running_episode
from support.rejected_replies import message_of_rejection

NAN, INFINITY = float("nan"), float("inf")


# Resets.


# Actions as a whole.


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
def test_unknown_method_names_the_nearest(
    session: EpisodeSession, method: Any, expected: str
) -> None:
    message = message_of_rejection(analyse(session, method))
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
def test_unknown_entity_names_the_nearest(
    session: EpisodeSession, method: str, name: str, expected: str
) -> None:
    date = running_episode(session).dates[0]
    assert expected in message_of_rejection(analyse(session, method, date=date, entity_name=name))


def test_unknown_metric_names_the_nearest(session: EpisodeSession) -> None:
    message = message_of_rejection(analyse(session, "get_metric_median", metric_name="app_open"))
    assert "Unknown metric 'app_open'. Did you mean 'app_opens'?" in message
    rate = message_of_rejection(
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
def test_wrong_date_names_the_allowed_range(session: EpisodeSession, date: str) -> None:
    episode = running_episode(session)
    message = message_of_rejection(analyse(session, "rows_for_date", date=date))
    assert f"Allowed: YYYY-MM-DD from {episode.dates[0]} to {episode.dates[-1]}." in message
    assert len(message) < 300


def test_mistyped_date_names_the_nearest(session: EpisodeSession) -> None:
    date = running_episode(session).dates[20]
    message = message_of_rejection(analyse(session, "rows_for_date", date=date.replace("-", "/")))
    assert f"Did you mean '{date}'?" in message


def test_a_date_that_is_no_text_is_refused(session: EpisodeSession) -> None:
    assert "date is 20220101" in message_of_rejection(
        analyse(session, "rows_for_date", date=20220101)
    )
    assert "date is None" in message_of_rejection(analyse(session, "rows_for_date", date=None))


def test_a_date_among_dates_is_checked_too(session: EpisodeSession) -> None:
    message = message_of_rejection(
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
def test_number_outside_its_range_names_the_range(
    session: EpisodeSession, method: str, argument: str, value: Any, expected: str
) -> None:
    assert expected in message_of_rejection(analyse(session, method, **{argument: value}))


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
    assert expected in message_of_rejection(session.step({"payload_generators": [method]}))
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
def test_invalid_payload_method_names_what_is_wrong(
    session: EpisodeSession, method: Any, expected: str
) -> None:
    assert expected in message_of_rejection(session.step({"payload_generators": [method]}))
    tool = analyse(session, "payload_generator", generator_methods=[method])
    assert expected in message_of_rejection(tool)


def test_a_boolean_multiplier_is_no_number_in_the_tool_either(session: EpisodeSession) -> None:
    method = {"method_name": "median_filter", "threshold_multiplier": True}
    reply = analyse(session, "payload_generator", generator_methods=[method])
    assert "a boolean is not a number" in message_of_rejection(reply)


def test_unknown_payload_method_names_the_nearest(session: EpisodeSession) -> None:
    reply = session.step({"payload_generators": [{"method_name": "median_filer"}]})
    assert (
        "Unknown method_name 'median_filer'. Did you mean 'median_filter'?"
        in message_of_rejection(reply)
    )


# Arguments as a whole.


def test_a_missing_argument_is_named(session: EpisodeSession) -> None:
    assert "the argument 'date' is required" in message_of_rejection(
        analyse(session, "rows_for_date")
    )


def test_unknown_argument_names_the_nearest(session: EpisodeSession) -> None:
    message = message_of_rejection(analyse(session, "list_suspicious_dates", limits=3))
    assert "unknown argument 'limits' (did you mean 'limit'?); allowed: limit" in message


@pytest.mark.parametrize("raw", [[], "date", 7])
def test_arguments_that_are_no_object_are_refused(session: EpisodeSession, raw: Any) -> None:
    reply = session.step({"analysis_method": "list_dates", "analysis_args": raw})
    assert f"action: analysis_args is {raw!r}; allowed: an object." in message_of_rejection(reply)


# Reports.
