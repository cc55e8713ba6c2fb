"""Rubrics of the framework show the score's components."""

from __future__ import annotations

from metric_tracker_rl.models import MetricTrackerRlAction
from metric_tracker_rl.wire_models import RewardBreakdown
from openenv_kit.serving.openenv_adapter import OpenEnvAdapter
from support.funnel_episodes import started

FULL_MARKS = [row.as_dict() for row in started().view.episode.expected_rows]  # type: ignore[union-attr]


def test_rubrics_show_each_components_last_score() -> None:
    environment = OpenEnvAdapter()
    environment.reset(task_id="easy_single_spike")
    wrong = [{**FULL_MARKS[0], "severity": "low"}, {"date": "x"}]
    observation = environment.step(MetricTrackerRlAction.model_construct(classifications=wrong))
    assert environment.rubric is not None
    scores = {name: each.last_score for name, each in environment.rubric.named_rubrics()}
    made = observation.reward_breakdown
    assert made is not None
    assert environment.rubric.last_score == observation.reward == made.total_score
    assert set(scores) >= {"precision", "recall", "penalties", "penalties.invalid_row_penalty"}
    for name, score in scores.items():
        component = name.rpartition(".")[2]
        if component in RewardBreakdown.model_fields:
            assert score == made[component], name
    assert scores["penalties"] == scores["penalties.invalid_row_penalty"] == 0.05
    environment.reset()
    assert {each.last_score for _, each in environment.rubric.named_rubrics()} == {None}
