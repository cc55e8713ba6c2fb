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
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from openenv_kit.agent.servers import Say, Server
from openenv_kit.agent.settings import TOKEN_VARIABLE, AgentSettings
from openenv_kit.environment import ERROR
from openenv_kit.errors import ServerError
from openenv_kit.network_addresses import is_loopback
from openenv_kit.recordings.format import digest_of

MAX_REPLY_BYTES = 100 * 2**20
LOST = (OSError, TimeoutError, WebSocketException, EOFError)
"""What a lost connection raises."""
NO_ROOM = "CAPACITY_REACHED"
SESSION_GONE = ("SESSION_ERROR", NO_ROOM)
"""Codes of errors that end the session; its episode can be replayed in another."""
NO_ROOM_PAUSE_S = 0.5
NO_ROOM_WAIT_S = 1800.0
"""Longest wait for a session; most are held by this run's own episodes."""
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 3.0

Observation = dict[str, Any]


class RefusalError(ServerError):
    """The server answered a message with an error.

    Attributes:
        code: which one, such as CAPACITY_REACHED.
    """

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.code = str(answer.get("code", "UNKNOWN"))
        super().__init__(f"{answer.get('message', 'No reason was given.')} ({self.code})")


@dataclass
class EpisodeConnection:
    """Plays one episode and survives losses of the connection.

    Attributes:
        reset: arguments of the reset.
        say: told about every loss.
        reconnects: times the connection was lost and restored.
    """

    server: Server
    settings: AgentSettings
    reset: Mapping[str, Any]
    say: Say
    reconnects: int = 0
    _socket: ClientConnection | None = None
    _actions: list[dict[str, Any]] = field(default_factory=list)
    _digests: list[str] = field(default_factory=list)

    async def open(self) -> Observation:
        """Connect and reset.

        Raises:
            ServerError: no connection, or the server refused the reset.
        """
        opening = await self._persist(None)
        if opening["status"] == ERROR:
            raise ServerError(f"The server refused the reset: {opening['message']}")
        self._digests.append(digest_of(opening))
        return opening

    async def step(self, action: Mapping[str, Any]) -> Observation:
        """One step.

        Raises:
            ServerError: the connection was lost more often than the settings allow, or the
                replayed episode differed.
        """
        observation = await self._persist(dict(action))
        self._actions.append(dict(action))
        self._digests.append(digest_of(observation))
        return observation

    async def close(self) -> None:
        """Close the connection."""
        socket, self._socket = self._socket, None
        if socket is not None:
            with suppress(*LOST):  # gone already
                await socket.send('{"type":"close"}')
                await socket.close()

    async def _persist(self, action: dict[str, Any] | None) -> Observation:
        """Take an action (None: reset), over as many connections as the settings allow."""
        while True:
            try:
                if self._socket is None:
                    opening = await self._connect()
                    if action is None:
                        return opening
                return await self._step(action or {})
            except LOST as loss:
                await self.close()
                if self.reconnects >= self.settings.task_retries:
                    raise ServerError(
                        f"The connection to the environment was lost ({_reason(loss)}) and "
                        f"{self.reconnects} retries are used up (OPENENV_TASK_RETRY_COUNT)."
                    ) from loss
                self.reconnects += 1
                self.say(
                    f"Lost the environment ({_reason(loss)}); connecting again and replaying "
                    f"{len(self._actions)} steps …"
                )

    async def _connect(self) -> Observation:
        """Connect and replay the episode so far; returns the reset's reply."""
        opening = await self._begin()
        self._compare(0, opening)
        for number, action in enumerate(self._actions, start=1):
            self._compare(number, await self._step(action))
        return opening

    async def _begin(self) -> Observation:
        """Connect and reset; a full server is asked until it has room."""
        deadline = time.monotonic() + NO_ROOM_WAIT_S
        said = False
        while True:
            self._socket = await self._reach()
            try:
                return await self._ask("reset", self.reset)
            except RefusalError as refusal:
                if refusal.code != NO_ROOM:
                    raise
                if time.monotonic() > deadline:
                    raise ServerError(
                        f"{refusal} No session was free for {NO_ROOM_WAIT_S:g} s: lower "
                        "--concurrency, or raise the server's MAX_CONCURRENT_ENVS."
                    ) from refusal
            await self.close()
            if not said:
                self.say("The environment server is full; waiting for a free session …")
                said = True
            await asyncio.sleep(NO_ROOM_PAUSE_S)

    async def _reach(self) -> ClientConnection:
        """A new connection; waits for a server that is starting or full."""
        deadline = time.monotonic() + self.settings.connect_timeout_s
        address = f"{self.server.url.rstrip('/')}/ws"
        if address.startswith("http"):
            address = f"ws{address.removeprefix('http')}"
        pause = FIRST_PAUSE_S
        lost = self.reconnects > 0  # reviving waits for a moment, which no first connection needs
        while True:
            if lost:
                await self.server.revive()
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
            except LOST as problem:
                lost = True
                if time.monotonic() + pause > deadline:
                    refused = "401" in str(problem) or "403" in str(problem)
                    hint = f". The server asks for a token: set {TOKEN_VARIABLE}."
                    raise ServerError(
                        f"No connection to {self.server.description} within "
                        f"{self.settings.connect_timeout_s:g} s (OPENENV_CONNECT_TIMEOUT_S): "
                        f"{_reason(problem)}{hint if refused else ''}"
                    ) from problem
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _step(self, action: dict[str, Any]) -> Observation:
        try:
            return await self._ask("step", action)
        except RefusalError as refusal:
            if refusal.code in SESSION_GONE:
                raise ConnectionResetError(str(refusal)) from refusal
            raise

    async def _ask(self, kind: str, data: Mapping[str, Any]) -> Observation:
        """The observation that answers a message, with reward and end as the reply has them."""
        assert self._socket is not None
        with suppress(ConnectionClosed):  # what it said before it closed can still be read
            await self._socket.send(json.dumps({"type": kind, "data": data}))
        async with asyncio.timeout(self.settings.message_timeout_s):
            reply = json.loads(await self._socket.recv())
        answer: dict[str, Any] = reply.get("data", {})
        if reply.get("type") == "error":
            raise RefusalError(answer)
        reported = {"reward": answer.get("reward"), "done": bool(answer.get("done"))}
        return {**answer["observation"], **reported, "metadata": answer.get("metadata") or {}}

    def _compare(self, number: int, observation: Observation) -> None:
        if number < len(self._digests) and digest_of(observation) != self._digests[number]:
            raise ServerError(
                f"After the connection was lost, the replayed episode differed at step {number}: "
                "the server now runs another version, and the score would mean nothing."
            )


def _reason(problem: BaseException) -> str:
    return str(problem) or type(problem).__name__
