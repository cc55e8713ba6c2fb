"""Dataset rows, trainers' classes and collection accept every mode; the reference scores 1."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from metric_tracker_rl.engine.configuration.modes import MODES, PlayMode
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.policies import get_policy
from openenv_kit.datasets.split_rows import list_task_rows
from openenv_kit.errors import ConfigurationError
from openenv_kit.trainers.openenv_harness import collect_episodes
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.trl import environment_class
from support.funnel_modes import check_tool_names, play_reference, reset_of_mode

CASES = [(mode, policy) for policy in ("standard", "varied") for mode in MODES]


def reset_of(mode: PlayMode, policy: str) -> dict[str, str]:
    return {**reset_of_mode(mode), "policy": policy}


@pytest.mark.parametrize(("mode", "policy"), CASES)
def test_rows_of_a_mode_hold_it_and_are_collected(
    mode: PlayMode, policy: str, tmp_path: Path
) -> None:
    reset = reset_of(mode, policy)
    rows = list_task_rows("validation", count=2, extra_reset_arguments=reset)
    assert all(reset.items() <= row.items() for row in rows)
    assert collect_episodes(tmp_path, rows).avg_reward == 1.0


def test_rows_with_a_misspelt_reset_argument_name_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'profile'"):
        list_task_rows("validation", count=3, extra_reset_arguments={"profil": "lean"})


@pytest.mark.parametrize(("mode", "policy"), CASES)
def test_class_for_trl_has_the_tools_of_its_mode_and_plays_it(mode: PlayMode, policy: str) -> None:
    reset = reset_of(mode, policy)
    environment: Any = environment_class(split="validation", reset=reset)()
    members = inspect.getmembers(type(environment), inspect.isfunction)
    public = [name for name, _ in members if not name.startswith("_")]
    tools = ENVIRONMENT.tools.select_for_episode(reset).tool_names
    check_tool_names(tools, mode)
    assert set(public) == {"reset", "get_reward", *tools}
    row = list_task_rows("validation", first=2, count=1, extra_reset_arguments=reset)[0]
    play_reference(
        environment.reset(**row), lambda name, **given: getattr(environment, name)(**given)
    )
    assert environment.get_reward() == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES, ids="-".join)
def test_adapter_on_a_server_plays_a_mode(mode: PlayMode, server_url: str) -> None:
    episode = ToolEpisode(server_url)
    message = episode.reset({"split": "validation", "index": 5, **reset_of_mode(mode)})
    check_tool_names(episode.tools.tool_names, mode)
    play_reference(message, lambda name, **given: episode.call_tool(name, given))
    assert episode.reward == 1.0


@pytest.mark.parametrize("mode", MODES, ids="-".join)
def test_adapter_that_reads_text_alone_plays_a_drawn_policy(mode: PlayMode) -> None:
    for seed in range(3):
        episode = ToolEpisode()
        message = episode.reset(
            {"seed": seed, "anomaly_count": 6, "difficulty": "expert", **reset_of(mode, "varied")}
        )
        observation = ENVIRONMENT.tools.observation_from_messages(message, None)
        actions = get_policy("reference").generate_actions(observation)
        action = next(actions)
        while not episode.is_done:
            result = episode.call_tool(*ENVIRONMENT.tools.tool_call_of_action(action))
            if not episode.is_done:
                observed = ENVIRONMENT.tools.observation_from_messages(message, json.loads(result))
                action = actions.send(observed)
        assert episode.reward == 1.0
