"""HTTP requests that check whether a server is running and which environment it serves."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import ProxyHandler, Request, build_opener

HTTP_TIMEOUT_S = 5.0
"""Longest wait for the response to one request, in seconds."""
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


async def is_server_healthy(url: str) -> bool:
    """Return whether the `/health` endpoint of a server returns a JSON object."""
    return await _fetch_json_object(url, "/health") is not None


async def fetch_environment_name(url: str, headers: Mapping[str, str] | None = None) -> str | None:
    """Return the name of the served environment from `/metadata`; None if it is unavailable."""
    metadata = await _fetch_json_object(url, "/metadata", headers) or {}
    name = metadata.get("name")
    return name if isinstance(name, str) else None


async def _fetch_json_object(
    url: str, path: str, headers: Mapping[str, str] | None = None
) -> dict[str, Any] | None:
    """Request a path and return the JSON object in the response; None on any failure."""
    parts = urlsplit(url)
    user_and_password, has_user, host_and_port = parts.netloc.rpartition("@")
    # urllib does not accept credentials in a URL, so they are sent in a header.
    request_url = urlunsplit(parts._replace(netloc=host_and_port)).rstrip("/") + path
    request_headers = dict(headers or {})
    if has_user:
        credentials = b64encode(unquote(user_and_password).encode()).decode()
        request_headers = {"Authorization": f"Basic {credentials}", **request_headers}
    # An empty ProxyHandler disables the proxies that environment variables set.
    proxy_handlers = [ProxyHandler({})] if parts.hostname in LOOPBACK_HOSTS else []

    def send_blocking_request() -> Any:
        request = Request(request_url, headers=request_headers)
        with build_opener(*proxy_handlers).open(request, timeout=HTTP_TIMEOUT_S) as response:
            return json.load(response)

    try:
        body = await asyncio.to_thread(send_blocking_request)
    except (OSError, HTTPException, ValueError):
        return None
    return body if isinstance(body, dict) else None
