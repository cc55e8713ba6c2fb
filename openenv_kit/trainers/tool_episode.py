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

from openenv_kit.datasets.row_values import read_row, read_value
from openenv_kit.datasets.split_rows import reset_arguments
from openenv_kit.datasets.task_sampling import CHOOSING, default_reset, draw_task, names_task
from openenv_kit.environment import ERROR, get_environment
from openenv_kit.episode_clients.http import InProcess, Remote
from openenv_kit.errors import (
    InvalidValueError,
    RefusedResetError,
    ServerError,
    ToolArgumentError,
    UnknownNameError,
    require_name,
)
from openenv_kit.session import COMPONENTS, GROUNDED, REWARDS
from openenv_kit.tool import Catalogue, compact

OVER = {"status": "completed", "message": "The episode is over; this call changed nothing."}
"""The answer to a call after the end."""

ToolUse = tuple[str, dict[str, Any]]
"""Name and arguments of a tool call."""


class _Started(NamedTuple):
    """Reset arguments of an episode and the observation that they were answered with."""

    arguments: Mapping[str, Any]
    opening: Mapping[str, Any]


class ToolEpisode:
    """An episode played by tool calls, one at a time even when they come from several threads.

    The first final reward stands: once the episode is over, no further call changes `reward`
    or reaches the server, which may have forgotten the episode by then. An episode can be pickled;
    the copy continues it, on a server over a connection of its own.

    Args:
        base_url: server to play on; None for this process.
        environment: name of what is played.
        defaults: reset arguments of episodes whose row names no task, such as `split`.

    Attributes:
        brief: the system prompt; empty before the first reset.
        done: whether the episode is over.
        info: what its last reply told beside the observation, such as components of the reward.
        calls: tool calls made in this episode.
        tools: what the episode offers; before the first reset, what a reset without arguments does.
    """

    def __init__(
        self,
        base_url: str | None = None,
        environment: str | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        self.environment = get_environment(environment)
        self._defaults = dict(defaults or {})
        remote = Remote(base_url, self.environment) if base_url else None
        self._backend: InProcess | Remote = remote or InProcess(self.environment)
        self.brief = ""
        self._reward = 0.0
        self.done = False
        self.info: Mapping[str, Any] = {}
        self.calls = 0
        self._opening: Mapping[str, Any] = default_reset(self.environment, self._defaults)
        self.tools = self.environment.tools.offered(self._opening)
        self._lost: ServerError | None = None
        self._turn = threading.Lock()

    @property
    def reward(self) -> float:
        """Score of the episode in [0, 1]; 0.0 until it is over.

        Raises:
            ServerError: the server was lost before the end, so that nothing was measured. Some
                trainers show a tool's error to the model and continue: this one reaches them.
        """
        if self._lost and not self.done:
            raise self._lost
        return self._reward

    @property
    def metrics(self) -> dict[str, float]:
        """What trainers log beside the reward; without a report all but `tool_calls` are 0.

        What each reward would have paid, the shares of the score, and `grounded`.
        """
        paid = {**dict.fromkeys(REWARDS, 0.0), **self.info.get(COMPONENTS, {})}
        paid[GROUNDED] = self.info.get(GROUNDED) or 0.0
        return {"tool_calls": self.calls, "submitted": self.done, **paid}

    def reset(self, row: Mapping[str, Any] | None = None, offered: Sequence[str] = ()) -> str:
        """Start the episode of a dataset row; returns the first user message.

        Columns of the row that are empty, or not arguments of a reset, are ignored. A row that
        names no task starts another task of the split each time; see `draw_task`.

        Args:
            row: the dataset row.
            offered: names of the tools that the player was offered beforehand; empty where they
                are taken from the episode.

        Raises:
            InvalidValueError: the reset was refused, or the row is of another environment, or
                its episode has other tools than were offered; says why.
            ServerError: the server cannot be reached, or serves another environment.
        """
        played = self.environment.name
        row = read_row(row)
        row_environment = read_value(row.get("environment"))
        if row_environment not in (None, played):
            wanted = f"{played!r}, which the player was made for"
            raise InvalidValueError("the row's environment", row_environment, wanted)
        with self._turn:
            arguments, opening = self._start(reset_arguments(row, played))
            tools = self.environment.tools.offered(opening)
            fitting = self._fitting_tools(arguments, tools)
            if offered and set(offered) not in [set(each.names) for each in fitting]:
                raise InvalidValueError(
                    "reset",
                    arguments,
                    "an episode with the tools that the player was offered: "
                    f"{', '.join(offered)}. This one has {', '.join(tools.names)}",
                )
            self.brief, self.tools = self.environment.brief(opening), tools
            self._opening = opening
            self._reward, self.done, self.calls, self._lost = 0.0, False, 0, None
            self.info = {}
        return self.environment.tools.introduction(opening)

    def _start(self, arguments: Mapping[str, Any]) -> _Started:
        """Start the episode with these reset arguments, or of a task drawn for them."""
        chosen = arguments if names_task(arguments) else {**self._defaults, **arguments}
        is_drawn = not names_task(chosen)
        try:
            tried = draw_task(self.environment, chosen) if is_drawn else chosen
        except UnknownNameError as problem:
            raise RefusedResetError(chosen, str(problem)) from None
        opening = self._backend.reset(tried)
        if opening["status"] == ERROR and is_drawn and arguments:
            # Some arguments configure an episode of their own, for which a split leaves no room.
            tried = arguments
            opening = self._backend.reset(tried)
        if opening["status"] == ERROR:
            raise RefusedResetError(tried, opening["message"])
        return _Started(tried, opening)

    def _fitting_tools(self, arguments: Mapping[str, Any], tools: Catalogue) -> list[Catalogue]:
        """Return the catalogues of tools that a player of an episode may have been offered.

        A split may mix episodes with different tools; players are offered all of them.
        """
        whole = {name: value for name, value in arguments.items() if name != "index"}
        modes = {name: value for name, value in whole.items() if name not in CHOOSING}
        mixed = self.environment.tools.offered(default_reset(self.environment, modes))
        fitting = [tools, self.environment.tools.offered(whole)]
        return [*fitting, mixed] if set(tools.names) <= set(mixed.names) else fitting

    def __getstate__(self) -> dict[str, Any]:
        held = ("_turn", "environment", "tools")
        state = {name: value for name, value in self.__dict__.items() if name not in held}
        return {**state, "environment": self.environment.name}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self.environment = get_environment(state["environment"])
        self.tools = self.environment.tools.offered(self._opening)
        self._turn = threading.Lock()

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
                self._lost = problem
                raise
            if observation["done"]:
                self._reward, self.done = float(observation["reward"] or 0.0), True
                self.info = observation.get("info", {})
            return compact(tools.answer(observation))

    def close(self) -> None:
        """Close the connection to the server, if there is one."""
        self._backend.close()


def texts(messages: Sequence[Mapping[str, Any]], role: str) -> list[str]:
    """Texts of a role's messages of a chat, in order, whether plain or in parts."""
    return message_texts([each for each in messages if each["role"] == role])


def message_texts(messages: Sequence[Any]) -> list[str]:
    """Return the texts of messages, whether plain or in parts; empty where one has no text."""
    contents = [each.get("content") for each in messages if isinstance(each, Mapping)]
    return [
        each if isinstance(each, str) else "".join(part.get("text") or "" for part in each or ())
        for each in contents
    ]


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
    with (
        closing(player.play(found.tools.observed(introduction, None))) as moves,
        suppress(StopIteration),
    ):
        action = next(moves)
        for answer in answers:
            action = moves.send(found.tools.observed(introduction, json.loads(answer)))
        return found.tools.called(action)
    return None
