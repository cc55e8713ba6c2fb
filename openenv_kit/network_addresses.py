"""Checks and parsing of host names and URLs."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit


@lru_cache(maxsize=256)
def is_loopback_host(host: str) -> bool:
    """Return whether a host is `localhost`, a subdomain of it, or a loopback IP address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_url(url: str, allowed_schemes: Collection[str]) -> SplitResult | None:
    """Parse a URL; return None if it is invalid or has a scheme that is not allowed."""
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in allowed_schemes and parts.hostname and parts.port != 0
    except ValueError:  # such as a port that is not a number
        return None
    return parts if is_valid else None
