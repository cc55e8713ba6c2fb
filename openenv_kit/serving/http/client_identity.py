"""Whose request this is, as far as shares of the episode store are concerned.

The address of the connection, as uvicorn reports it: behind a proxy that FORWARDED_ALLOW_IPS names
it is the address that the proxy forwards, behind any other proxy all callers are one client.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from openenv_kit.serving.settings import ANONYMOUS_PARTICIPANT

UNKNOWN_ADDRESS = "unknown"
"""All callers without an address, such as those of a Unix socket."""

IS_CONNECTION_CLOSED: ContextVar[Callable[[], bool] | None] = ContextVar("gone", default=None)
"""Tells whether the connection that is being served is closed; None where nothing can."""

GET_CLIENT_ADDRESS: ContextVar[Callable[[], str]] = ContextVar("client", default=str)
"""Names the client that is being served; empty on a server that asks for a token, where whoever
calls was let in and has no share."""


CURRENT_PARTICIPANT: ContextVar[str] = ContextVar("participant", default=ANONYMOUS_PARTICIPANT)
"""Whose plays of sealed tasks are counted: the participant whose token the request has."""


def client_address_or_network(peer_address: Sequence[Any] | None) -> str:
    """The client of a peer: its IPv4 address, or the first 64 bits of an IPv6 one.

    Whoever has one address of such a network usually has all of them.
    """
    if not peer_address or not peer_address[0]:
        return UNKNOWN_ADDRESS
    try:
        address = ipaddress.ip_address(peer_address[0])
    except ValueError:
        return peer_address[0]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
        address = address.ipv4_mapped
    return str(address)
