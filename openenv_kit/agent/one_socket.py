"""A session over one WebSocket: messages go out and replies come in, one after the other.

The framework's own client would bring the framework with it, which takes seconds to import, and
after a loss it goes on in a new session without an episode.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from openenv_kit.errors import ServerError
from openenv_kit.serving.settings import is_loopback

MAX_REPLY_BYTES = 100 * 2**20


class RefusalError(ServerError):
    """The server answered a message with an error.

    Attributes:
        code: which one, such as CAPACITY_REACHED.
    """

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.code = str(answer.get("code", "UNKNOWN"))
        super().__init__(f"{answer.get('message', 'No reason was given.')} ({self.code})")


class OneSocket:
    """An open session; after a timeout or a loss it is of no more use.

    Args:
        socket: connected to the server's `/ws`.
        timeout_s: longest wait for one reply, in seconds.
    """

    def __init__(self, socket: ClientConnection, timeout_s: float) -> None:
        self._socket = socket
        self._timeout_s = timeout_s

    @classmethod
    async def open(
        cls, url: str, headers: Mapping[str, str], connect_timeout_s: float, timeout_s: float
    ) -> Self:
        """Connect.

        Args:
            url: http(s) or ws(s) address of the server, or of an environment below its name.
            headers: sent with the handshake.
            connect_timeout_s: longest wait for the connection, in seconds.
            timeout_s: longest wait for one reply, in seconds.

        Raises:
            OSError, TimeoutError, WebSocketException: there is no connection.
        """
        address = f"{url.rstrip('/')}/ws"
        if address.startswith("http"):
            address = f"ws{address.removeprefix('http')}"
        socket = await connect(
            address,
            additional_headers=headers,
            open_timeout=connect_timeout_s,
            max_size=MAX_REPLY_BYTES,
            # Models think for minutes; an unanswered ping would close a healthy socket.
            ping_interval=None,
            # No proxy reaches this machine's own addresses; True: the one that variables name.
            proxy=None if is_loopback(urlsplit(address).hostname or "") else True,
        )
        return cls(socket, timeout_s)

    async def ask(self, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """The data of the reply to one message.

        Args:
            kind: `reset` or `step`.
            data: arguments of the reset, or the action.

        Raises:
            RefusalError: the server answered with an error.
            OSError, TimeoutError, WebSocketException: the connection is lost.
        """
        with suppress(ConnectionClosed):  # what it said before it closed can still be read
            await self._socket.send(json.dumps({"type": kind, "data": data}))
        async with asyncio.timeout(self._timeout_s):
            reply = json.loads(await self._socket.recv())
        answer: dict[str, Any] = reply.get("data", {})
        if reply.get("type") == "error":
            raise RefusalError(answer)
        return answer

    async def close(self) -> None:
        """End the session and close the connection."""
        with suppress(ConnectionClosed):
            await self._socket.send('{"type":"close"}')
        await self._socket.close()
