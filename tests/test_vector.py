"""Episodes side by side are the same episodes."""

import os

import numpy as np
import pytest

from benchmarks.vector import side_by_side, single, split_resets
from metric_tracker_rl.engine.session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.policies import Policy, get_policy
from openenv_kit.errors import InvalidValueError
from openenv_kit.play.driver import observed
from openenv_kit.play.vector import VectorSession


@pytest.mark.slow
def test_episodes_side_by_side_give_every_reply_that_single_ones_give():
    count = 1000 if os.environ.get("METRIC_TRACKER_FULL") else 100
    resets, policy = split_resets(ENVIRONMENT, 0, count), get_policy("reference")
    alone = single(ENVIRONMENT, resets, policy)
    together = side_by_side(VectorSession(64, ENVIRONMENT), resets, policy)
    assert len({tuple(digests) for digests in alone}) == count, "every episode is another one"
    assert together == alone


@pytest.mark.slow
def test_outcomes_keep_the_order_of_the_resets_though_episodes_end_at_different_steps():
    resets = [{"seed": seed, "anomaly_count": seed % 6} for seed in range(40)]
    outcomes = VectorSession(7).play(get_policy("reference"), resets)
    assert [outcome.observation["expected_row_count"] for outcome in outcomes] == [
        EpisodeSession().reset(**reset).content["expected_row_count"] for reset in resets
    ]
    assert {outcome.score for outcome in outcomes} == {1.0}
    assert len({outcome.steps for outcome in outcomes}) > 1


def test_lanes_with_equal_arguments_share_one_episode_and_no_progress():
    vector = VectorSession(3)
    vector.reset([{"seed": 5}, {"seed": 5}, {"seed": 6}])
    first, second, third = vector.sessions
    assert first.episode is second.episode
    assert first.episode is not third.episode
    vector.step([{"analysis_method": "list_dates"}, None, None])
    assert [session.steps for session in vector.sessions] == [1, 0, 0]


def test_a_lane_that_is_left_alone_answers_nothing_and_keeps_its_state():
    vector = VectorSession(2)
    vector.reset([{}, None])
    assert vector.dones.tolist() == [False, True]
    batch = vector.step([{"classifications": []}, None])
    assert batch.replies[1] is None
    assert batch.rewards.shape == (2,)
    assert batch.dones.tolist() == [True, True]


def test_rewards_and_dones_are_those_of_the_replies():
    rows = [row.as_dict() for row in _expected({"seed": 9})]
    vector = VectorSession(3)
    vector.reset([{"seed": 9}] * 3)
    batch = vector.step(
        [{"classifications": rows}, {"analysis_method": "list_dates"}, {"classifications": []}]
    )
    np.testing.assert_array_equal(batch.rewards, [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(batch.dones, [True, False, True])


def test_a_refused_reset_answers_in_its_own_lane_only():
    vector = VectorSession(2)
    first, second = vector.reset([{"difficulty": "eazy"}, {"difficulty": "easy"}]).replies
    assert first is not None
    assert second is not None
    assert (first.status, second.status) == ("error", "ready")
    assert "Did you mean 'easy'" in first.message


def test_playing_a_refused_reset_says_what_was_wrong():
    with pytest.raises(InvalidValueError, match="Did you mean 'easy'"):
        VectorSession(2).play(get_policy("null"), [{}, {"difficulty": "eazy"}])


def test_a_policy_that_stops_early_ends_its_episode_and_frees_its_lane():
    def leave(opening):
        yield {"analysis_method": "list_dates"}

    outcomes = VectorSession(1).play(Policy("leave", "", leave), [{}, {"seed": 4}])
    assert [(each.steps, each.score, each.status) for each in outcomes] == [
        (1, 0.0, "analyzed")
    ] * 2


@pytest.mark.parametrize("lanes", [0, -1, True, 2.0, "8", 65_537])
def test_a_wrong_number_of_lanes_is_refused(lanes):
    with pytest.raises(InvalidValueError, match="lanes"):
        VectorSession(lanes)


def test_a_step_needs_an_entry_for_each_lane():
    vector = VectorSession(2)
    vector.reset([{}, {}])
    with pytest.raises(InvalidValueError, match="one entry for each of the 2 lanes"):
        vector.step([{"analysis_method": "list_dates"}])
    with pytest.raises(InvalidValueError, match="length of resets is 3"):
        vector.reset([{}, {}, {}])


def test_a_step_of_a_finished_lane_says_so_like_a_single_session():
    vector, session = VectorSession(1), EpisodeSession()
    vector.reset([{}])
    session.reset()
    for _ in range(2):
        batch, reply = vector.step([{}]), session.step({})
        assert batch.replies[0] is not None
        assert observed(batch.replies[0]) == observed(reply)
    assert reply.status == "completed"


def _expected(reset):
    session = EpisodeSession()
    session.reset(**reset)
    assert session.episode is not None
    return session.episode.expected_rows
