"""Sends a player's actions to the server, prints the STEP lines and records the run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from openenv_kit.agent.servers import PrintStatus
from openenv_kit.agent.stdout import TaskLog, format_action_field
from openenv_kit.catalogue import Catalogue
from openenv_kit.environment import Environment
from openenv_kit.episode_clients.protocol import ObservationJson
from openenv_kit.recordings.recorder import RunRecorder
from openenv_kit.reply import ReplyStatus


@dataclass
class TokenUsage:
    """Tokens and cost of an episode's calls to a model.

    Attributes:
        calls: number of calls.
        prompt_tokens: tokens of the requests, as counted by the endpoint or else estimated.
        completion_tokens: tokens of the responses, as counted by the endpoint or else estimated.
        uncounted_calls: number of calls whose tokens are estimated.
        last_call_tokens: tokens of the last request and its response.
        cost: cost in US dollars; None if it is not known.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted_calls: int = 0
    last_call_tokens: int = 0
    cost: float | None = None

    @property
    def total_tokens(self) -> int:
        """Number of tokens in all requests and responses."""
        return self.prompt_tokens + self.completion_tokens


class StepClient(Protocol):
    """Executes the actions of a running episode."""

    async def step(self, action: Mapping[str, Any]) -> ObservationJson:
        """Execute an action and return the observation."""


@dataclass
class PlayerEpisode:
    """A running episode, with the methods that its player calls.

    Attributes:
        environment: environment of the episode.
        client: client that sends the actions.
        task_log: writer of the episode's lines on standard output.
        reset_observation: observation of the reset.
        recorder: writer of the recording; None if the run is not recorded.
        usage: tokens and cost of the requests to the model.
        last_observation: observation of the last step; empty before the first one.
        stop_reason: reason why the player stopped early; empty if the episode was finished.
        print_status: prints a status message for the user.
        transcript: messages that a model received and sent, with the token usage of each response.
        tools: tools of the episode.
    """

    environment: Environment
    client: StepClient
    task_log: TaskLog
    reset_observation: ObservationJson
    recorder: RunRecorder | None = None
    usage: TokenUsage = field(default_factory=TokenUsage)
    last_observation: ObservationJson = field(default_factory=dict)
    stop_reason: str = ""
    print_status: PrintStatus = lambda _: None
    transcript: list[dict[str, Any]] = field(default_factory=list)
    tools: Catalogue = field(init=False)
    _recorded_message_count: int = 0

    def __post_init__(self) -> None:
        self.tools = self.environment.tools.select_for_episode(self.reset_observation)

    @property
    def is_done(self) -> bool:
        """Whether the episode is over."""
        return bool(self.last_observation.get("done"))

    async def send_action_and_log_step(self, action: Mapping[str, Any]) -> ObservationJson:
        """Send an action, print its STEP line, record it and return the observation."""
        start_s = time.monotonic()
        observation = await self.client.step(action)
        elapsed_s = time.monotonic() - start_s
        self.last_observation = observation
        if self.recorder is not None:
            self.recorder.record_step(
                action, observation, elapsed_s, self._get_and_mark_unrecorded_messages()
            )
        tool_call = self.environment.tools.tool_call_of_action(action)
        self.task_log.write_step_line(
            format_action_field(tool_call.name, tool_call.arguments),
            float(observation["reward"] or 0.0),
            self.is_done,
            observation["message"] if observation["status"] == ReplyStatus.ERROR else None,
        )
        return observation

    def log_rejected_call(self, tool_name: str, arguments: Any, error: str) -> None:
        """Print a STEP line with reward 0 for a tool call that cannot be converted to an action."""
        self.task_log.write_step_line(format_action_field(tool_name, arguments), 0.0, False, error)

    def record_end_of_episode(self, score: float | None, error: str = "") -> None:
        """Record how the episode ended.

        Args:
            score: score in [0, 1]; None if the episode failed.
            error: reason for the failure, or a note about how the episode ended.
        """
        if self.recorder is not None:
            self.recorder.record_end(
                score, self.last_observation, self._get_and_mark_unrecorded_messages(), error
            )

    def _get_and_mark_unrecorded_messages(self) -> list[dict[str, Any]]:
        messages = self.transcript[self._recorded_message_count :]
        self._recorded_message_count = len(self.transcript)
        return messages
