"""Which network addresses a visitor may make this server connect to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[..., Sequence[tuple[Any, ...]]]
"""As `socket.getaddrinfo`."""

GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
METADATA = frozenset(
    ipaddress.ip_address(each)
    # AWS over IPv6, Alibaba, Oracle, and Azure, whose address counts as public; those of other
    # clouds are link-local.
    for each in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")
)
PRIVATE = tuple(
    ipaddress.ip_network(each)
    for each in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"),
        *("::1/128", "fc00::/7"),
    )
)
"""Networks that the server's owner may allow: this machine, and those behind a router."""


def addresses_of(
    host: str, port: int, *, allow_private: bool, lookup: Lookup = socket.getaddrinfo
) -> list[str]:
    """The addresses of a host, in the order in which they should be tried.

    Looked up once: the caller connects to what is returned, so that a second answer of the name
    server changes nothing. Numbers in any spelling (decimal, octal, hexadecimal) are names here.

    Returns:
        None at all if a single one is not allowed, and, so that nobody can probe the names of a
        private network, if the host is unknown.
    """
    try:
        found = lookup(host, port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(each[4][0]) for each in found]
    except (OSError, UnicodeError, ValueError):
        return []
    if not all(is_allowed(each, allow_private=allow_private) for each in addresses):
        return []
    return list(dict.fromkeys(str(each) for each in addresses))


def is_allowed(address: Address, *, allow_private: bool) -> bool:
    """Whether a visitor's endpoint may have this address.

    Never allowed, whatever the setting: the metadata services of clouds, link-local, multicast
    and reserved addresses.
    """
    outer = getattr(address, "ipv4_mapped", None) or address
    if outer in METADATA:
        return False
    if any(outer in network for network in PRIVATE):
        return allow_private
    if isinstance(outer, ipaddress.IPv4Address):
        return outer.is_global and not outer.is_multicast
    if outer in NAT64:
        return _is_public(ipaddress.IPv4Address(outer.packed[-4:]))
    inner = outer.sixtofour or (outer.teredo[1] if outer.teredo else None)
    public = outer.is_global and outer in GLOBAL_UNICAST
    return public and (inner is None or _is_public(inner))


def _is_public(address: ipaddress.IPv4Address) -> bool:
    return is_allowed(address, allow_private=False)
