"""A player's seat: every action goes through here to be printed and recorded."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from openenv_kit.agent.episode_connection import EpisodeConnection, Observation
from openenv_kit.agent.servers import Say
from openenv_kit.agent.stdout import Block, action_text
from openenv_kit.environment import ERROR, Environment
from openenv_kit.recordings.format import RunRecorder
from openenv_kit.tool import Catalogue


@dataclass
class Usage:
    """Tokens of an episode: the endpoint's counts, or estimates for calls it did not count."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted_calls: int = 0
    last_call_tokens: int = 0
    cost: float | None = None

    @property
    def total(self) -> int:
        """Prompt and answer tokens."""
        return self.prompt_tokens + self.completion_tokens


@dataclass
class Table:
    """One episode as its player sees it.

    Attributes:
        block: its lines on standard output.
        opening, last: observations of the reset and of the last step.
        note: why the player stopped before the end, if it did.
        say: prints a remark for people.
        transcript: messages that a model read and wrote, each answer with its token usage.
        tools: what the episode offers.
    """

    environment: Environment
    connection: EpisodeConnection
    block: Block
    opening: Observation
    recorder: RunRecorder | None = None
    usage: Usage = field(default_factory=Usage)
    last: Observation = field(default_factory=dict)
    note: str = ""
    say: Say = lambda _: None
    transcript: list[dict[str, Any]] = field(default_factory=list)
    tools: Catalogue = field(init=False)
    _recorded_messages: int = 0

    def __post_init__(self) -> None:
        self.tools = self.environment.tools.offered(self.opening)

    @property
    def done(self) -> bool:
        """Whether the episode is over."""
        return bool(self.last.get("done"))

    async def act(self, action: Mapping[str, Any]) -> Observation:
        """Take one step of the environment."""
        began = time.monotonic()
        self.last = observation = await self.connection.step(action)
        took = time.monotonic() - began
        label = action_text(*self.environment.tools.called(action))
        reward = float(observation["reward"] or 0.0)
        problem = observation["message"] if observation["status"] == ERROR else None
        if self.recorder is not None:
            self.recorder.step(action, observation, took, self._unrecorded_messages())
        self.block.step(label, reward, self.done, problem)
        return observation

    def refuse(self, name: str, arguments: Any, problem: str) -> None:
        """Print a call that is not an action as a step with reward 0."""
        self.block.step(action_text(name, arguments), 0.0, False, problem)

    def end_recording(self, score: float | None, error: str = "") -> None:
        """Record how the episode ended.

        Args:
            score: in [0, 1]; None where the episode failed.
            error: why it failed, or a remark on how it ended.
        """
        if self.recorder is not None:
            self.recorder.end(score, self.last, self._unrecorded_messages(), error)

    def _unrecorded_messages(self) -> list[dict[str, Any]]:
        messages = self.transcript[self._recorded_messages :]
        self._recorded_messages = len(self.transcript)
        return messages
