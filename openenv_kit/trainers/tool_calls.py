"""One episode as models play it: named tools in, text out.

Tools and words are the environment's own. An answer is one line of JSON, which programs can
read as well as models.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from typing import Any

from openenv_kit.environment import ERROR, get_environment
from openenv_kit.errors import InvalidValueError, ServerError, ToolArgumentError, require_name
from openenv_kit.play.split_rows import reset_arguments
from openenv_kit.tools.catalogue import compact
from openenv_kit.trainers.backends import InProcess, Remote

OVER = {"status": "completed", "message": "The episode is over; this call changed nothing."}
"""The answer to a call after the end."""

ToolUse = tuple[str, dict[str, Any]]
"""Name and arguments of a tool call."""


class ToolEpisode:
    """An episode played by tool calls, one at a time even when they come from several threads.

    The first final reward stands: once the episode is over, no further call changes `reward`
    or reaches the server, which may have forgotten the episode by then.

    Attributes:
        brief: the system prompt; empty before the first reset.
        reward: 0.0 until the episode is over, then its score in [0, 1].
        done: whether the episode is over.
        info: what its last reply told beside the observation, such as components of the reward.
        calls: tool calls made in this episode.
        tools: what the episode offers; before the first reset, what a reset without arguments does.
        lost: why the server was lost in this episode, if it was: the reward then measures
            nothing. For trainers that show a tool's error to the model and continue.
    """

    def __init__(self, base_url: str | None = None, environment: str | None = None) -> None:
        self.environment = get_environment(environment)
        remote = Remote(base_url, title=self.environment.title) if base_url else None
        self._backend = remote or InProcess(self.environment)
        self.brief = ""
        self.reward = 0.0
        self.done = False
        self.info: Mapping[str, Any] = {}
        self.calls = 0
        self.tools = self.environment.tools.offered()
        self.lost: ServerError | None = None
        self._turn = threading.Lock()

    def reset(self, row: Mapping[str, Any]) -> str:
        """Start the episode of a dataset row; returns the first user message.

        Columns of the row that are empty, or not arguments of a reset, are ignored.

        Raises:
            InvalidValueError: the reset was refused; says why.
            ServerError: the server cannot be reached.
        """
        arguments = reset_arguments(row, self.environment.name)
        with self._turn:
            opening = self._backend.reset(arguments)
            if opening["status"] == ERROR:
                raise InvalidValueError(
                    "reset", arguments, f"what a reset takes ({opening['message']})"
                )
            self.brief = self.environment.brief(opening)
            self.tools = self.environment.tools.offered(opening)
            self.reward, self.done, self.calls, self.lost = 0.0, False, 0, None
            self.info = {}
        return self.environment.introduction(opening)

    def call(self, name: str, arguments: object) -> str:
        """Call a tool; returns its answer, also to a call that makes no sense.

        Raises:
            ServerError: the server was lost.
        """
        tools = self.tools
        with self._turn:
            self.calls += 1
            if self.done:
                return compact(OVER)
            try:
                action = tools.action(name, arguments)
            except ToolArgumentError as problem:
                return compact({"status": ERROR, "message": str(problem)})
            try:
                observation = self._backend.step(action)
            except ServerError as problem:
                self.lost = problem
                raise
            if observation["done"]:
                self.reward, self.done = float(observation["reward"] or 0.0), True
                self.info = observation.get("info", {})
            return compact(tools.answer(observation))

    def close(self) -> None:
        """Close the connection to the server, if there is one."""
        self._backend.close()


def next_call(
    policy: str,
    answers: Sequence[str],
    environment: str | None = None,
    introduction: str = "",
) -> ToolUse | None:
    """The tool call that a scripted policy makes next: a stand-in for a model.

    Stateless, as models are: the policy is played again from the start each time, with what its
    calls were answered, and with the first user message where it reads that. None if it has
    finished.

    Raises:
        UnknownNameError: there is no such policy; names the nearest.
    """
    found = get_environment(environment)
    player = found.policies[require_name("policy", policy, found.policies)]
    with closing(player.play(found.told(introduction, None))) as moves, suppress(StopIteration):
        action = next(moves)
        for answer in answers:
            action = moves.send(found.told(introduction, json.loads(answer)))
        return found.tools.called(action)
    return None
