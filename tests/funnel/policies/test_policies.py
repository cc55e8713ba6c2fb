"""Scripted policies of the funnel and their scores."""

from __future__ import annotations

import pytest

from metric_tracker_rl.engine.configuration.tasks import DEFAULT_TASK_ORDER
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.policies import POLICIES, get_policy
from metric_tracker_rl.policies.base import register_policy
from openenv_kit.errors import UnknownNameError
from openenv_kit.rollouts.run_policy import RolloutResult, run_policy


def played(name: str, task_id: str) -> RolloutResult:
    session = EpisodeSession()
    return run_policy(session, get_policy(name), session.reset(task_id=task_id))


def test_the_named_policies_are_there_with_a_line_about_each() -> None:
    assert set(POLICIES) >= {"reference", "median_filter", "report_all", "random", "null"}
    assert all(each.description for each in POLICIES.values())


@pytest.mark.parametrize("task_id", DEFAULT_TASK_ORDER)
def test_the_reference_policy_scores_one_and_null_and_random_next_to_nothing(task_id: str) -> None:
    assert played("reference", task_id).score == 1.0
    assert played("null", task_id).score == 0.0
    assert played("random", task_id).score < 0.2


def test_reporting_all_flagged_series_scores_less_than_half_of_the_reference() -> None:
    scores = [played("report_all", task_id).score for task_id in DEFAULT_TASK_ORDER]
    assert max(scores) < 0.5


@pytest.mark.parametrize("name", list(POLICIES))
def test_every_policy_ends_its_episode_and_plays_the_same_again(name: str) -> None:
    first, again = (played(name, "hard_mixed_multi") for _ in range(2))
    assert first.status == "evaluated"
    assert first == again


def test_upstream_first_keeps_one_flagged_row_a_day_and_none_that_the_calendar_explains() -> None:
    session = EpisodeSession()
    opening = session.reset(seed=3, scenario_family="mixed", difficulty="expert", anomaly_count=6)
    outcome = run_policy(session, get_policy("upstream_first"), opening)
    rows = outcome.last_observation["submitted_rows"]
    dates = [row["date"] for row in rows]
    assert len(dates) == len(set(dates))
    entries = session.episode.generated.calendar  # type: ignore[union-attr]
    decoys = {session.episode.dates[entry.day] for entry in entries if entry.explains}  # type: ignore[union-attr]
    assert decoys
    assert not decoys & set(dates)
    assert outcome.last_observation["correct_row_count"] >= 4


def test_upstream_first_solves_step_families_and_improves_with_practice() -> None:
    lost = {"seed": 1, "scenario_family": "absolute_drop_in_event_count", "anomaly_count": 3}
    session = EpisodeSession()
    plain = run_policy(session, get_policy("upstream_first"), session.reset(**lost))
    session = EpisodeSession()
    again = run_policy(
        session, get_policy("upstream_first_practice"), session.reset(**lost, max_submissions=5)
    )
    assert plain.score < again.score
    assert again.last_observation["correct_row_count"] == 3
    assert session.submission_count > 1
    for name in ("rate_drop_from_median", "funnel_break"):
        opening = session.reset(seed=1, scenario_family=name, anomaly_count=3)
        assert run_policy(session, get_policy("upstream_first"), opening).score == 1.0


def test_unknown_policy_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'reference'"):
        get_policy("referense")


def test_a_policy_declared_twice_is_refused() -> None:
    with pytest.raises(TypeError, match="'null' is declared twice"):
        register_policy("null")(get_policy("null").generate_actions)
    assert get_policy("null").name == "null"
