"""The reference policy with random rows among its report."""

from __future__ import annotations

from typing import Any

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.policies.noisy_reference import submit_root_ids_with_random_decisions
from openenv_kit.rollouts.policies import Policy
from openenv_kit.rollouts.run_policy import RolloutResult, run_policy

TASK = {"task_id": "hard_mixed_multi"}


def noisy(share: float, seed: str, **reset: Any) -> RolloutResult:
    session = EpisodeSession()
    policy = Policy(
        "noisy",
        "",
        lambda opening: submit_root_ids_with_random_decisions(
            opening, random_decision_share=share, seed=seed
        ),
    )
    return run_policy(session, policy, session.reset(profile="lean", **reset))


def test_noisy_reference_scores_less_the_more_noise_it_has() -> None:
    assert noisy(0.0, "a", **TASK).score == 1.0
    assert noisy(0.3, "a", **TASK) == noisy(0.3, "a", **TASK)
    plays = [noisy(1.0, str(number), **TASK, reward="key_f1").score for number in range(20)]
    assert len(set(plays)) > 5
    assert sum(plays) / len(plays) < 0.3
    means = [
        sum(noisy(share, str(number), **TASK).score for number in range(12))
        for share in (0.05, 0.3, 0.8)
    ]
    assert means == sorted(means, reverse=True)
