"""Whose request this is, as far as shares of the episode store are concerned.

The address of the connection, as uvicorn reports it: behind a proxy that FORWARDED_ALLOW_IPS names
it is the address that the proxy forwards, behind any other proxy all callers are one client.
"""

from __future__ import annotations

import ipaddress
from contextvars import ContextVar

from starlette.types import ASGIApp, Receive, Scope, Send

TRUSTED = ""
"""The client of a server that asks for a token: whoever calls was let in, and has no share."""

UNKNOWN = "unknown"
"""All callers without an address, such as those of a Unix socket."""

CURRENT: ContextVar[str] = ContextVar("client", default=TRUSTED)
"""The client of the request, or of the connection, that is being served."""


class ClientKeys:
    """Middleware that notes the client of each request; one that showed a token is `TRUSTED`."""

    def __init__(self, app: ASGIApp, trusted: bool) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] in ("http", "websocket") and not self._trusted:
            CURRENT.set(client_key(scope.get("client")))
        await self._app(scope, receive, send)


def client_key(peer: tuple[str, int] | None) -> str:
    """The client of a peer: its IPv4 address, or the first 64 bits of an IPv6 one.

    Whoever has one address of such a network usually has all of them.
    """
    if not peer or not peer[0]:
        return UNKNOWN
    try:
        address = ipaddress.ip_address(peer[0])
    except ValueError:
        return peer[0]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
        address = address.ipv4_mapped
    return str(address)
