"""Submissions of row generators."""

from __future__ import annotations

from typing import Any

import pytest

from metric_tracker_rl.engine.definitions.anomaly_types import QUALITY_ISSUE, ROW_GENERATOR_NAMES
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from support.funnel_episodes import analyse, started


@pytest.mark.parametrize(
    "method",
    [
        "median_filter",
        5,
        None,
        [],
        {},
        {"method_name": 5},
        {"method_name": "median_filter", "metric_names": 5},
        {"method_name": "median_filter", "metric_names": [{}]},
        {"method_name": "median_filter", "dates": 3},
        {"method_name": "median_filter", "threshold_multiplier": True},
        {"method_name": "median_filter", "bogus": 1},
        {"method_name": "median_filte"},
    ],
)
def test_a_generator_of_the_wrong_shape_is_an_error_and_nothing_is_graded(method: Any) -> None:
    session = EpisodeSession()
    session.reset()
    reply = session.step({"payload_generators": [method]})
    assert reply.status == "error"
    assert not reply.done
    assert "reward_breakdown" not in reply.observation_fields
    assert session.submission_count == 0


def test_a_generator_of_the_right_shape_is_graded() -> None:
    session = EpisodeSession()
    session.reset()
    reply = session.step({"payload_generators": [{"method_name": "median_filter"}]})
    assert reply.status == "evaluated"
    assert reply.done


EVERYTHING = [{"method_name": name, "threshold_multiplier": 0.0} for name in ROW_GENERATOR_NAMES]


@pytest.mark.parametrize("family", [QUALITY_ISSUE, "funnel_break", "mixed"])
def test_generated_rows_of_dates_not_shown_are_invalid(family: str) -> None:
    session = started(scenario_family=family, anomaly_count=3)
    reply = session.step({"payload_generators": EVERYTHING})
    generated = reply.observation_fields["generated_rows"]
    assert generated
    assert (reply.done, reply.reward) == (True, 0.0)
    assert reply.observation_fields["reward_breakdown"].invalid_rows == len(generated)
    issue = reply.observation_fields["submission_issues"][0]
    assert issue.issue_type == "invalid_row"
    assert generated[0]["date"] in issue.message


def test_generated_rows_are_valid_only_on_shown_dates() -> None:
    session = started(scenario_family=QUALITY_ISSUE, anomaly_count=3)
    seen = session.episode.expected_rows[0]  # type: ignore[union-attr]
    analyse(session, "rows_for_date", date=seen.date)
    reply = session.step(
        {"payload_generators": [{"method_name": QUALITY_ISSUE, "threshold_multiplier": 0.0}]}
    )
    assert reply.observation_fields["submitted_rows"] == [seen.as_dict()]
    assert reply.observation_fields["reward_breakdown"].matched_rows == 1


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("task_overview", {}),
        ("list_dates", {}),
        ("list_calendar", {}),
        ("get_metric_median", {}),
        ("preview_submission", {"rows": "expected"}),
    ],
)
def test_call_that_shows_no_day_does_not_count_as_shown(
    method: str, arguments: dict[str, Any]
) -> None:
    session = started(difficulty="expert", scenario_family=QUALITY_ISSUE, anomaly_count=3)
    if arguments:
        rows = session.episode.expected_rows  # type: ignore[union-attr]
        arguments = {"rows": [row.as_dict() for row in rows]}
    assert analyse(session, method, **arguments).status == "analyzed"
    reply = session.step({"payload_generators": EVERYTHING})
    assert reply.observation_fields["correct_row_count"] == 0


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("list_suspicious_dates", {"limit": 28}),
        ("show_raw_data", {"limit": 28}),
        ("payload_generator", {"generator_methods": EVERYTHING}),
        (f"get_{QUALITY_ISSUE}_rows", {"threshold_multiplier": 0}),
    ],
)
def test_call_that_shows_days_counts_as_shown(method: str, arguments: dict[str, Any]) -> None:
    session = started(scenario_family=QUALITY_ISSUE, anomaly_count=3)
    analyse(session, method, **arguments)
    generator = {"method_name": QUALITY_ISSUE, "threshold_multiplier": 0.0}
    assert session.step({"payload_generators": [generator]}).reward == 1.0


def test_days_shown_in_one_episode_do_not_count_in_the_next() -> None:
    session = started(scenario_family=QUALITY_ISSUE, anomaly_count=3)
    analyse(session, "show_raw_data", limit=28)
    session.reset(scenario_family=QUALITY_ISSUE, anomaly_count=3)
    generator = {"method_name": QUALITY_ISSUE, "threshold_multiplier": 0.0}
    assert session.step({"payload_generators": [generator]}).reward == 0.0
