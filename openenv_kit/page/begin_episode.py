"""Starts a visitor's episode and makes the opening calls of its environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from openenv_kit.episode_clients.protocol import EpisodeClient
from openenv_kit.errors import KitError
from openenv_kit.page.environment_view import EnvironmentView
from openenv_kit.page.visitor import Visitor
from openenv_kit.reply import ReplyStatus

MAX_OPENING_CALLS = 5
"""Maximum number of calls that the page makes automatically after a reset."""


def begin_episode(
    environment_view: EnvironmentView,
    visitor: Visitor,
    reset: Mapping[str, Any],
    connect: Callable[[], EpisodeClient] | None = None,
) -> None:
    """Start an episode and make the opening calls, unless the visitor has disabled them.

    Args:
        environment_view: view of the environment.
        visitor: visitor who plays the episode.
        reset: reset arguments of the episode.
        connect: function that creates the client for the episode; None to use the visitor's own
            function.
    """
    reply = visitor.start_episode_through(connect or visitor.connect, reset)
    if reply["status"] != ReplyStatus.ERROR and visitor.may_read_data:
        make_opening_calls(environment_view, visitor)


def make_opening_calls(environment_view: EnvironmentView, visitor: Visitor) -> None:
    """Make the environment's opening calls as steps of the episode, then select the initial item.

    Stop at the first rejected call, because later calls depend on earlier replies.
    """
    for _ in range(MAX_OPENING_CALLS):
        call = environment_view.next_opening_call(visitor.playback_steps)
        if call is None or visitor.is_done or visitor.problem:
            break
        try:
            visitor.call_tool(call.tool, call.arguments)
        except KitError as problem:
            visitor.problem = str(problem)
    visitor.opening_step_count = visitor.step_count
    if not visitor.selection:
        visitor.selection = environment_view.initial_selection(visitor.playback_steps)
