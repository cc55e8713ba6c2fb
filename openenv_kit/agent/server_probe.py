"""Asking an address whether a server of this environment is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx


async def is_healthy(url: str) -> bool:
    """Whether a server answers /health there."""
    return await _get(url, "/health") is not None


async def served_name(url: str, headers: Mapping[str, str] | None = None) -> str | None:
    """Name in the server's /metadata, or None."""
    metadata = await _get(url, "/metadata", headers)
    name = metadata.get("name") if metadata else None
    return name if isinstance(name, str) else None


async def _get(
    url: str, path: str, headers: Mapping[str, str] | None = None
) -> dict[str, Any] | None:
    """JSON object at an address, or None if there is none, for whatever reason."""
    local = urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    try:
        async with httpx.AsyncClient(timeout=5.0, trust_env=not local) as client:
            reply = await client.get(url.rstrip("/") + path, headers=headers)
            found = reply.raise_for_status().json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None
    return found if isinstance(found, dict) else None
