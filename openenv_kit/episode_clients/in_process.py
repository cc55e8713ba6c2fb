"""Plays an episode against a session in this process, without a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic_core import to_jsonable_python

from openenv_kit.environment import Environment, Session, get_environment
from openenv_kit.episode_clients.protocol import ObservationJson
from openenv_kit.reply import Reply, ReplyStatus, observation_from_reply

ResetSession = Callable[[Session, Mapping[str, Any]], Reply]
"""Function that resets a session with the reset arguments of a client."""


def reset_session(session: Session, arguments: Mapping[str, Any]) -> Reply:
    """Reset a session without applying a server's limits."""
    return session.reset(**arguments)


def observation_json_from_reply(reply: Reply) -> ObservationJson:
    """Convert a reply to the observation that a server would send, as JSON values."""
    observation: ObservationJson = to_jsonable_python(observation_from_reply(reply))
    return observation


class ExecutedStep(NamedTuple):
    """A step of an episode, with the result of its slow computation, if there was one."""

    action: Mapping[str, Any]
    slow_result: dict[str, Any] | None


class InProcessEpisode:
    """Plays episodes in a new session; see `EpisodeClient`.

    A pickled client contains the reset and the actions of its episode. They are executed again
    when it is loaded.

    Args:
        environment: environment of the episodes.
        debug: whether replies contain the answers.
        reset_session: function that resets the session; servers pass one that applies limits.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        debug: bool = False,
        reset_session: ResetSession = reset_session,
    ) -> None:
        self._environment = environment
        self._debug = debug
        self._reset_session = reset_session
        self._session = environment.create_session(debug=debug)
        self._reset_arguments: Mapping[str, Any] | None = None
        self._executed_steps: list[ExecutedStep] = []

    def reset(self, arguments: Mapping[str, Any]) -> ObservationJson:
        reply = self._reset_session(self._session, arguments)
        # A rejected reset leaves the running episode unchanged.
        if reply.status != ReplyStatus.ERROR:
            self._reset_arguments, self._executed_steps = dict(arguments), []
        return observation_json_from_reply(reply)

    def step(self, action: Mapping[str, Any]) -> ObservationJson:
        reply = self._session.step(action)
        self._executed_steps.append(ExecutedStep(action, self._session.last_slow_result))
        return observation_json_from_reply(reply)

    def state(self) -> dict[str, Any]:
        return self._session.state().model_dump()

    def close(self) -> None:
        """Do nothing, because there is no connection to close."""

    def __getstate__(self) -> dict[str, Any]:
        return {
            "environment": self._environment.name,
            "debug": self._debug,
            "reset_session": self._reset_session,
            "reset": self._reset_arguments,
            "steps": self._executed_steps,
        }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        InProcessEpisode.__init__(
            self,
            get_environment(state["environment"]),
            debug=state["debug"],
            reset_session=state["reset_session"],
        )
        if state["reset"] is not None:
            self.reset(state["reset"])
        for step in state["steps"]:
            self._session.repeat_stored_step(step.action, step.slow_result)
            self._executed_steps.append(step)
