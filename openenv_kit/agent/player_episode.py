"""A player's seat: every action goes through here to be printed and recorded."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from openenv_kit.agent.episode_connection import EpisodeConnection, Observation
from openenv_kit.agent.servers import PrintStatus
from openenv_kit.agent.stdout import TaskLog, format_tool_call
from openenv_kit.environment import Environment
from openenv_kit.recordings.format import RunRecorder
from openenv_kit.reply import ReplyStatus
from openenv_kit.tool import Catalogue


@dataclass
class TokenUsage:
    """Tokens of an episode: the endpoint's counts, or estimates for calls it did not count."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted_calls: int = 0
    last_call_tokens: int = 0
    cost: float | None = None

    @property
    def total_tokens(self) -> int:
        """Prompt and answer tokens."""
        return self.prompt_tokens + self.completion_tokens


@dataclass
class PlayerEpisode:
    """One episode as its player sees it.

    Attributes:
        task_log: its lines on standard output.
        reset_observation, last_observation: observations of the reset and of the last step.
        stop_reason: why the player stopped before the end, if it did.
        print_status: prints a remark for people.
        transcript: messages that a model read and wrote, each answer with its token usage.
        tools: what the episode offers.
    """

    environment: Environment
    connection: EpisodeConnection
    task_log: TaskLog
    reset_observation: Observation
    recorder: RunRecorder | None = None
    usage: TokenUsage = field(default_factory=TokenUsage)
    last_observation: Observation = field(default_factory=dict)
    stop_reason: str = ""
    print_status: PrintStatus = lambda _: None
    transcript: list[dict[str, Any]] = field(default_factory=list)
    tools: Catalogue = field(init=False)
    _recorded_message_count: int = 0

    def __post_init__(self) -> None:
        self.tools = self.environment.tools.for_episode(self.reset_observation)

    @property
    def is_done(self) -> bool:
        """Whether the episode is over."""
        return bool(self.last_observation.get("done"))

    async def step(self, action: Mapping[str, Any]) -> Observation:
        """Take one step of the environment."""
        began = time.monotonic()
        self.last_observation = observation = await self.connection.step(action)
        took = time.monotonic() - began
        label = format_tool_call(*self.environment.tools.tool_call_of_action(action))
        reward = float(observation["reward"] or 0.0)
        problem = observation["message"] if observation["status"] == ReplyStatus.ERROR else None
        if self.recorder is not None:
            self.recorder.record_step(action, observation, took, self._take_unrecorded_messages())
        self.task_log.write_step(label, reward, self.is_done, problem)
        return observation

    def log_rejected_call(self, tool_name: str, arguments: Any, error: str) -> None:
        """Print a call that is not an action as a step with reward 0."""
        self.task_log.write_step(format_tool_call(tool_name, arguments), 0.0, False, error)

    def end_recording(self, score: float | None, error: str = "") -> None:
        """Record how the episode ended.

        Args:
            score: in [0, 1]; None where the episode failed.
            error: why it failed, or a remark on how it ended.
        """
        if self.recorder is not None:
            self.recorder.record_end(
                score, self.last_observation, self._take_unrecorded_messages(), error
            )

    def _take_unrecorded_messages(self) -> list[dict[str, Any]]:
        messages = self.transcript[self._recorded_message_count :]
        self._recorded_message_count = len(self.transcript)
        return messages
