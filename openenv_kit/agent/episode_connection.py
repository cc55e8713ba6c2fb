"""One episode over a socket that may break.

Episodes are deterministic: the same reset and the same actions lead to the same state. So after
a loss, whether of the socket, a proxy or the server itself, the episode is replayed over a new
connection, and the player never notices.

Messages go over one WebSocket, one after the other. The framework's own client would bring the
framework with it, which takes seconds to import, and after a loss it goes on in a new session
without an episode.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from openenv_kit.agent.servers import PrintStatus, Server
from openenv_kit.agent.settings import SERVER_TOKEN_VARIABLE, AgentSettings
from openenv_kit.errors import ServerError
from openenv_kit.network_addresses import is_loopback
from openenv_kit.recordings.digest import compute_reply_digest
from openenv_kit.reply import ReplyStatus
from openenv_kit.tool import DEFAULT_PROSE_FIELDS

MAX_REPLY_BYTES = 100 * 2**20
CONNECTION_ERRORS = (OSError, TimeoutError, WebSocketException, EOFError)
"""What a lost connection raises."""
CAPACITY_CODE = "CAPACITY_REACHED"
LOST_SESSION_CODES = ("SESSION_ERROR", CAPACITY_CODE)
"""Codes of errors that end the session; its episode can be replayed in another."""
CAPACITY_RETRY_PAUSE_S = 0.5
CAPACITY_TIMEOUT_S = 1800.0
"""Longest wait for a session; most are held by this run's own episodes."""
FIRST_RECONNECT_PAUSE_S = 0.2
MAX_RECONNECT_PAUSE_S = 3.0

Observation = dict[str, Any]


class RejectedMessageError(ServerError):
    """The server answered a message with an error.

    Attributes:
        code: which one, such as CAPACITY_REACHED.
    """

    def __init__(self, error_data: Mapping[str, Any]) -> None:
        self.code = str(error_data.get("code", "UNKNOWN"))
        super().__init__(f"{error_data.get('message', 'No reason was given.')} ({self.code})")


@dataclass
class EpisodeConnection:
    """Plays one episode and survives losses of the connection.

    Attributes:
        reset_arguments: arguments of the reset.
        print_status: told about every loss.
        reconnects: times the connection was lost and restored.
        prose_fields: see `Catalogue`; a replay after a lost connection may differ in them.
    """

    server: Server
    settings: AgentSettings
    reset_arguments: Mapping[str, Any]
    print_status: PrintStatus
    reconnects: int = 0
    prose_fields: Collection[str] = DEFAULT_PROSE_FIELDS
    _socket: ClientConnection | None = None
    _actions: list[dict[str, Any]] = field(default_factory=list)
    _observation_digests: list[str] = field(default_factory=list)

    async def start_episode(self) -> Observation:
        """Connect and reset.

        Raises:
            ServerError: no connection, or the server refused the reset.
        """
        opening = await self._send_with_reconnect(None)
        if opening["status"] == ReplyStatus.ERROR:
            raise ServerError(f"The server refused the reset: {opening['message']}")
        self._observation_digests.append(self._compute_digest(opening))
        return opening

    async def step(self, action: Mapping[str, Any]) -> Observation:
        """One step.

        Raises:
            ServerError: the connection was lost more often than the settings allow, or the
                replayed episode differed.
        """
        observation = await self._send_with_reconnect(dict(action))
        self._actions.append(dict(action))
        self._observation_digests.append(self._compute_digest(observation))
        return observation

    async def close(self) -> None:
        """Close the connection."""
        socket, self._socket = self._socket, None
        if socket is not None:
            with suppress(*CONNECTION_ERRORS):  # gone already
                await socket.send('{"type":"close"}')
                await socket.close()

    async def _send_with_reconnect(self, action: dict[str, Any] | None) -> Observation:
        """Take an action (None: reset), over as many connections as the settings allow."""
        while True:
            try:
                if self._socket is None:
                    opening = await self._connect_and_replay()
                    if action is None:
                        return opening
                return await self._send_step(action or {})
            except CONNECTION_ERRORS as loss:
                await self.close()
                if self.reconnects >= self.settings.task_retries:
                    raise ServerError(
                        f"The connection to the environment was lost ({_describe_error(loss)}) and "
                        f"{self.reconnects} retries are used up (OPENENV_TASK_RETRY_COUNT)."
                    ) from loss
                self.reconnects += 1
                self.print_status(
                    f"Lost the environment ({_describe_error(loss)}); connecting again and "
                    f"replaying {len(self._actions)} steps …"
                )

    async def _connect_and_replay(self) -> Observation:
        """Connect and replay the episode so far; returns the reset's reply."""
        opening = await self._connect_and_reset()
        self._check_replayed_observation(0, opening)
        for number, action in enumerate(self._actions, start=1):
            self._check_replayed_observation(number, await self._send_step(action))
        return opening

    async def _connect_and_reset(self) -> Observation:
        """Connect and reset; a full server is asked until it has room."""
        deadline = time.monotonic() + CAPACITY_TIMEOUT_S
        said = False
        while True:
            self._socket = await self._connect_socket()
            try:
                return await self._send_message("reset", self.reset_arguments)
            except RejectedMessageError as refusal:
                if refusal.code != CAPACITY_CODE:
                    raise
                if time.monotonic() > deadline:
                    raise ServerError(
                        f"{refusal} No session was free for {CAPACITY_TIMEOUT_S:g} s: lower "
                        "--concurrency, or raise the server's MAX_CONCURRENT_ENVS."
                    ) from refusal
            await self.close()
            if not said:
                self.print_status("The environment server is full; waiting for a free session …")
                said = True
            await asyncio.sleep(CAPACITY_RETRY_PAUSE_S)

    async def _connect_socket(self) -> ClientConnection:
        """A new connection; waits for a server that is starting or full."""
        deadline = time.monotonic() + self.settings.connect_timeout_s
        address = f"{self.server.url.rstrip('/')}/ws"
        if address.startswith("http"):
            address = f"ws{address.removeprefix('http')}"
        pause = FIRST_RECONNECT_PAUSE_S
        lost = self.reconnects > 0  # reviving waits for a moment, which no first connection needs
        while True:
            if lost:
                await self.server.restart_if_dead()
            try:
                return await connect(
                    address,
                    additional_headers=self.server.headers,
                    open_timeout=max(1.0, deadline - time.monotonic()),
                    max_size=MAX_REPLY_BYTES,
                    # Models think for minutes; an unanswered ping would close a healthy socket.
                    ping_interval=None,
                    # No proxy reaches this machine's own addresses; True: what variables name.
                    proxy=None if is_loopback(urlsplit(address).hostname or "") else True,
                )
            except CONNECTION_ERRORS as problem:
                lost = True
                if time.monotonic() + pause > deadline:
                    refused = "401" in str(problem) or "403" in str(problem)
                    hint = f". The server asks for a token: set {SERVER_TOKEN_VARIABLE}."
                    raise ServerError(
                        f"No connection to {self.server.description} within "
                        f"{self.settings.connect_timeout_s:g} s (OPENENV_CONNECT_TIMEOUT_S): "
                        f"{_describe_error(problem)}{hint if refused else ''}"
                    ) from problem
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_RECONNECT_PAUSE_S)

    async def _send_step(self, action: dict[str, Any]) -> Observation:
        try:
            return await self._send_message("step", action)
        except RejectedMessageError as refusal:
            if refusal.code in LOST_SESSION_CODES:
                raise ConnectionResetError(str(refusal)) from refusal
            raise

    async def _send_message(self, message_type: str, data: Mapping[str, Any]) -> Observation:
        """The observation that answers a message, with reward and end as the reply has them."""
        assert self._socket is not None
        with suppress(ConnectionClosed):  # what it said before it closed can still be read
            await self._socket.send(json.dumps({"type": message_type, "data": data}))
        async with asyncio.timeout(self.settings.message_timeout_s):
            reply = json.loads(await self._socket.recv())
        answer: dict[str, Any] = reply.get("data", {})
        if reply.get("type") == "error":
            raise RejectedMessageError(answer)
        reported = {"reward": answer.get("reward"), "done": bool(answer.get("done"))}
        return {**answer["observation"], **reported, "metadata": answer.get("metadata") or {}}

    def _compute_digest(self, observation: Observation) -> str:
        return compute_reply_digest(observation, self.prose_fields)

    def _check_replayed_observation(self, step_number: int, observation: Observation) -> None:
        if (
            step_number < len(self._observation_digests)
            and self._compute_digest(observation) != self._observation_digests[step_number]
        ):
            raise ServerError(
                "After the connection was lost, the replayed episode differed at step "
                f"{step_number}: the server now runs another version, and the "
                "score would mean nothing."
            )


def _describe_error(error: BaseException) -> str:
    return str(error) or type(error).__name__
