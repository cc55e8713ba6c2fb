"""Sessions of the funnel: ends, rewards, practice and replies."""

from __future__ import annotations

from typing import Any

import pytest

from metric_tracker_rl.engine.configuration.episode_config import MAX_SEED
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from support.funnel_episodes import analyse, perfect_report, running_episode, started, submit


def half_right(session: EpisodeSession) -> list[dict[str, Any]]:
    return perfect_report(session)[:1]


def test_a_step_before_reset_is_an_error_without_reward() -> None:
    session = EpisodeSession()
    reply = analyse(session, "list_dates")
    assert (reply.status, reply.reward, reply.done) == ("error", 0.0, False)
    assert "call reset first" in reply.message
    assert submit(session, []).status == "error"
    assert session.steps == 0


def test_a_submission_ends_the_episode_with_its_score() -> None:
    session = started(task_id="medium_mixed_pair")
    reply = submit(session, perfect_report(session))
    assert (reply.status, reply.reward, reply.done) == ("evaluated", 1.0, True)
    assert reply.observation_fields["reward_breakdown"].total_score == 1.0
    assert reply.observation_fields["correct_row_count"] == 3


def test_every_reward_before_the_end_is_zero_so_that_sum_and_last_agree() -> None:
    session = started()
    rewards = [analyse(session, name).reward for name in ("list_dates", "list_entities", "no_such")]
    rewards.append(submit(session, half_right(session)).reward)
    assert rewards[:-1] == [0.0, 0.0, 0.0]
    assert sum(rewards) == rewards[-1] == pytest.approx(0.5)


def test_the_empty_action_submits_the_empty_report() -> None:
    session = started()
    reply = session.step({})
    assert (reply.status, reply.reward, reply.done) == ("evaluated", 0.0, True)
    assert started(anomaly_count=0).step({}).reward == 1.0


def test_after_the_end_every_step_is_completed_and_free() -> None:
    session = started()
    submit(session, perfect_report(session))
    for reply in (analyse(session, "list_dates"), submit(session, perfect_report(session))):
        assert (reply.status, reply.reward, reply.done) == ("completed", 0.0, True)
        assert "call reset" in reply.message
        assert reply.observation_fields == {}


def test_reset_starts_over() -> None:
    session = started()
    submit(session, [])
    assert session.reset().status == "ready"
    assert (session.steps, session.submission_count, session.done) == (0, 0, False)
    assert analyse(session, "list_dates").status == "analyzed"


# Feedback.


def test_score_feedback_contains_the_score_only() -> None:
    full, short = started(seed=5), started(seed=5, feedback="score")
    rows = [*half_right(full), {"date": "x"}]
    detailed, kept = submit(full, rows), submit(short, rows)
    assert kept.reward == detailed.reward
    assert 0.0 < kept.reward < 1.0
    assert (kept.status, kept.done) == ("evaluated", True)
    assert kept.message == f"Score {kept.reward:.4f}."
    breakdown = kept.observation_fields["reward_breakdown"].model_dump()
    assert {name: value for name, value in breakdown.items() if value} == {
        "total_score": kept.reward
    }
    assert {"submission_issues", "submission_preview", "submitted_rows", "correct_row_count"} <= (
        detailed.observation_fields.keys() - kept.observation_fields.keys()
    )


def test_score_feedback_of_generators_lists_their_rows_without_verdicts() -> None:
    session = started(seed=5, feedback="score")
    method = {"method_name": "rate_spike_from_median", "threshold_multiplier": 0.0}
    analyse(session, "show_raw_data", limit=28)
    reply = session.step({"payload_generators": [method]})
    assert reply.observation_fields.keys() == {
        "reward_breakdown",
        "generated_rows",
        "expected_row_count",
    }


def test_score_feedback_rejects_practice_submissions() -> None:
    reply = EpisodeSession().reset(feedback="score", max_submissions=2)
    assert reply.status == "error"
    assert "max_submissions is 2; allowed: 1 with feedback 'score'" in reply.message


# Practice.


def test_practice_reply_contains_counts_only() -> None:
    session = started(max_submissions=3)
    reply = submit(session, [*half_right(session), {"date": "x"}])
    assert (reply.status, reply.reward, reply.done) == ("in_progress", 0.0, False)
    breakdown = reply.observation_fields["reward_breakdown"].model_dump()
    counts = {name: value for name, value in breakdown.items() if name.endswith("_rows")}
    assert (counts["matched_rows"], counts["missing_rows"], counts["invalid_rows"]) == (1, 1, 1)
    assert not any(value for name, value in breakdown.items() if not name.endswith("_rows"))
    assert set(reply.observation_fields) == {
        "reward_breakdown",
        "correct_row_count",
        "expected_row_count",
    }


@pytest.mark.parametrize("allowed", [2, 3, 5])
def test_each_practice_submission_costs_a_tenth_of_the_score(allowed: int) -> None:
    session = started(max_submissions=allowed)
    for _ in range(allowed - 1):
        assert submit(session, []).status == "in_progress"
    reply = submit(session, half_right(session))
    wanted = 0.5 * (1 - 0.1 * (allowed - 1))
    assert (reply.status, reply.done) == ("evaluated", True)
    assert reply.reward == pytest.approx(wanted)
    assert reply.observation_fields["reward_breakdown"].total_score == reply.reward


def test_a_perfect_submission_ends_the_episode_at_once() -> None:
    session = started(max_submissions=5)
    submit(session, [])
    reply = submit(session, perfect_report(session))
    assert (reply.status, reply.reward, reply.done) == ("evaluated", 0.9, True)


def test_an_unreadable_report_is_no_submission() -> None:
    session = started(max_submissions=2)
    reply = session.step({"classifications": "rows"})
    assert (reply.status, session.submission_count, session.done) == ("error", 0, False)


def test_row_level_issues_appear_at_the_end_without_expected_values() -> None:
    session = started(max_submissions=2)
    wrong = {**half_right(session)[0], "severity": "low"}
    assert "submission_issues" not in submit(session, [wrong]).observation_fields
    issues = submit(session, [wrong, wrong]).observation_fields["submission_issues"]
    assert {issue.issue_type for issue in issues} >= {"duplicate_row", "missing_row"}
    assert all(issue.expected_row is None for issue in issues)


# Steps.


def test_step_past_the_limit_ends_the_episode_with_score_zero() -> None:
    session = started(max_steps=3)
    for _ in range(3):
        assert not analyse(session, "list_dates").done
    reply = submit(session, perfect_report(session))
    assert (reply.status, reply.reward, reply.done) == ("completed", 0.0, True)
    assert "More than 3 steps" in reply.message
    assert "score 0" in reply.message
    assert "reward_breakdown" not in reply.observation_fields


def test_a_submission_on_the_last_step_counts() -> None:
    session = started(max_steps=1)
    assert submit(session, perfect_report(session)).reward == 1.0


def test_the_last_steps_are_counted_down() -> None:
    session = started(max_steps=4)
    messages = [analyse(session, "list_dates").message for _ in range(4)]
    assert "left" not in messages[0]
    assert "Steps left: 2." in messages[1]
    assert "Steps left: 1." in messages[2]
    assert "No step is left" in messages[3]


def test_an_error_costs_a_step() -> None:
    session = started()
    analyse(session, "no_such_method")
    session.step({"analysis_methd": "list_dates"})
    assert session.steps == 2


def test_the_default_is_sixty_four_steps_and_one_submission() -> None:
    session = started()
    assert session.view is not None
    assert (session.view.rules.max_steps, session.view.rules.max_submissions) == (64, 1)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("max_steps", 0),
        ("max_steps", 501),
        ("max_submissions", 0),
        ("max_submissions", 6),
        ("max_submissions", True),
    ],
)
def test_max_steps_and_max_submissions_are_bounded(argument: str, value: Any) -> None:
    reply = EpisodeSession().reset(**{argument: value})
    assert reply.status == "error"
    assert f"{argument} is {value}; allowed: an integer from 1 to" in reply.message


# Resets.


def test_a_failed_reset_leaves_the_running_episode_as_it_was() -> None:
    session = started(seed=5, max_steps=9)
    analyse(session, "list_dates")
    episode = running_episode(session)
    for bad in ({"task_id": "nope"}, {"seed": -1}, {"anomaly_count": 99}, {"nonsense": 1}):
        assert session.reset(**bad).status == "error"
    assert running_episode(session) is episode
    assert session.steps == 1
    assert submit(session, perfect_report(session)).reward == 1.0


def test_the_extremes_of_every_reset_argument_are_taken() -> None:
    for good in ({"seed": 0}, {"seed": MAX_SEED}, {"anomaly_count": 7}, {"max_steps": 500}):
        assert EpisodeSession().reset(**good).status == "ready"


def test_a_reset_without_arguments_is_the_default_task() -> None:
    named = started(task_id="easy_single_spike")
    assert running_episode(started()) is running_episode(named)
    assert started().task_id == "easy_single_spike"


def test_a_configured_episode_without_a_task_is_called_custom() -> None:
    assert started(seed=4).task_id == "easy_single_spike"
    assert started(difficulty="hard").task_id == "custom"
    assert started(task_id="hard_mixed_multi", anomaly_count=2).task_id == "hard_mixed_multi"


def test_anomaly_density_sets_the_number_of_anomalies() -> None:
    for density, count in (("low", 2), ("medium", 3), ("high", 4)):
        assert len(perfect_report(started(anomaly_density=density))) == count


def test_reset_observation_contains_neither_answer_nor_seed() -> None:
    session = EpisodeSession()
    opening = session.reset(seed=987654321)
    for name in ("instruction", "available_methods", "available_tasks", "config"):
        assert opening.observation_fields[name]
    assert "987654321" not in repr(opening)
    assert "seed" not in opening.observation_fields["config"]
    assert "debug" not in opening.observation_fields
    assert opening.observation_fields["expected_row_count"] == 2


def test_debug_shows_the_answer_when_it_is_asked_for() -> None:
    session = EpisodeSession(debug=True)
    opening = session.reset(task_id="hard_mixed_multi")
    assert opening.observation_fields["debug"]["expected_rows"] == perfect_report(session)
    assert len(opening.observation_fields["debug"]["anomaly_schedule"]) == 4
    assert opening.observation_fields["debug"]["seed"] == 37
    ending = submit(session, [])
    assert all(issue.expected_row for issue in ending.observation_fields["submission_issues"])


def test_a_payload_of_generators_is_built_and_graded_as_one_submission() -> None:
    session = started(task_id="hard_mixed_multi")
    method = {"method_name": "median_filter", "threshold_multiplier": 0.5}
    rows = analyse(session, "payload_generator", generator_methods=[method])
    generated = rows.observation_fields["analysis_result"]["result"]["generated_rows"]
    reply = session.step({"payload_generators": [method]})
    assert (reply.status, reply.done) == ("evaluated", True)
    assert (
        reply.observation_fields["generated_rows"]
        == reply.observation_fields["submitted_rows"]
        == generated
    )
    assert reply.observation_fields["correct_row_count"] == 3
