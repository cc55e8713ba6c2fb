"""Identity of the client of the current request: its address, connection and participant.

uvicorn reports the address of the connection. Behind a proxy in FORWARDED_ALLOW_IPS, the address is
taken from the header X-Forwarded-For. Behind any other proxy all clients have the proxy's address
and share its limit on the episode store.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from openenv_kit.serving.setting_values import ReservedParticipant

UNKNOWN_ADDRESS = "unknown"
"""Address that is used if a client has no address, such as a client of a Unix socket."""

IPV6_NETWORK_BITS = 64
"""Prefix length of an IPv6 network that usually belongs to one client."""

IS_CONNECTION_CLOSED: ContextVar[Callable[[], bool] | None] = ContextVar("gone", default=None)
"""Function that returns whether the current connection is closed; None if that is unknown."""

GET_CLIENT_ADDRESS: ContextVar[Callable[[], str]] = ContextVar("client", default=str)
"""Function that returns the address of the current client. On a server with a token, where clients
have no individual limit, the function returns an empty string."""

CURRENT_PARTICIPANT: ContextVar[str] = ContextVar(
    "participant", default=ReservedParticipant.ANONYMOUS
)
"""Name of the participant who sent the request. Starts of sealed tasks are counted by this name."""


def get_client_address_or_ipv6_network(peer_address: Sequence[Any] | None) -> str:
    """Return the IPv4 address of a peer, or the /64 network of an IPv6 peer.

    A client that has one address of a /64 network can usually use all of its addresses.

    Args:
        peer_address: host and port; None if the connection has no address.
    """
    if not peer_address or not peer_address[0]:
        return UNKNOWN_ADDRESS
    try:
        address = ipaddress.ip_address(peer_address[0])
    except ValueError:
        return peer_address[0]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            network = ipaddress.ip_network((int(address), IPV6_NETWORK_BITS), strict=False)
            return str(network)
        address = address.ipv4_mapped
    return str(address)
