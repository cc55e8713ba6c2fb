"""Scored episodes, read from results and recordings."""

from __future__ import annotations

from typing import Any

import pytest

from openenv_kit.environment import get_environment
from openenv_kit.recordings.format import RecordedRun
from openenv_kit.results.player_summary import summarize_player
from openenv_kit.results.scored_episodes import (
    PlayerResults,
    ScoredEpisode,
    scored_episode_from_run,
)

FUNNEL = get_environment("metric_tracker_rl")


def play(score: float | None, **others: Any) -> ScoredEpisode:
    named = {"task_id": "easy_single_spike"}
    fields = {"task": "a", "reset": named, "tool_calls": 1, **others}
    return ScoredEpisode(score=score, **fields)


def player(name: str, *plays: ScoredEpisode) -> PlayerResults:
    return PlayerResults(name, f"{name}.json", FUNNEL.versions, plays)


@pytest.mark.parametrize(
    ("reset", "groups"),
    [
        ({"task_id": "hard_mixed_multi"}, {"level": "hard", "family": "mixed"}),
        (
            {"difficulty": "hard", "max_steps": 9},
            {"level": "hard", "family": "rate_spike_from_median"},
        ),
        ({"split": "sealed", "index": 0}, {}),
    ],
)
def test_result_labels_contain_public_values_only(
    reset: dict[str, Any], groups: dict[str, str]
) -> None:
    assert FUNNEL.build_result_labels(reset) == groups


def test_tasks_of_splits_are_grouped() -> None:
    assert set(FUNNEL.build_result_labels({"split": "test", "index": 5})) == {"level", "family"}
    assert get_environment("firewatch").build_result_labels(
        {"task_id": "task_hard_gray_failure"}
    ) == {"level": "hard"}


def test_a_recording_that_broke_off_has_no_score_rather_than_zero() -> None:
    broken = scored_episode_from_run(RecordedRun("a", {"seed": 1}, {}, "", score=None))
    assert broken.score is None
    assert summarize_player(player("a", play(1.0), broken)).mean == 1.0
