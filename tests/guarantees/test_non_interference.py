"""No message before the last submission depends on the labels.

The labels of an episode are replaced by as many others. The replies to the same actions must then
have the same bytes, and the reply to the last submission must differ.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from openenv.core.env_server.serialization import serialize_observation
from openenv.core.env_server.types import WSObservationResponse

from metric_tracker_rl.analysis_tools import ANALYSIS_TOOLS_BY_MODE, TOOLS
from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.configuration.play_rules import PlayRules
from metric_tracker_rl.engine.episode.episode import build_episode
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from openenv_kit.rewards import Reward
from openenv_kit.serving.openenv_adapter import OpenEnvAdapter
from support.label_changes import CONFIGS, actions_on, messages_of, other_labels

pytestmark = pytest.mark.slow


MODES = [
    PlayRules(profile=profile, disclosure=disclosure)
    for profile, disclosure in ANALYSIS_TOOLS_BY_MODE
]
GUIDED_STANDARD, GUIDED_LEAN, RAW_STANDARD, RAW_LEAN = MODES
EXPERT = EpisodeConfig(3, "mixed", "expert", "high", 6)
HARD = EpisodeConfig(3, "mixed", "hard", "low", 5)


def varied(config: EpisodeConfig) -> EpisodeConfig:
    return dataclasses.replace(config, policy="varied")


CASES = [
    *((config, rules) for rules in (GUIDED_STANDARD, GUIDED_LEAN) for config in CONFIGS),
    *(
        (config, rules)
        for rules in (RAW_STANDARD, RAW_LEAN)
        for config in (CONFIGS[2], EXPERT, varied(HARD))
    ),
    (varied(CONFIGS[2]), GUIDED_STANDARD),
    (varied(EXPERT), GUIDED_STANDARD),
    (CONFIGS[1], dataclasses.replace(GUIDED_STANDARD, reward=Reward.EXACT)),
    (CONFIGS[1], dataclasses.replace(GUIDED_STANDARD, reward=Reward.KEY_F1)),
    (EXPERT, dataclasses.replace(GUIDED_LEAN, reward=Reward.EXACT)),
    (varied(HARD), dataclasses.replace(GUIDED_LEAN, reward=Reward.KEY_F1)),
]


def name_of_case(value: EpisodeConfig | PlayRules) -> str:
    if isinstance(value, PlayRules):
        return f"{value.profile}-{value.disclosure}-{value.reward}"
    return f"{value.difficulty}-{value.policy}-{value.seed}"


def interference(config: EpisodeConfig, rules: PlayRules) -> tuple[list[int], bool]:
    """Return which messages before the submission depend on labels, and whether the last does."""
    episode = build_episode(config)
    swapped = dataclasses.replace(episode, expected_rows=other_labels(episode))
    assert len(swapped.expected_rows) == len(episode.expected_rows)
    actions = actions_on(episode, rules)
    true, false = (messages_of(config, each, actions, rules) for each in (episode, swapped))
    assert len(true) == len(false) == 2 * (len(actions) + 2)
    tools = set(ANALYSIS_TOOLS_BY_MODE[rules.mode]) - {"submit"}
    assert methods_with_a_result(true) == tools
    differing = [n for n, (a, b) in enumerate(zip(true, false, strict=True)) if a != b]
    before = [n for n in differing if n < len(true) - 2]
    return before, len(true) - 2 in differing


def methods_with_a_result(messages: list[str]) -> set[str]:
    observations = (json.loads(each)["data"].get("observation") or {} for each in messages)
    return {
        observation["analysis_result"]["method"]
        for observation in observations
        if observation.get("status") == "analyzed"
    }


@pytest.mark.parametrize(("config", "rules"), CASES, ids=name_of_case)
def test_reply_before_the_submission_does_not_depend_on_the_labels(
    config: EpisodeConfig, rules: PlayRules
) -> None:
    before, at_the_end = interference(config, rules)
    assert before == []
    assert at_the_end


def leak_through_a_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(view: EpisodeView, arguments: Any) -> dict[str, Any]:
        found = honest.run(view, arguments)
        guilty = {row.date for row in view.episode.expected_rows}
        return {**found, "dates": sorted(found["dates"], key=lambda date: date in guilty)}

    honest = TOOLS["list_dates"]
    monkeypatch.setitem(TOOLS, "list_dates", dataclasses.replace(honest, run=leaky))


def leak_through_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = EpisodeSession.step

    def leaky(self: EpisodeSession, action: Any) -> Any:
        reply = honest(self, action)
        assert self.episode is not None
        asked = action.get("analysis_args", {}).get("date")
        hit = asked in {row.date for row in self.episode.expected_rows}
        return dataclasses.replace(reply, message=reply.message + " Warm." * hit)

    monkeypatch.setattr(EpisodeSession, "step", leaky)


def leak_through_the_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = EpisodeSession._build_reset_observation_fields

    def leaky(self: EpisodeSession, view: EpisodeView) -> dict[str, Any]:
        opening = honest(self, view)
        kinds = {row.entity_type for row in view.episode.expected_rows}
        return {**opening, "config": {**opening["config"], "hint": sorted(kinds)}}

    monkeypatch.setattr(EpisodeSession, "_build_reset_observation_fields", leaky)


def leak_through_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = OpenEnvAdapter.state.fget
    assert honest is not None

    def leaky(self: OpenEnvAdapter) -> Any:
        episode = self.session.episode
        assert episode is not None
        return honest(self).model_copy(update={"task_id": episode.expected_rows[0].date})

    monkeypatch.setattr(OpenEnvAdapter, "state", property(leaky))


@pytest.mark.parametrize(
    "leak",
    [
        leak_through_a_tool,
        leak_through_a_message,
        leak_through_the_opening,
        leak_through_the_state,
    ],
    ids=lambda leak: leak.__name__,
)
def test_non_interference_check_detects_a_deliberate_leak(
    leak: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    leak(monkeypatch)
    before, _ = interference(CONFIGS[1], GUIDED_STANDARD)
    assert before


def test_practice_reply_depends_on_counts_only() -> None:
    """Two sets of labels with the same counts for a report are told by the same bytes."""
    config = CONFIGS[2]
    episode = build_episode(config)
    swapped = dataclasses.replace(episode, expected_rows=other_labels(episode))
    sent = []
    for each in (episode, swapped):
        environment = OpenEnvAdapter()
        rules = PlayRules(max_submissions=3)
        environment.session.start_episode_from_view("task", EpisodeView(each, rules))
        row = each.expected_rows[0].as_dict()  # one right row, whichever that is
        observation = environment.step({"classifications": [row]})
        frame = WSObservationResponse(data=serialize_observation(observation))
        sent.append(frame.model_dump_json())
    assert sent[0] == sent[1]
    assert '"status":"in_progress"' in sent[0]
