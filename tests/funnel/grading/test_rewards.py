"""Rewards of the modes, and the reward components of the final reply."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from functools import cache

import pytest

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.episode.episode import FunnelEpisode, build_episode
from metric_tracker_rl.engine.episode.flagged_series import list_flagged_series_by_id
from metric_tracker_rl.engine.grading.grader import grade_report
from metric_tracker_rl.engine.grading.rewards import (
    ALL_FLAGGED_REWARD,
    compute_key_f1_reward,
    compute_reward_of_each_mode_and_score_components,
)
from metric_tracker_rl.engine.report.parse_report import SubmittedReport, build_invalid_row_issue
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.wire_models import SCORE_PENALTIES, SCORE_SHARES
from openenv_kit.serving.openenv_adapter import OpenEnvAdapter
from support.funnel_episodes import (
    analyse,
    perfect_report,
    running_episode,
    small_sample,
    started,
    submit,
)

TASK = {"task_id": "hard_mixed_multi"}
NAMES = {"graded", "exact", "key_f1", *SCORE_SHARES, *SCORE_PENALTIES}


@cache
def episode(count: int = 4) -> FunnelEpisode:
    return build_episode(EpisodeConfig(37, "mixed", "hard", "high", count))


def worth(rows: list[ReportRow], count: int = 4) -> float:
    return compute_key_f1_reward(SubmittedReport(tuple(rows), ()), episode(count))


def flagged(of: FunnelEpisode) -> list[ReportRow]:
    return [each.row for each in list_flagged_series_by_id(of)]


def echoes(count: int = 4) -> list[ReportRow]:
    right = {row.key for row in episode(count).expected_rows}
    return [row for row in flagged(episode(count)) if row.key not in right]


def unflagged(count: int = 4) -> list[ReportRow]:
    """Rows that name nothing flagged."""
    of = episode(count)
    taken = {row.key for row in flagged(of)}
    row = episode().expected_rows[0]
    named = (
        ReportRow(date, "event_count", name, *list(row.as_dict().values())[3:])
        for date in of.dates
        for name in of.config.funnel_with_policy_daytime.event_count_names
    )
    return [each for each in named if each.key not in taken]


def test_exact_reward_is_one_only_for_a_perfect_report() -> None:
    session = started(**TASK, reward="exact")
    rows = perfect_report(session)
    wrong = {**rows[0], "severity": "low" if rows[0]["severity"] != "low" else "high"}
    for report, paid in ((rows, 1.0), ([wrong, *rows[1:]], 0.0), (rows[1:], 0.0), ([], 0.0)):
        session.reset(**TASK, reward="exact")
        reply = submit(session, report)
        assert (reply.reward, reply.observation_fields["reward_breakdown"].total_score) == (
            paid,
            paid,
        )
    usual = started(**TASK)
    assert 0.9 < submit(usual, [wrong, *rows[1:]]).reward < 1.0  # type: ignore[operator]


def test_key_f1_ignores_all_fields_but_the_keys() -> None:
    session = started(**TASK, reward="key_f1")
    rows = perfect_report(session)
    words = {"severity": "low", "anomaly_type": "funnel_break", "observed_value": 0.0}
    assert submit(session, [{**row, **words} for row in rows]).reward == 1.0


def test_key_f1_equals_values_computed_by_hand() -> None:
    right, wrong = list(episode().expected_rows), echoes()
    assert worth(right) == 1.0
    assert worth([]) == worth(wrong) == 0.0
    # Half of the rows: F1 2/3, recall 1/2, no echo: 2/3 × (1/5 + 4/5 × 1/2).
    assert worth(right[:2]) == pytest.approx(2 / 3 * 0.6, abs=1e-6)
    # All of them and all echoes: nothing is told apart.
    f1 = 2 * len(right) / (len(right) + len(wrong) + len(right))
    assert worth([*right, *wrong]) == pytest.approx(0.2 * f1, abs=1e-6)
    # One of them and all echoes: worse than telling nothing apart is paid the same.
    f1 = 2 / (1 + len(wrong) + len(right))
    assert worth([right[0], *wrong]) == pytest.approx(0.2 * f1, abs=1e-6)
    # A row that was there already counts as a false one.
    assert worth([*right, right[0]]) == pytest.approx(8 / 9, abs=1e-6)
    # A row that names nothing flagged costs a hundredth beside.
    assert worth([*right, unflagged()[0]]) == pytest.approx(8 / 9 - 0.01, abs=1e-6)


def test_key_f1_counts_explained_rows_as_false_not_as_consequences() -> None:
    made = (build_episode(EpisodeConfig(n, "mixed", "expert", "low", 3)) for n in range(40))
    of = next(
        each for each in made if any(one.is_explained for one in list_flagged_series_by_id(each))
    )
    right = of.expected_rows
    explained = [each.row for each in list_flagged_series_by_id(of) if each.is_explained]
    f1 = 2 * len(right) / (len(right) + len(explained) + len(right))
    assert compute_key_f1_reward(SubmittedReport((*right, *explained), ()), of) == pytest.approx(
        f1, abs=1e-6
    )


def test_exact_reward_of_nearly_perfect_score_is_zero() -> None:
    report, of = SubmittedReport(episode().expected_rows, ()), episode()
    graded = grade_report(report, of.expected_rows)
    nearly = replace(
        graded, breakdown=graded.breakdown.model_copy(update={"total_score": 0.999999})
    )
    paid = [
        compute_reward_of_each_mode_and_score_components(report, each, of)["exact"]
        for each in (graded, nearly)
    ]
    assert paid == [1.0, 0.0]


def test_key_f1_of_calm_episode_is_one_for_the_empty_report_only() -> None:
    assert worth([], count=0) == 1.0
    several = unflagged(0)[:9]
    assert worth(several[:1], 0) == pytest.approx(0.2 - 0.01)
    assert worth(several[:4], 0) == pytest.approx(0.05 - 0.04)
    assert worth(several, 0) == 0.0


@pytest.mark.slow
def test_key_f1_of_all_flagged_series_is_at_most_a_fifth() -> None:
    seen = 0
    for of in small_sample():
        right = {row.key for row in of.expected_rows}
        every = list_flagged_series_by_id(of)
        unexplained = [each.row for each in every if not each.is_explained]
        paid = compute_key_f1_reward(SubmittedReport(tuple(each.row for each in every), ()), of)
        left = compute_key_f1_reward(SubmittedReport(tuple(unexplained), ()), of)
        if {row.key for row in unexplained} == right:
            assert left == 1.0, "what is flagged is what is right"
            continue
        seen += 1
        assert 0.0 < paid <= ALL_FLAGGED_REWARD, of.config
        assert 0.0 < left <= ALL_FLAGGED_REWARD, of.config
    assert seen > 20


@pytest.mark.parametrize("seed", range(30))
def test_key_f1_is_monotone_in_true_and_false_rows(seed: int) -> None:
    draw = random.Random(seed)
    right, others = list(episode().expected_rows), [*echoes(), *unflagged()[:20]]
    taken = draw.sample(right, draw.randrange(len(right)))
    rows = [*taken, *draw.sample(others, draw.randrange(12))]
    base = worth(rows)
    assert worth([*rows, draw.choice([row for row in others if row not in rows])]) <= base
    assert worth([*rows, *rows[:1]]) <= base
    assert worth([*rows, next(row for row in right if row not in rows)]) >= base
    broken = SubmittedReport(tuple(rows), (build_invalid_row_issue("?", "unreadable", {}),))
    assert compute_key_f1_reward(broken, episode()) <= base
    assert worth(draw.sample(rows, len(rows))) == base


def test_final_reply_has_the_same_reward_components_under_every_reward() -> None:
    components = []
    for reward in ("graded", "exact", "key_f1"):
        session = started(**TASK, reward=reward)
        reply = submit(session, perfect_report(session)[:3])
        assert reply.info is not None
        components.append(reply.info["reward_components"])
        assert reply.reward == components[-1][reward]
        config = EpisodeSession().reset(**TASK, reward=reward).observation_fields["config"]
        assert config.get("reward", "graded") == reward
    assert components[0] == components[1] == components[2]
    assert set(components[0]) == NAMES
    assert all(0.0 <= value <= 1.0 for value in components[0].values())
    empty = SubmittedReport((), ())
    assert (
        set(
            compute_reward_of_each_mode_and_score_components(
                empty, grade_report(empty, ()), episode(0)
            )
        )
        == NAMES
    )


def test_reward_components_are_absent_with_score_feedback_and_in_practice() -> None:
    score = {"feedback": "score"}
    for reset in (score, {"max_submissions": 2}, {**score, "reward": "key_f1"}):
        assert submit(started(**TASK, **reset), []).info is None


@pytest.mark.slow
def test_rubric_returns_the_reward_of_the_mode() -> None:
    environment = OpenEnvAdapter()
    environment.reset(**TASK, reward="key_f1")
    rows = perfect_report(environment.session)
    observation = environment.step({"classifications": rows[:2]})
    components = observation.metadata["reward_components"]
    assert observation.reward == components["key_f1"] != components["graded"]
    assert environment.rubric.last_score == observation.reward


# Groups of rollouts


def test_replies_without_a_mode_do_not_mention_modes() -> None:
    overview = analyse(started(**TASK), "task_overview").observation_fields["analysis_result"][
        "result"
    ]
    assert not {"profile", "reward"} & set(overview["config"])
    assert running_episode(started(**TASK)).config.random_stream_key_json
    assert "reward" not in json.dumps(started(**TASK).build_episode_identity())
