"""No message before the last submission depends on the labels.

An episode's labels are replaced by others, as many as before; the same analysis steps must
then be answered by the very same bytes. The last submission must not, or nothing was tested.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from openenv.core.env_server.serialization import serialize_observation
from openenv.core.env_server.types import WSObservationResponse

from metric_tracker_rl.analysis_tools import TOOLS
from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.configuration.play_rules import PlayRules
from metric_tracker_rl.engine.episode.episode import build_episode
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from openenv_kit.rewards import Reward
from openenv_kit.serving.openenv_adapter import OpenEnvAdapter
from support.label_changes import CONFIGS, actions_on, frames_of, other_labels

pytestmark = pytest.mark.slow


def interference(config: EpisodeConfig, reward: str = Reward.GRADED) -> tuple[list[int], bool]:
    """Indices of frames before the submission that tell labels apart; whether the last does."""
    episode = build_episode(config)
    swapped = dataclasses.replace(episode, expected_rows=other_labels(episode))
    assert len(swapped.expected_rows) == len(episode.expected_rows)
    actions = actions_on(episode)
    true, false = (frames_of(config, each, actions, reward) for each in (episode, swapped))
    assert len(true) == len(false) == 2 * (len(actions) + 2)
    differing = [n for n, (a, b) in enumerate(zip(true, false, strict=True)) if a != b]
    before = [n for n in differing if n < len(true) - 2]
    return before, len(true) - 2 in differing


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.seed}")
def test_no_frame_before_the_submission_depends_on_the_labels(config: EpisodeConfig) -> None:
    before, at_the_end = interference(config)
    assert before == []
    assert at_the_end


@pytest.mark.parametrize("reward", [Reward.EXACT, Reward.KEY_F1])
def test_nor_does_one_under_another_reward(reward: str) -> None:
    before, at_the_end = interference(CONFIGS[1], reward)
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
    honest = EpisodeSession._build_reset_fields

    def leaky(self: EpisodeSession, view: EpisodeView) -> dict[str, Any]:
        opening = honest(self, view)
        kinds = {row.entity_type for row in view.episode.expected_rows}
        return {**opening, "config": {**opening["config"], "hint": sorted(kinds)}}

    monkeypatch.setattr(EpisodeSession, "_build_reset_fields", leaky)


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
def test_the_check_notices_a_label_that_is_leaked_on_purpose(
    leak: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    leak(monkeypatch)
    before, _ = interference(CONFIGS[1])
    assert before


def test_practice_tells_no_more_than_the_counts_of_its_rows() -> None:
    """Two sets of labels with the same counts for a report are told by the same bytes."""
    config = CONFIGS[2]
    episode = build_episode(config)
    swapped = dataclasses.replace(episode, expected_rows=other_labels(episode))
    sent = []
    for each in (episode, swapped):
        environment = OpenEnvAdapter()
        rules = PlayRules(max_submissions=3)
        environment.session.start_from_view("task", EpisodeView(each, rules))
        row = each.expected_rows[0].as_dict()  # one right row, whichever that is
        observation = environment.step({"classifications": [row]})
        frame = WSObservationResponse(data=serialize_observation(observation))
        sent.append(frame.model_dump_json())
    assert sent[0] == sent[1]
    assert '"status":"in_progress"' in sent[0]
