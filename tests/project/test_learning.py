"""Training on the reward raises the held-out score, and shuffled rewards do not."""

import itertools
import json
from functools import partial

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.policies import get_policy
from metric_tracker_rl.policies.base import require_analysis_result
from openenv_kit.datasets.split_rows import list_task_rows, reset_arguments_from_row
from openenv_kit.errors import ConfigurationError
from openenv_kit.reply import observation_from_reply
from openenv_kit.rollouts.run_policy import run_policy, start_session
from research.learning import Evaluation, Plan, RowPolicy, Settings, train
from research.learning.__main__ import app, find_failures
from research.learning.experiment import (
    LABEL_BLIND,
    Point,
    Run,
    curriculum_of,
    measure_baselines,
    sample_uniformly,
)
from research.learning.features import FEATURE_CALLS, Candidates, read_candidates
from research.learning.training import _gradient, _shuffle_between_episodes, _start_rollouts

SHORT = Settings(updates=40, episodes=12, rollouts=8)


@pytest.fixture(scope="module")
def held_out():
    return [reset_arguments_from_row(row) for row in list_task_rows("validation", count=72)]


@pytest.fixture(scope="module")
def examination(held_out):
    return Evaluation(held_out)


def trained(settings, seed=0):
    policy = RowPolicy.untrained()
    tasks = list_task_rows("train", count=288)
    for _ in train(policy, sample_uniformly(tasks), settings, np.random.default_rng(seed)):
        pass
    return policy


@pytest.fixture(scope="module")
def learner():
    return trained(SHORT)


@pytest.fixture(scope="module")
def scores():
    return measure_baselines(Plan(held_out_tasks=72))


@pytest.mark.slow
def test_the_held_out_score_climbs_from_the_floor_to_far_above_the_best_blind_policy(
    learner, examination, scores
):
    blind = max(scores[name] for name in LABEL_BLIND)
    assert examination.score_sampled_reports(RowPolicy.untrained()).mean() < blind
    assert examination.score_sampled_reports(learner).mean() > 2 * blind


@pytest.mark.slow
def test_training_with_shuffled_rewards_learns_nothing(examination, learner):
    start = examination.score_sampled_reports(RowPolicy.untrained()).mean()
    control = examination.score_sampled_reports(
        trained(Settings(updates=40, episodes=12, rollouts=8, shuffled=True))
    ).mean()
    assert abs(control - start) < 0.05
    assert control < examination.score_sampled_reports(learner).mean() / 2


@pytest.mark.slow
def test_training_is_the_same_for_the_same_seed_and_another_for_another():
    brief = Settings(updates=3, episodes=4, rollouts=4)
    np.testing.assert_array_equal(trained(brief).weights, trained(brief).weights)
    assert (trained(brief).weights != trained(brief, seed=1).weights).any()


@pytest.mark.slow
def test_the_learner_scores_the_same_as_a_scripted_policy_playing_step_by_step(
    learner, examination, held_out
):
    session = EpisodeSession()
    policy = learner.as_policy()
    scores = [run_policy(session, policy, session.reset(**reset)).score for reset in held_out[:20]]
    assert scores == examination.score_decided_reports(learner)[:20].tolist()
    assert max(scores) > 0


def test_rollouts_of_one_task_share_its_episode_and_no_progress():
    sessions = [EpisodeSession() for _ in range(4)]
    _start_rollouts(sessions, [{"seed": 5}, {"seed": 6}], rollouts=2)
    first, second, third, fourth = (session.episode for session in sessions)
    assert first is second is not third is fourth
    assert [session.steps for session in sessions] == [len(FEATURE_CALLS), 0, len(FEATURE_CALLS), 0]


def test_rollouts_of_a_refused_reset_name_what_is_wrong_with_it():
    with pytest.raises(ConfigurationError, match="Did you mean 'easy'"):
        _start_rollouts([EpisodeSession()], [{"difficulty": "eazy"}], rollouts=1)


def test_the_gradient_is_that_of_the_expected_score():
    rng = np.random.default_rng(3)
    candidates = Candidates(({}, {}, {}), np.array([0, 1, 0]), rng.normal(size=(3, 5)), entities=2)
    policy = RowPolicy(rng.normal(size=(2, 5)) / 4)
    reports = np.array(list(itertools.product([False, True], repeat=3)))
    score_of = rng.random(len(reports))

    def expected(weights):
        chances = RowPolicy(weights).probabilities(candidates)
        return (np.where(reports, chances, 1 - chances).prod(axis=1) * score_of).sum()

    exact = np.zeros_like(policy.weights)
    for place in np.ndindex(exact.shape):
        nudge = np.zeros_like(exact)
        nudge[place] = 1e-5
        difference = expected(policy.weights + nudge) - expected(policy.weights - nudge)
        exact[place] = difference / 2e-5
    keep = policy.sample_reports(candidates, 400_000, rng)
    scores = score_of[keep @ np.array([4, 2, 1])]
    estimate = _gradient(policy, [candidates], [keep], scores[np.newaxis])
    np.testing.assert_allclose(estimate, exact, atol=2e-3)
    assert np.abs(exact).max() > 0.02


def test_shuffled_scores_never_come_from_the_own_episode():
    scores = np.arange(24.0).reshape(6, 4)
    for seed in range(50):
        dealt = _shuffle_between_episodes(scores, np.random.default_rng(seed))
        assert sorted(dealt.ravel()) == sorted(scores.ravel())
        assert not (dealt // 4 == scores // 4).any()


@pytest.mark.slow
def test_candidates_hold_every_expected_row_and_rows_that_are_none():
    session = EpisodeSession()
    extra = 0
    for row in list_task_rows("validation", count=36):
        session.reset(**reset_arguments_from_row(row))
        results = [
            require_analysis_result(observation_from_reply(session.step(action)))
            for action in FEATURE_CALLS
        ]
        rows = read_candidates(*results).rows
        assert session.episode is not None
        expected = [row.as_dict() for row in session.episode.expected_rows]
        assert [row for row in expected if row not in rows] == []
        extra += len(rows) - len(expected)
    assert extra > 0


def test_features_depend_on_their_own_day_only():
    overview = {
        "entities": [{"entity_type": "event_count", "entity_name": name} for name in ("a", "b")]
    }

    def row(date, name, delta):
        return {
            "date": date,
            "entity_type": "event_count",
            "entity_name": name,
            "delta_value": delta,
        }

    rows = [row("1", "a", 5.0), row("1", "b", -1.0), row("2", "b", 2.0)]
    candidates = read_candidates(overview, {"generated_rows": rows})
    assert candidates.entity.tolist() == [0, 1, 1]
    assert candidates.context.tolist() == [[1, 1, 0, 0, 1], [1, 1, 0, 0, 1], [1, 0, 1, 0, 0]]


def test_an_episode_without_candidates_gets_an_empty_report():
    candidates = read_candidates(
        {"entities": [{"entity_type": "a", "entity_name": "b"}]}, {"generated_rows": []}
    )
    policy = RowPolicy.untrained(entities=1)
    assert policy.most_likely_report(candidates) == []
    assert policy.sample_reports(candidates, 4, np.random.default_rng(0)).shape == (4, 0)


def test_a_curriculum_starts_easy_and_ends_with_everything():
    levels = ("easy", "medium", "hard") * 3
    tasks = [{"level": level, "index": index} for index, level in enumerate(levels)]
    lesson, rng = curriculum_of(tasks), np.random.default_rng(0)

    def seen(progress):
        return {levels[reset["index"]] for reset in lesson(progress, rng, 200)}

    assert [seen(progress) for progress in (0.0, 0.3, 0.6)] == [
        {"easy"},
        {"easy", "medium"},
        {"easy", "medium", "hard"},
    ]


def test_verdicts_name_each_claim_that_the_runs_do_not_support():
    scores = {"null": 0.0, "random": 0.0, "median_filter": 0.1, "report_all": 0.2}

    def run(arm, start, end):
        return Run(arm, 0, (Point(0, start, 0.0, {}), Point(9, end, 0.0, {})))

    assert find_failures([run("plain", 0.05, 0.9), run("shuffled", 0.05, 0.07)], scores) == []
    failed = find_failures([run("plain", 0.05, 0.15), run("shuffled", 0.05, 0.4)], scores)
    assert ["not above" in failed[0], "rewards are shuffled" in failed[1]] == [True, True]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"updates": 0}, "updates is 0; allowed"),
        ({"rollouts": 1}, "rollouts is 1; allowed"),
        ({"episodes": 1}, "episodes is 1; allowed"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; allowed"),
    ],
)
def test_settings_that_cannot_train_are_refused(wrong, said):
    with pytest.raises(ConfigurationError, match=said):
        Settings(**wrong)


def test_an_unknown_arm_is_refused_with_the_nearest():
    with pytest.raises(ConfigurationError, match="Did you mean 'shuffled'"):
        Plan(arms=("shufled",))


def near(colours, wanted):
    return any(
        max(abs(one - other) for one, other in zip(colour, wanted, strict=True)) < 12
        for colour in colours
    )


@pytest.fixture
def brief(monkeypatch):
    """The command's runs are measured on few of the held-out tasks."""
    monkeypatch.setattr("research.learning.__main__.Plan", partial(Plan, held_out_tasks=24))


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_the_command_writes_the_curve_as_a_picture_and_as_numbers(tmp_path):
    arguments = ["--seeds", "2", "--updates", "4", "--arm", "shuffled", "--workers", "1"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "learning-curve.json").read_text())
    assert [(run["arm"], run["seed"]) for run in figures["runs"]] == [
        ("shuffled", 0),
        ("shuffled", 1),
    ]
    with Image.open(tmp_path / "learning-curve.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert near(colours, (220, 38, 38)), "the shuffled arm's own line is there"
    assert not near(colours, (37, 99, 235)), "an arm that did not run has none"


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_the_command_fails_when_a_run_did_not_learn(tmp_path):
    result = CliRunner().invoke(
        app, ["--seeds", "1", "--updates", "1", "--arm", "plain", "--workers", "1"]
    )
    assert result.exit_code == 1
    assert "is not above the best label-blind" in result.output


@pytest.mark.slow
def test_the_baselines_hold_the_half_policies_with_and_without_practice(scores):
    blind = max(scores[name] for name in LABEL_BLIND)
    assert blind < scores["upstream_first"] < scores["upstream_first_practice"] < 1.0
    assert scores["reference"] == 1.0


@pytest.mark.slow
def test_the_reference_is_the_ceiling_of_the_held_out_split(held_out):
    starts = (start_session(ENVIRONMENT, reset) for reset in held_out)
    outcomes = [
        run_policy(session, get_policy("reference"), opening) for session, opening in starts
    ]
    assert {outcome.score for outcome in outcomes} == {1.0}
