"""The client that plays in a session of this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.episode_clients.in_process import InProcessEpisode
from openenv_kit.reply import Reply
from openenv_kit.session import Session

TASK = {"task_id": "easy_single_spike"}


def test_in_process_episode_rejected_reset_keeps_the_running_episode() -> None:
    episode = InProcessEpisode(ENVIRONMENT)
    episode.reset(TASK)
    rejected = episode.reset({"task_id": "no_such_task"})
    assert rejected["status"] == "error"
    assert episode.state()["task_id"] == TASK["task_id"]
    episode.step({"analysis_method": "list_dates", "analysis_args": {}})
    assert episode.state()["step_count"] == 1


def test_in_process_episode_reset_function_of_a_server_is_used() -> None:
    def reset_with_few_steps(session: Session, arguments: Mapping[str, Any]) -> Reply:
        return session.reset(**arguments, max_steps=3)

    episode = InProcessEpisode(ENVIRONMENT, reset_session=reset_with_few_steps)
    episode.reset(TASK)
    assert episode.state()["max_steps"] == 3


def test_in_process_episode_observations_are_json_values() -> None:
    episode = InProcessEpisode(ENVIRONMENT)
    episode.reset(TASK)
    observation = episode.step(ENVIRONMENT.tools.build_action("submit_solution", {"rows": []}))
    assert observation["done"] is True
    assert isinstance(observation["metadata"], dict)

    def contains_only_json(value: object) -> bool:
        if isinstance(value, dict):
            return all(isinstance(key, str) for key in value) and all(
                contains_only_json(item) for item in value.values()
            )
        if isinstance(value, list):
            return all(contains_only_json(item) for item in value)
        return value is None or type(value) in (str, int, float, bool)

    assert contains_only_json(observation)
