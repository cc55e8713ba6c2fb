"""Modes of play: tools, system prompts and what is registered by mode."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from metric_tracker_rl.analysis_tools import ANALYSIS_TOOLS_BY_MODE, LEAN_TOOLS, TOOLS
from metric_tracker_rl.engine.configuration.modes import (
    GUIDED_MODE,
    LEAN_RAW_MODE,
    MODES,
    PlayMode,
    has_drawn_policy,
    read_play_mode,
)
from metric_tracker_rl.engine.definitions.names import Disclosure, Profile
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.policies.reference import REFERENCE_BY_MODE
from metric_tracker_rl.tools import (
    TOOLS_BY_MODE,
    build_first_user_message,
    rebuild_observation_from_messages,
)
from openenv_kit.environment import full_observation_from_reply
from support.funnel_episodes import analyse, started
from support.funnel_modes import TOOL_NAMES_BY_MODE, check_tool_names, reset_of_mode


@pytest.mark.parametrize("mode", MODES, ids="-".join)
def test_mode_decides_the_offered_tools_and_the_system_prompt(mode: PlayMode) -> None:
    arguments = reset_of_mode(mode)
    state = started(**arguments).state().model_dump()
    reply = EpisodeSession().reset(**arguments)
    observation = full_observation_from_reply(ENVIRONMENT, reply, "custom")
    first_message = ENVIRONMENT.tools.first_user_message(observation)
    message = ENVIRONMENT.tools.observation_from_messages(first_message, None)
    for episode in (arguments, {"split": "train", **arguments}, state, observation, message):
        check_tool_names(ENVIRONMENT.tools.select_for_episode(episode).tool_names, mode)
        assert ENVIRONMENT.build_system_prompt(episode) == MODES[mode].system_prompt


@pytest.mark.parametrize(
    "episode",
    [{}, {"profile": None}, {"profile": "standard"}, {"profile": ["lean"], "disclosure": {}}],
    ids=str,
)
def test_missing_or_wrong_mode_is_guided_play_in_the_standard_profile(episode: object) -> None:
    assert ENVIRONMENT.build_system_prompt(episode) == MODES[PlayMode()].system_prompt  # type: ignore[arg-type]
    tools = ENVIRONMENT.tools.select_for_episode(episode)  # type: ignore[arg-type]
    check_tool_names(tools.tool_names, PlayMode())


def test_tool_of_another_profile_is_rejected_with_the_nearest() -> None:
    reply = analyse(started(profile="lean"), "task_overview")
    assert "Did you mean 'overview'?" in reply.message
    assert f"Allowed: {', '.join(TOOL_NAMES_BY_MODE['lean', 'guided'])}." in reply.message
    assert "Unknown analysis_method 'scan'" in analyse(started(), "scan").message
    assert not set(LEAN_TOOLS) & set(TOOLS)


@pytest.mark.parametrize(
    ("profile", "method"),
    [("standard", "list_suspicious_dates"), ("standard", "scan"), ("lean", "scan")],
)
def test_tool_that_flags_is_rejected_in_raw_disclosure(profile: str, method: str) -> None:
    session = started(disclosure="raw", profile=profile)
    assert f"Unknown analysis_method '{method}'." in analyse(session, method).message
    assert not session.done


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != PlayMode()])
def test_row_generators_outside_guided_standard_play_are_rejected(mode: PlayMode) -> None:
    session = started(**reset_of_mode(mode))
    reply = session.step({"payload_generators": [{"method_name": "median_filter"}]})
    assert reply.status == "error"
    assert "no row generators" in reply.message
    assert not session.done


def test_lean_submission_without_ids_names_the_argument() -> None:
    tools = ENVIRONMENT.tools.select_for_episode({"profile": "lean"})
    with pytest.raises(ValueError, match="'ids' is required"):
        tools.build_action("submit", {})


LEAN_RAW_VARIED = {"profile": "lean", "disclosure": "raw", "policy": "varied"}


def reset_observation(**reset: Any) -> dict[str, Any]:
    return EpisodeSession().reset(**reset).observation_fields


@pytest.mark.parametrize("table", [MODES, ANALYSIS_TOOLS_BY_MODE, TOOLS_BY_MODE, REFERENCE_BY_MODE])
def test_every_table_has_an_entry_for_each_mode(table: dict[PlayMode, Any]) -> None:
    assert set(table) == {PlayMode(*mode) for mode in product(Profile, Disclosure)}


def test_mode_is_read_from_configuration_whatever_the_instruction_says() -> None:
    lean_instruction = reset_observation(**LEAN_RAW_VARIED)["instruction"]
    guided = {**reset_observation(), "instruction": lean_instruction}
    assert read_play_mode(guided) == GUIDED_MODE
    assert not has_drawn_policy(guided)
    renamed = {**reset_observation(**LEAN_RAW_VARIED), "instruction": "Find the anomalies."}
    assert read_play_mode(renamed) == LEAN_RAW_MODE
    assert has_drawn_policy(renamed)


def test_first_user_message_states_a_mode_that_is_not_the_default() -> None:
    message = build_first_user_message(reset_observation(**LEAN_RAW_VARIED))
    fields = rebuild_observation_from_messages(message, None)
    assert read_play_mode(fields) == LEAN_RAW_MODE
    assert has_drawn_policy(fields)
    assert '"profile"' not in build_first_user_message(reset_observation())


def test_message_without_a_configuration_counts_as_the_default_mode() -> None:
    assert (
        read_play_mode(rebuild_observation_from_messages("Find the anomalies.", None))
        == GUIDED_MODE
    )
