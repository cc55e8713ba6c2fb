"""Plays an episode over a server's WebSocket, and replays it after the connection was lost.

Episodes are deterministic: the same reset and the same actions lead to the same state. Therefore,
when a connection, a proxy or the server itself fails, the episode is replayed over a new connection
and the player can continue.

The framework's own client is not used here: importing it takes seconds, and after a lost connection
it continues in a new session without an episode.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from openenv_kit.agent.servers import Server
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.catalogue import DEFAULT_PROSE_FIELDS
from openenv_kit.episode_clients.protocol import ObservationJson
from openenv_kit.episode_clients.retry import (
    CAPACITY_RETRY_PAUSE_S,
    CAPACITY_TIMEOUT_S,
    RetryTimer,
)
from openenv_kit.errors import ServerError
from openenv_kit.network_addresses import is_loopback_host
from openenv_kit.recordings.digest import compute_reply_digest
from openenv_kit.reply import ReplyStatus
from openenv_kit.variables import SERVER_TOKEN_VARIABLE

MAX_REPLY_BYTES = 100 * 2**20
CONNECTION_ERRORS = (OSError, TimeoutError, WebSocketException, EOFError)
"""Errors that a lost connection raises."""
CAPACITY_CODE = "CAPACITY_REACHED"
LOST_SESSION_CODES = ("SESSION_ERROR", CAPACITY_CODE)
"""Error codes of a lost session, whose episode can be replayed in another session."""
ResetObservationJson: TypeAlias = ObservationJson
"""Observation of a reset: the first observation of an episode."""


class RejectedMessageError(ServerError):
    """The server replied to a message with an error.

    Attributes:
        code: error code of the reply, such as CAPACITY_REACHED.
    """

    def __init__(self, error_data: Mapping[str, Any]) -> None:
        self.code = str(error_data.get("code", "UNKNOWN"))
        super().__init__(f"{error_data.get('message', 'No reason was given.')} ({self.code})")


class ReplayingWebSocketEpisode:
    """Plays one episode, and reconnects and replays it after a lost connection.

    It provides the methods of `EpisodeClient`, except `state`, as coroutines.

    Args:
        server: server to connect to. If this run started the server, it is restarted after a crash.
        settings: settings of the run, with its timeouts and its number of reconnections.
        print_status: prints a status message for the user.
        prose_fields: see `Catalogue`. A replayed episode may differ in these fields.

    Attributes:
        reconnects: number of times that the connection was lost and restored.
    """

    def __init__(
        self,
        server: Server,
        settings: AgentSettings,
        print_status: Callable[[str], None],
        *,
        prose_fields: Collection[str] = DEFAULT_PROSE_FIELDS,
    ) -> None:
        self._server = server
        self._settings = settings
        self._print_status = print_status
        self._prose_fields = prose_fields
        self.reconnects = 0
        self._socket: ClientConnection | None = None
        self._reset_arguments: Mapping[str, Any] = {}
        self._actions: list[dict[str, Any]] = []
        self._observation_digests: list[str] = []

    async def reset(self, arguments: Mapping[str, Any]) -> ObservationJson:
        """Connect, start the episode and return its first observation.

        Raises:
            ServerError: there is no connection, or the server rejected the reset.
        """
        self._reset_arguments = arguments
        self._actions, self._observation_digests = [], []
        observation = await self._send_step_or_reset_with_reconnect(None)
        if observation["status"] == ReplyStatus.ERROR:
            raise ServerError(f"The server refused the reset: {observation['message']}")
        self._observation_digests.append(self._compute_observation_digest(observation))
        return observation

    async def step(self, action: Mapping[str, Any]) -> ObservationJson:
        """Send one action and return the observation that follows.

        Raises:
            ServerError: the connection was lost more often than the settings allow, or the
                replayed episode differed.
        """
        observation = await self._send_step_or_reset_with_reconnect(dict(action))
        self._actions.append(dict(action))
        self._observation_digests.append(self._compute_observation_digest(observation))
        return observation

    async def close(self) -> None:
        """Close the connection."""
        socket, self._socket = self._socket, None
        if socket is not None:
            with suppress(*CONNECTION_ERRORS):  # the connection may be lost already
                await socket.send('{"type":"close"}')
                await socket.close()

    async def _send_step_or_reset_with_reconnect(
        self, action: dict[str, Any] | None
    ) -> ObservationJson:
        """Send an action, or the reset if it is None; reconnect if the connection is lost."""
        while True:
            try:
                if self._socket is None:
                    reset_observation = await self._connect_and_replay_episode()
                    if action is None:
                        return reset_observation
                return await self._send_step(action or {})
            except CONNECTION_ERRORS as problem:
                await self.close()
                error_text = _get_error_text_or_type_name(problem)
                if self.reconnects >= self._settings.task_retries:
                    raise ServerError(
                        f"The connection to the environment was lost ({error_text}) "
                        f"and {self.reconnects} retries are used up (OPENENV_TASK_RETRY_COUNT)."
                    ) from problem
                self.reconnects += 1
                self._print_status(
                    f"Lost the environment ({error_text}); reconnecting and "
                    f"replaying {len(self._actions)} steps …"
                )

    async def _connect_and_replay_episode(self) -> ResetObservationJson:
        """Connect, replay all previous actions and return the observation of the reset."""
        reset_observation = await self._connect_and_reset_when_server_has_room()
        self._require_replay_to_equal_original(0, reset_observation)
        for step_number, action in enumerate(self._actions, start=1):
            self._require_replay_to_equal_original(step_number, await self._send_step(action))
        return reset_observation

    async def _connect_and_reset_when_server_has_room(self) -> ResetObservationJson:
        """Connect and reset; wait for a free session if the server is at capacity."""
        timer = RetryTimer(CAPACITY_TIMEOUT_S)
        has_printed_wait = False
        while True:
            self._socket = await self._connect_socket_with_retry()
            try:
                return await self._send_message_and_receive("reset", self._reset_arguments)
            except RejectedMessageError as problem:
                if problem.code != CAPACITY_CODE:
                    raise
                if timer.remaining_s < 0:
                    raise ServerError(
                        f"{problem} No session was free for {CAPACITY_TIMEOUT_S:g} s: lower "
                        "--concurrency, or raise the server's MAX_CONCURRENT_ENVS."
                    ) from problem
            await self.close()
            if not has_printed_wait:
                self._print_status("The environment server is full; waiting for a free session …")
                has_printed_wait = True
            await asyncio.sleep(CAPACITY_RETRY_PAUSE_S)

    async def _connect_socket_with_retry(self) -> ClientConnection:
        """Open a connection; retry while the server is starting, and restart it if it has died."""
        timer = RetryTimer(self._settings.connect_timeout_s)
        address = f"{self._server.url.rstrip('/')}/ws"
        if address.startswith("http"):
            address = f"ws{address.removeprefix('http')}"
        # Checking whether the server has died takes a moment, so the first connection skips it.
        should_check_server = self.reconnects > 0
        while True:
            if should_check_server:
                await self._server.restart_if_dead()
            try:
                return await connect(
                    address,
                    additional_headers=self._server.headers,
                    open_timeout=max(1.0, timer.remaining_s),
                    max_size=MAX_REPLY_BYTES,
                    # Models think for minutes; an unanswered ping would close a healthy connection.
                    ping_interval=None,
                    # Proxies cannot reach loopback addresses. True uses the proxy variables.
                    proxy=None if is_loopback_host(urlsplit(address).hostname or "") else True,
                )
            except CONNECTION_ERRORS as problem:
                should_check_server = True
                if timer.is_expired:
                    is_rejected = "401" in str(problem) or "403" in str(problem)
                    hint = f". The server asks for a token: set {SERVER_TOKEN_VARIABLE}."
                    raise ServerError(
                        f"No connection to {self._server.description} within "
                        f"{self._settings.connect_timeout_s:g} s (OPENENV_CONNECT_TIMEOUT_S): "
                        f"{_get_error_text_or_type_name(problem)}{hint if is_rejected else ''}"
                    ) from problem
            await asyncio.sleep(timer.pause_s)
            timer.increase_next_pause()

    async def _send_step(self, action: dict[str, Any]) -> ObservationJson:
        try:
            return await self._send_message_and_receive("step", action)
        except RejectedMessageError as problem:
            if problem.code in LOST_SESSION_CODES:
                raise ConnectionResetError(str(problem)) from problem
            raise

    async def _send_message_and_receive(
        self, message_type: str, data: Mapping[str, Any]
    ) -> ObservationJson:
        """Send a message, wait for the reply and return its observation with reward and `done`."""
        assert self._socket is not None
        with suppress(ConnectionClosed):  # a reply sent before the close can still be read
            await self._socket.send(json.dumps({"type": message_type, "data": data}))
        async with asyncio.timeout(self._settings.message_timeout_s):
            reply = json.loads(await self._socket.recv())
        reply_data: dict[str, Any] = reply.get("data", {})
        if reply.get("type") == "error":
            raise RejectedMessageError(reply_data)
        return {
            **reply_data["observation"],
            "reward": reply_data.get("reward"),
            "done": bool(reply_data.get("done")),
            "metadata": reply_data.get("metadata") or {},
        }

    def _compute_observation_digest(self, observation: ObservationJson) -> str:
        return compute_reply_digest(observation, self._prose_fields)

    def _require_replay_to_equal_original(
        self, step_number: int, observation: ObservationJson
    ) -> None:
        """Raise a ServerError if a replayed observation differs from the original one."""
        if (
            step_number < len(self._observation_digests)
            and self._compute_observation_digest(observation)
            != self._observation_digests[step_number]
        ):
            raise ServerError(
                "After the connection was lost, the replayed episode differed at step "
                f"{step_number}: the server now runs another version, so the score would not be "
                "valid."
            )


def _get_error_text_or_type_name(error: BaseException) -> str:
    return str(error) or type(error).__name__
