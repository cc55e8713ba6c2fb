"""One episode as models play it: named tools in, text out.

Tools and words are the environment's own. An answer is one line of JSON, which programs can
read as well as models.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from typing import Any, NamedTuple

from openenv_kit.datasets.row_values import require_row_mapping, to_python_value
from openenv_kit.datasets.split_rows import reset_arguments_from_row
from openenv_kit.datasets.task_sampling import (
    add_default_split,
    draw_task_reset_arguments,
    has_task_selector,
)
from openenv_kit.environment import get_environment
from openenv_kit.episode_clients.http import HttpEpisode, InProcessEpisode
from openenv_kit.errors import (
    InvalidValueError,
    RefusedResetError,
    ServerError,
    ToolArgumentError,
    UnknownNameError,
    require_name,
)
from openenv_kit.json_text import compact_json
from openenv_kit.reply import EVIDENCE_SHARE_KEY, EndInfo, ReplyStatus
from openenv_kit.reset_arguments import get_mode_arguments
from openenv_kit.rewards import COMMON_REWARDS
from openenv_kit.tool import Catalogue, ToolCall

EPISODE_OVER_RESULT = {
    "status": "completed",
    "message": "The episode is over; this call changed nothing.",
}
"""The answer to a call after the end."""


class _StartedEpisode(NamedTuple):
    """Reset arguments of an episode and the observation that they were answered with."""

    arguments: Mapping[str, Any]
    reset_observation: Mapping[str, Any]


class ToolEpisode:
    """An episode played by tool calls, one at a time even when they come from several threads.

    The first final reward stands: once the episode is over, no further call changes `reward`
    or reaches the server, which may have forgotten the episode by then. An episode can be pickled;
    the copy continues it, on a server over a connection of its own.

    Args:
        base_url: server to play on; None for this process.
        environment: name of what is played.
        default_reset_arguments: reset arguments of episodes whose row names no task, such as
            `split`.

    Attributes:
        system_prompt: the system prompt; empty before the first reset.
        is_done: whether the episode is over.
        info: what its last reply told beside the observation, such as components of the reward.
        tool_call_count: tool calls made in this episode.
        tools: what the episode offers; before the first reset, what a reset without arguments does.
    """

    def __init__(
        self,
        base_url: str | None = None,
        environment: str | None = None,
        default_reset_arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self.environment = get_environment(environment)
        self._default_reset_arguments = dict(default_reset_arguments or {})
        remote = HttpEpisode(base_url, self.environment) if base_url else None
        self._backend: InProcessEpisode | HttpEpisode = remote or InProcessEpisode(self.environment)
        self.system_prompt = ""
        self._reward = 0.0
        self.is_done = False
        self.info: Mapping[str, Any] = {}
        self.tool_call_count = 0
        self._reset_observation: Mapping[str, Any] = add_default_split(
            self.environment, self._default_reset_arguments
        )
        self.tools = self.environment.tools.for_episode(self._reset_observation)
        self._server_error: ServerError | None = None
        self._turn = threading.Lock()

    @property
    def reward(self) -> float:
        """Score of the episode in [0, 1]; 0.0 until it is over.

        Raises:
            ServerError: the server was lost before the end, so that nothing was measured. Some
                trainers show a tool's error to the model and continue: this one reaches them.
        """
        if self._server_error and not self.is_done:
            raise self._server_error
        return self._reward

    @property
    def metrics(self) -> dict[str, float]:
        """What trainers log beside the reward; without a report all but `tool_calls` are 0.

        What each reward would have paid, the shares of the score, and `grounded`.
        """
        end_info = EndInfo.from_info(self.info)
        paid = {**{reward.value: 0.0 for reward in COMMON_REWARDS}, **end_info.components}
        paid[EVIDENCE_SHARE_KEY] = end_info.evidence_share or 0.0
        return {"tool_calls": self.tool_call_count, "submitted": self.is_done, **paid}

    def reset(
        self, row: Mapping[str, Any] | None = None, offered_tool_names: Sequence[str] = ()
    ) -> str:
        """Start the episode of a dataset row; returns the first user message.

        Columns of the row that are empty, or not arguments of a reset, are ignored. A row that
        names no task starts another task of the split each time; see `draw_task`.

        Args:
            row: the dataset row.
            offered_tool_names: names of the tools that the player was offered beforehand; empty
                where they are taken from the episode.

        Raises:
            InvalidValueError: the reset was refused, or the row is of another environment, or
                its episode has other tools than were offered; says why.
            ServerError: the server cannot be reached, or serves another environment.
        """
        played = self.environment.name
        row = require_row_mapping(row)
        row_environment = to_python_value(row.get("environment"))
        if row_environment not in (None, played):
            wanted = f"{played!r}, which the player was made for"
            raise InvalidValueError("the row's environment", row_environment, wanted)
        with self._turn:
            arguments, opening = self._start_episode(reset_arguments_from_row(row, played))
            tools = self.environment.tools.for_episode(opening)
            fitting = self._list_acceptable_catalogues(arguments, tools)
            if offered_tool_names and set(offered_tool_names) not in [
                set(each.tool_names) for each in fitting
            ]:
                raise InvalidValueError(
                    "reset",
                    arguments,
                    "an episode with the tools that the player was offered: "
                    f"{', '.join(offered_tool_names)}. This one has {', '.join(tools.tool_names)}",
                )
            self.system_prompt, self.tools = self.environment.system_prompt(opening), tools
            self._reset_observation = opening
            self._reward, self.is_done, self.tool_call_count, self._server_error = (
                0.0,
                False,
                0,
                None,
            )
            self.info = {}
        return self.environment.tools.first_user_message(opening)

    def _start_episode(self, arguments: Mapping[str, Any]) -> _StartedEpisode:
        """Start the episode with these reset arguments, or of a task drawn for them."""
        chosen = (
            arguments
            if has_task_selector(arguments)
            else {**self._default_reset_arguments, **arguments}
        )
        is_drawn = not has_task_selector(chosen)
        try:
            tried = draw_task_reset_arguments(self.environment, chosen) if is_drawn else chosen
        except UnknownNameError as problem:
            raise RefusedResetError(chosen, str(problem)) from None
        opening = self._backend.reset(tried)
        if opening["status"] == ReplyStatus.ERROR and is_drawn and arguments:
            # Some arguments configure an episode of their own, for which a split leaves no room.
            tried = arguments
            opening = self._backend.reset(tried)
        if opening["status"] == ReplyStatus.ERROR:
            raise RefusedResetError(tried, opening["message"])
        return _StartedEpisode(tried, opening)

    def _list_acceptable_catalogues(
        self, arguments: Mapping[str, Any], tools: Catalogue
    ) -> list[Catalogue]:
        """Return the catalogues of tools that a player of an episode may have been offered.

        A split may mix episodes with different tools; players are offered all of them.
        """
        whole = {name: value for name, value in arguments.items() if name != "index"}
        modes = get_mode_arguments(self.environment.reset_arguments, whole)
        mixed = self.environment.tools.for_episode(add_default_split(self.environment, modes))
        fitting = [tools, self.environment.tools.for_episode(whole)]
        return [*fitting, mixed] if set(tools.tool_names) <= set(mixed.tool_names) else fitting

    def __getstate__(self) -> dict[str, Any]:
        held = ("_turn", "environment", "tools")
        state = {name: value for name, value in self.__dict__.items() if name not in held}
        return {**state, "environment": self.environment.name}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self.environment = get_environment(state["environment"])
        self.tools = self.environment.tools.for_episode(self._reset_observation)
        self._turn = threading.Lock()

    def call_tool(self, name: str, arguments: object) -> str:
        """Call a tool; returns its answer, also to a call that makes no sense.

        Raises:
            ServerError: the server was lost.
        """
        tools = self.tools
        with self._turn:
            self.tool_call_count += 1
            if self.is_done:
                return compact_json(EPISODE_OVER_RESULT)
            try:
                action = tools.build_action(name, arguments)
            except ToolArgumentError as problem:
                return compact_json({"status": ReplyStatus.ERROR, "message": str(problem)})
            try:
                observation = self._backend.step(action)
            except ServerError as problem:
                self._server_error = problem
                raise
            if observation["done"]:
                self._reward, self.is_done = float(observation["reward"] or 0.0), True
                self.info = observation.get("info", {})
            return compact_json(tools.format_tool_result(observation))

    def close(self) -> None:
        """Close the connection to the server, if there is one."""
        self._backend.close()


def message_texts_of_role(messages: Sequence[Mapping[str, Any]], role: str) -> list[str]:
    """Texts of a role's messages of a chat, in order, whether plain or in parts."""
    return message_texts([each for each in messages if each["role"] == role])


def message_texts(messages: Sequence[Any]) -> list[str]:
    """Return the texts of messages, whether plain or in parts; empty where one has no text."""
    contents = [each.get("content") for each in messages if isinstance(each, Mapping)]
    return [
        each if isinstance(each, str) else "".join(part.get("text") or "" for part in each or ())
        for each in contents
    ]


def next_scripted_call(
    policy: str,
    tool_results: Sequence[str],
    environment: str | None = None,
    first_user_message: str = "",
) -> ToolCall | None:
    """The tool call that a scripted policy makes next: a stand-in for a model.

    Stateless, as models are: the policy is played again from the start each time, with what its
    calls were answered, and with the first user message where it reads that. None if it has
    finished.

    Raises:
        UnknownNameError: there is no such policy; names the nearest.
    """
    found = get_environment(environment)
    player = found.policies[require_name("policy", policy, found.policies)]
    with (
        closing(
            player.generate_actions(found.tools.observation_from_messages(first_user_message, None))
        ) as moves,
        suppress(StopIteration),
    ):
        action = next(moves)
        for answer in tool_results:
            action = moves.send(
                found.tools.observation_from_messages(first_user_message, json.loads(answer))
            )
        return found.tools.tool_call_of_action(action)
    return None
