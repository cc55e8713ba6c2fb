"""What the typed WebSocket clients of all environments have in common."""

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
    """One session with a server.

    Args:
        base_url: http(s) or ws(s) address of the server, or of an environment below its name; may
            be left out with a provider.
        options: what the framework's client takes, such as `headers` or `mode`;
            `connect_timeout_s`, the longest wait for the connection, by default 10 seconds, also
            to a server that is starting (a refused connection, or 502, 503 or 504 from a proxy);
            `message_timeout_s`, the longest wait for one reply, by default 60 seconds; `provider`,
            which starts and stops a container or process to talk to.

    The client sends no keepalive pings unless `websocket_ping_interval_s` asks for them: an
    agent thinks for minutes between two steps, and a ping that goes unanswered while its
    event loop is busy would close a healthy socket.

    Attributes:
        observation_type, state_type: models that replies are read into.
        default_base_url: address where neither one nor a provider is given.
    """

    observation_type: ClassVar[type[Any]]
    state_type: ClassVar[type[Any]]
    default_base_url: ClassVar[str] = DEFAULT_BASE_URL

    def __init__(self, base_url: str | None = None, **options: Any) -> None:
        if base_url is None and options.get("provider") is None:
            base_url = self.default_base_url
        silent = {"websocket_ping_interval_s": None, "websocket_ping_timeout_s": None}
        super().__init__(base_url, **{**silent, **options})

    async def _connect_async(self) -> EnvClient[Any, Any, Any]:
        """Connect; a server that is away is tried again, which is logged at once."""
        deadline = time.monotonic() + self._connect_timeout
        is_logged = False
        while True:
            try:
                return await super()._connect_async()
            except ConnectionError as problem:
                # A provider waits for its own server, and has just stopped it.
                is_temporary = _may_be_starting(problem.__cause__) and self._provider is None
                if not is_temporary or time.monotonic() + RECONNECT_PAUSE_S >= deadline:
                    raise
                if not is_logged:
                    LOG.warning("waiting up to %g s: %s", self._connect_timeout, problem)
                    is_logged = True
            await asyncio.sleep(RECONNECT_PAUSE_S)

    def _step_payload(self, action: ActionT | Mapping[str, Any]) -> dict[str, Any]:
        """Payload of an action; a mapping travels as it is, so that the server judges it."""
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
            wrong = ", ".join(dict.fromkeys(str(each["loc"][0]) for each in problem.errors()[:3]))
            raise ServerError(
                f"{type(self).__name__} cannot read this server's observation ({wrong}): it is no "
                f"{self.observation_type.__name__}. Does the address serve another environment?"
            ) from None
        return StepResult(observation=observation, reward=reward, done=done, metadata=metadata)

    def _parse_state(self, payload: dict[str, Any]) -> StateT:
        state: StateT = self.state_type.model_validate(payload)
        return state


def _may_be_starting(error: BaseException | None) -> bool:
    """Whether a connection failed as it does while a server starts."""
    if isinstance(error, InvalidStatus):
        return error.response.status_code in UNAVAILABLE_STATUSES
    is_final = isinstance(error, socket.gaierror | ssl.SSLError)
    return isinstance(error, OSError) and not is_final
