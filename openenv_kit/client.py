"""Base class of the typed WebSocket clients of all environments."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from openenv.core.client_types import StepResult
from openenv.core.env_client import EnvClient
from openenv.core.env_server.types import Action, Observation, State
from pydantic import ValidationError
from websockets.exceptions import InvalidStatus

from openenv_kit.episode_clients.retry import UNAVAILABLE_STATUSES
from openenv_kit.errors import ServerError

ActionT = TypeVar("ActionT", bound=Action)
ObservationT = TypeVar("ObservationT", bound=Observation)
StateT = TypeVar("StateT", bound=State)

LOG = logging.getLogger("openenv_kit.client")
RECONNECT_PAUSE_S = 0.5
DEFAULT_BASE_URL = "http://127.0.0.1:8000"


class TypedClient(EnvClient[ActionT, ObservationT, StateT], Generic[ActionT, ObservationT, StateT]):
    """WebSocket client for one session on an environment server.

    The client sends no keepalive pings unless `websocket_ping_interval_s` is set. A model may think
    for minutes between two steps, and an unanswered ping while the event loop is busy would close a
    healthy connection.

    Args:
        base_url: http(s) or ws(s) URL of the server, or of an environment on the server. Not needed
            if `provider` is given.
        options: options of the framework's client, such as `headers` or `mode`.
            `connect_timeout_s` is the longest wait for a connection, 10 seconds by default. While a
            server starts (connection refused, or HTTP status 502, 503 or 504), the client retries
            until this timeout. `message_timeout_s` is the longest wait for a reply, 60 seconds by
            default. `provider` starts and stops a container or process that runs the server.

    Attributes:
        observation_type, state_type: models of observations and states.
        default_base_url: URL that is used if neither a URL nor a provider is given.
    """

    observation_type: ClassVar[type[Any]]
    state_type: ClassVar[type[Any]]
    default_base_url: ClassVar[str] = DEFAULT_BASE_URL

    def __init__(self, base_url: str | None = None, **options: Any) -> None:
        if base_url is None and options.get("provider") is None:
            base_url = self.default_base_url
        no_pings = {"websocket_ping_interval_s": None, "websocket_ping_timeout_s": None}
        super().__init__(base_url, **{**no_pings, **options})

    async def _connect_async(self) -> EnvClient[Any, Any, Any]:
        """Connect to the server. While it is starting, retry until the timeout."""
        deadline = time.monotonic() + self._connect_timeout
        is_logged = False
        while True:
            try:
                return await super()._connect_async()
            except ConnectionError as problem:
                # A provider waits until its server has started, and stops it on failure.
                is_temporary = (
                    _is_error_of_starting_server(problem.__cause__) and self._provider is None
                )
                if not is_temporary or time.monotonic() + RECONNECT_PAUSE_S >= deadline:
                    raise
                if not is_logged:
                    LOG.warning("waiting up to %g s: %s", self._connect_timeout, problem)
                    is_logged = True
            await asyncio.sleep(RECONNECT_PAUSE_S)

    def _step_payload(self, action: ActionT | Mapping[str, Any]) -> dict[str, Any]:
        """Convert an action to the payload of a step message; a mapping is sent unchanged."""
        if isinstance(action, Mapping):
            return dict(action)
        payload: dict[str, Any] = action.model_dump(exclude_defaults=True)
        return payload

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[ObservationT]:
        reward, done = payload.get("reward"), bool(payload.get("done", False))
        metadata = payload.get("metadata")
        fields = {**payload.get("observation", {}), "reward": reward, "done": done}
        try:
            observation = self.observation_type.model_validate(fields)
        except ValidationError as problem:
            wrong_fields = dict.fromkeys(str(error["loc"][0]) for error in problem.errors()[:3])
            raise ServerError(
                f"{type(self).__name__} cannot read the server's observation as a "
                f"{self.observation_type.__name__} (wrong fields: {', '.join(wrong_fields)}). "
                "Does the address serve another environment?"
            ) from None
        return StepResult(observation=observation, reward=reward, done=done, metadata=metadata)

    def _parse_state(self, payload: dict[str, Any]) -> StateT:
        state: StateT = self.state_type.model_validate(payload)
        return state


def _is_error_of_starting_server(error: BaseException | None) -> bool:
    """Return whether a connection error is typical of a server that is still starting."""
    if isinstance(error, InvalidStatus):
        return error.response.status_code in UNAVAILABLE_STATUSES
    is_final = isinstance(error, socket.gaierror | ssl.SSLError)
    return isinstance(error, OSError) and not is_final
