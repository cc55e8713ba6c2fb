"""How a visitor's episode is played: through the typed client, over the server's own WebSocket.

The page knows of an episode what its replies tell, as any other client does. Where no server is
known, as in a test without one, the same replies come from a session in process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from pydantic_core import to_jsonable_python

from openenv_kit.client import TypedClient
from openenv_kit.environment import Environment, Reply
from openenv_kit.errors import ServerError
from openenv_kit.reply import observation_from_reply
from openenv_kit.reset_limits import reset_within_limits
from openenv_kit.serving.settings import current_settings

ObservationJson = dict[str, Any]
"""An observation as JSON: the fields that the wire has, `reward` and `done` among them."""
REPLY_TIMEOUT_S = 60.0
"""Longest wait for one reply, in seconds."""


def observation_json_from_reply(reply: Reply) -> ObservationJson:
    """A reply as JSON, as the wire tells it."""
    return dict(to_jsonable_python(observation_from_reply(reply)))


class JsonInProcessEpisode:
    """A session of this process: arguments and actions as a client sends them, replies as JSON."""

    def __init__(self, environment: Environment, *, debug: bool = False) -> None:
        self._environment = environment
        self._session = environment.create_session(debug=debug)

    def reset(self, arguments: Mapping[str, Any]) -> ObservationJson:
        return observation_json_from_reply(
            reset_within_limits(self._environment, self._session, arguments, current_settings())
        )

    def step(self, action: Mapping[str, Any]) -> ObservationJson:
        return observation_json_from_reply(self._session.step(action))

    def state(self) -> ObservationJson:
        return self._session.state().model_dump()

    def close(self) -> None:
        """Nothing is held open."""


class WebSocketEpisode:
    """A session over a server's WebSocket; each call may raise a ServerError.

    Args:
        environment: whose models read the replies.
        url: http address of the environment on this machine.
        headers: sent with the handshake, such as the bearer token.
    """

    def __init__(self, environment: Environment, url: str, headers: Mapping[str, str]) -> None:
        models = environment.wire_models
        types = {"observation_type": models.observation, "state_type": models.state}
        kind: type[TypedClient[Any, Any, Any]] = type("PageClient", (TypedClient,), types)
        self._client = kind(url, message_timeout_s=REPLY_TIMEOUT_S, headers=dict(headers))
        _run_on_websocket_loop(lambda: self._client.connect())

    def reset(self, arguments: Mapping[str, Any]) -> ObservationJson:
        return _observation_from_result(
            _run_on_websocket_loop(lambda: self._client.reset(**arguments))
        )

    def step(self, action: Mapping[str, Any]) -> ObservationJson:
        return _observation_from_result(_run_on_websocket_loop(lambda: self._client.step(action)))

    def state(self) -> ObservationJson:
        return dict(_run_on_websocket_loop(lambda: self._client.state()).model_dump())

    def close(self) -> None:
        async def closing() -> None:
            with suppress(Exception):  # gone already
                await self._client.close()

        asyncio.run_coroutine_threadsafe(closing(), _websocket_loop())


EpisodeClient = JsonInProcessEpisode | WebSocketEpisode


def _observation_from_result(result: Any) -> ObservationJson:
    return {
        **result.observation.model_dump(mode="json"),
        "reward": result.reward,
        "done": result.done,
    }


@cache
def _websocket_loop() -> asyncio.AbstractEventLoop:
    """One event loop for the sockets of all visitors, in a thread of its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="page-sockets", daemon=True).start()
    return loop


def _run_on_websocket_loop(make_call: Callable[[], Any]) -> Any:
    async def answer() -> Any:
        return await make_call()  # the client looks at whether a loop runs where it is called

    try:
        return asyncio.run_coroutine_threadsafe(answer(), _websocket_loop()).result(REPLY_TIMEOUT_S)
    except Exception as problem:  # the socket's, the framework's, or a wait that was too long
        reason = str(problem) or type(problem).__name__
        raise ServerError(f"The server did not answer: {reason}") from problem
