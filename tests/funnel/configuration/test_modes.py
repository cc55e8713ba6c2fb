"""The modes of play, and what is registered by mode."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from metric_tracker_rl.analysis_tools import ANALYSIS_TOOLS_BY_MODE
from metric_tracker_rl.engine.configuration.modes import (
    GUIDED_MODE,
    LEAN_RAW_MODE,
    MODES,
    PlayMode,
    has_drawn_policy,
    play_mode,
)
from metric_tracker_rl.engine.definitions.names import Disclosure, Profile
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.policies.reference import REFERENCE_BY_MODE
from metric_tracker_rl.tools import (
    TOOLS_BY_MODE,
    first_user_message,
    observation_from_messages,
)

LEAN_RAW_VARIED = {"profile": "lean", "disclosure": "raw", "policy": "varied"}


def reset_observation(**reset: Any) -> dict[str, Any]:
    return EpisodeSession().reset(**reset).observation_fields


@pytest.mark.parametrize("table", [MODES, ANALYSIS_TOOLS_BY_MODE, TOOLS_BY_MODE, REFERENCE_BY_MODE])
def test_every_table_has_an_entry_for_each_mode(table: dict[PlayMode, Any]) -> None:
    assert set(table) == {PlayMode(*mode) for mode in product(Profile, Disclosure)}


def test_mode_is_read_from_configuration_whatever_the_instruction_says() -> None:
    lean_instruction = reset_observation(**LEAN_RAW_VARIED)["instruction"]
    guided = {**reset_observation(), "instruction": lean_instruction}
    assert play_mode(guided) == GUIDED_MODE
    assert not has_drawn_policy(guided)
    renamed = {**reset_observation(**LEAN_RAW_VARIED), "instruction": "Find the anomalies."}
    assert play_mode(renamed) == LEAN_RAW_MODE
    assert has_drawn_policy(renamed)


def test_first_user_message_states_a_mode_that_is_not_the_default() -> None:
    message = first_user_message(reset_observation(**LEAN_RAW_VARIED))
    fields = observation_from_messages(message, None)
    assert play_mode(fields) == LEAN_RAW_MODE
    assert has_drawn_policy(fields)
    assert '"profile"' not in first_user_message(reset_observation())


def test_message_without_a_configuration_counts_as_the_default_mode() -> None:
    assert play_mode(observation_from_messages("Find the anomalies.", None)) == GUIDED_MODE
