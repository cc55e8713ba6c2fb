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
from openenv_kit.rollouts.run_policy import observed
from openenv_kit.serving.openenv_adapter import begin
from openenv_kit.serving.settings import settings

Seen = dict[str, Any]
"""An observation as JSON: the fields that the wire has, `reward` and `done` among them."""
PATIENCE_S = 60.0
"""Longest wait for one reply, in seconds."""


def seen_of(reply: Reply) -> Seen:
    """A reply as JSON, as the wire tells it."""
    return dict(to_jsonable_python(observed(reply)))


class InProcess:
    """A session of this process: arguments and actions as a client sends them, replies as JSON."""

    def __init__(self, environment: Environment, *, debug: bool = False) -> None:
        self._environment = environment
        self._session = environment.session(debug=debug)

    def reset(self, arguments: Mapping[str, Any]) -> Seen:
        return seen_of(begin(self._environment, self._session, arguments, settings()))

    def step(self, action: Mapping[str, Any]) -> Seen:
        return seen_of(self._session.step(action))

    def state(self) -> Seen:
        return self._session.state().model_dump()

    def close(self) -> None:
        """Nothing is held open."""


class Socket:
    """A session over a server's WebSocket; each call may raise a ServerError.

    Args:
        environment: whose models read the replies.
        url: http address of the environment on this machine.
        headers: sent with the handshake, such as the bearer token.
    """

    def __init__(self, environment: Environment, url: str, headers: Mapping[str, str]) -> None:
        models = environment.models
        types = {"observation_type": models.observation, "state_type": models.state}
        kind: type[TypedClient[Any, Any, Any]] = type("PageClient", (TypedClient,), types)
        self._client = kind(url, message_timeout_s=PATIENCE_S, headers=dict(headers))
        _run(lambda: self._client.connect())

    def reset(self, arguments: Mapping[str, Any]) -> Seen:
        return _seen(_run(lambda: self._client.reset(**arguments)))

    def step(self, action: Mapping[str, Any]) -> Seen:
        return _seen(_run(lambda: self._client.step(action)))

    def state(self) -> Seen:
        return dict(_run(lambda: self._client.state()).model_dump())

    def close(self) -> None:
        async def closing() -> None:
            with suppress(Exception):  # gone already
                await self._client.close()

        asyncio.run_coroutine_threadsafe(closing(), _loop())


Link = InProcess | Socket


def _seen(result: Any) -> Seen:
    return {
        **result.observation.model_dump(mode="json"),
        "reward": result.reward,
        "done": result.done,
    }


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """One event loop for the sockets of all visitors, in a thread of its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="page-sockets", daemon=True).start()
    return loop


def _run(ask: Callable[[], Any]) -> Any:
    async def answer() -> Any:
        return await ask()  # the client looks at whether a loop runs where it is called

    try:
        return asyncio.run_coroutine_threadsafe(answer(), _loop()).result(PATIENCE_S)
    except Exception as problem:  # the socket's, the framework's, or a wait that was too long
        reason = str(problem) or type(problem).__name__
        raise ServerError(f"The server did not answer: {reason}") from problem
