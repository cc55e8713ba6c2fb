"""Plays an episode over a server's WebSocket, through the framework's typed client.

The calls block. The sockets of all clients are served by one event loop in a background thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

from openenv.core.client_types import StepResult
from websockets.protocol import State

from openenv_kit.client import TypedClient
from openenv_kit.environment import Environment
from openenv_kit.episode_clients.protocol import ObservationJson
from openenv_kit.episode_clients.retry import REPLY_TIMEOUT_S
from openenv_kit.errors import ServerError

ResultT = TypeVar("ResultT")


class WebSocketEpisode:
    """Plays episodes in one session of a server; see `EpisodeClient`.

    Every call, including the constructor, raises a ServerError if the server does not reply.

    Args:
        environment: environment whose models are used to parse the replies.
        url: http URL of the environment on the server.
        headers: HTTP headers of the handshake, such as the bearer token.
    """

    def __init__(self, environment: Environment, url: str, headers: Mapping[str, str]) -> None:
        self._client = _build_typed_client_class(environment)(
            url, message_timeout_s=REPLY_TIMEOUT_S, headers=dict(headers)
        )
        self._episode_connection: object = None
        _run_in_background_loop(lambda: self._client.connect())

    def reset(self, arguments: Mapping[str, Any]) -> ObservationJson:
        result = _run_in_background_loop(lambda: self._client.reset(**arguments))
        self._episode_connection = self._client._ws
        return _observation_json_from_result(result)

    def step(self, action: Mapping[str, Any]) -> ObservationJson:
        async def step_on_same_connection() -> StepResult[Any]:
            self._require_connection_of_episode()
            return await self._client.step(action)

        return _observation_json_from_result(_run_in_background_loop(step_on_same_connection))

    def state(self) -> dict[str, Any]:
        return dict(_run_in_background_loop(lambda: self._client.state()).model_dump())

    def _require_connection_of_episode(self) -> None:
        """Check that the connection on which the episode was reset is open.

        The framework's client replaces a closed connection, but the new session has no episode.

        Raises:
            ConnectionError: the connection was closed, and its episode with it.
        """
        connection = self._client._ws
        is_same = connection is not None and connection is self._episode_connection
        if not (is_same and connection.state is State.OPEN):
            raise ConnectionError("the connection of the episode was closed")

    def close(self) -> None:
        """Start closing the session and return immediately."""

        async def close_client() -> None:
            with suppress(Exception):  # the connection may be closed already
                await self._client.close()

        asyncio.run_coroutine_threadsafe(close_client(), _get_or_start_background_loop())


def _build_typed_client_class(environment: Environment) -> type[TypedClient[Any, Any, Any]]:
    models = environment.wire_models

    class EnvironmentClient(TypedClient[Any, Any, Any]):
        observation_type = models.observation
        state_type = models.state

    return EnvironmentClient


def _observation_json_from_result(result: StepResult[Any]) -> ObservationJson:
    return {
        **result.observation.model_dump(mode="json"),
        "reward": result.reward,
        "done": result.done,
    }


@cache
def _get_or_start_background_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop of all clients, which runs in a daemon thread."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="page-sockets", daemon=True).start()
    return loop


def _run_in_background_loop(call: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """Run an asynchronous call in the background loop and return its result.

    Raises:
        ServerError: the call failed, or took longer than `REPLY_TIMEOUT_S`.
    """

    async def run_call() -> ResultT:
        return await call()  # called here, because the client requires a running event loop

    try:
        future = asyncio.run_coroutine_threadsafe(run_call(), _get_or_start_background_loop())
        return future.result(REPLY_TIMEOUT_S)
    except Exception as problem:  # errors of the socket and of the framework, or a timeout
        reason = str(problem) or type(problem).__name__
        raise ServerError(f"The server did not answer: {reason}") from problem
