"""The HTTP client for endpoints that visitors name.

A visitor must not reach through this server what they cannot reach themselves, nor cost it more
than a bounded answer. So this client connects to an address that was checked, follows no redirect,
uses no proxy and no cookie, sends its own headers only, and reads a bounded number of bytes, never
compressed, within a bounded time. safehttpx was not used: it sends only GETs, drops timeouts, reads
answers of any size, and accepts a host with one public address among private ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

import httpx

from openenv_kit.errors import InvalidValueError, ModelError
from openenv_kit.page.addresses import Lookup, addresses_of

CONNECT_TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 256 * 1024
"""An answer of 4,096 tokens is about a tenth of this."""
MAX_URL = 2048
PLAIN = ("", "identity")
ALLOW_PRIVATE = "METRIC_TRACKER_PRIVATE_ENDPOINTS"


class PassingError(ModelError):
    """A temporary failure, worth one more try."""


class VisitorClient:
    """Posts to one endpoint, always at the addresses found at the first request.

    Args:
        base: the endpoint's base address, as `endpoint_url` returns it.
        key: sent as a bearer token.
        timeout_s: for one whole exchange, from the connection to the answer's last byte.
        allow_private: whether the endpoint may be on this machine or in a private network.
        lookup: finds the addresses of a host.
    """

    def __init__(
        self,
        base: httpx.URL,
        key: str,
        *,
        timeout_s: float,
        allow_private: bool = False,
        lookup: Lookup = socket.getaddrinfo,
    ) -> None:
        self._base = base
        self._timeout_s = timeout_s
        self._allow_private = allow_private
        self._lookup = lookup
        self._addresses: list[str] = []
        # Sent to pinned addresses only, and by itself, so no part of httpx adds a header, follows
        # a redirect or looks for a proxy.
        self._transport = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=1))
        self._headers = {
            "Host": base.netloc.decode("ascii"),
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "metric-tracker-rl",
        }

    async def post(self, path: str, body: bytes) -> httpx.Response:
        """Post JSON to a path below the base address; of the answer, its status and its body.

        Raises:
            PassingError: no connection, or no answer in time.
            ModelError: the host is not allowed, or its answer is too long or compressed.
        """
        if not self._addresses:
            # Blocks only this model's own thread; a lookup in a pool could outlive the play.
            host = self._base.raw_host.decode("ascii")
            port = self._base.port or (443 if self._base.scheme == "https" else 80)
            private = self._allow_private
            self._addresses = addresses_of(host, port, allow_private=private, lookup=self._lookup)
        if not self._addresses:
            raise ModelError(not_allowed(self._base.host, self._allow_private))
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post_to_first(path, body)
        except (TimeoutError, httpx.TimeoutException):
            raise PassingError(
                f"The endpoint did not answer within {self._timeout_s:g} s."
            ) from None
        except (httpx.TransportError, httpx.InvalidURL):
            # Not quoted: it may hold text from the host that answered.
            raise PassingError("No connection to the endpoint, or it was lost.") from None

    async def close(self) -> None:
        """Release the connection."""
        await self._transport.aclose()

    async def _post_to_first(self, path: str, body: bytes) -> httpx.Response:
        """Post to the first address that accepts a connection; the others are forgotten."""
        for address in self._addresses[:-1]:
            try:
                reply = await self._post_to(address, path, body)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
            self._addresses = [address]
            return reply
        return await self._post_to(self._addresses[-1], path, body)

    async def _post_to(self, address: str, path: str, body: bytes) -> httpx.Response:
        request = httpx.Request(
            "POST",
            self._base.copy_with(host=address, path=self._base.path.rstrip("/") + path),
            headers=self._headers,
            content=body,
            # The certificate is checked against the host's name, not against its address.
            extensions={
                "sni_hostname": self._base.raw_host.decode("ascii"),
                "timeout": httpx.Timeout(self._timeout_s, connect=CONNECT_TIMEOUT_S).as_dict(),
            },
        )
        response = await self._transport.handle_async_request(request)
        try:
            if response.headers.get("content-encoding", "").strip().lower() not in PLAIN:
                raise ModelError("The endpoint compresses its answers though it was asked not to.")
            answer = bytearray()
            async for chunk in response.aiter_raw():
                answer += chunk
                if len(answer) > MAX_ANSWER_BYTES:
                    raise ModelError(
                        f"The endpoint's answer is longer than {MAX_ANSWER_BYTES:,} bytes."
                    )
            return httpx.Response(response.status_code, content=bytes(answer))
        finally:
            await response.aclose()


def endpoint_url(text: str, *, allow_private: bool) -> httpx.URL:
    """The base address that a visitor typed, if requests may go there.

    Addresses written as numbers are checked here; names when they are looked up.

    Raises:
        InvalidValueError: not an http(s) address, or one with a user name.
        ModelError: an address that is not allowed.
    """
    wanted = "an address such as https://router.huggingface.co/v1"
    url = httpx.URL("")
    with contextlib.suppress(httpx.InvalidURL, UnicodeError, ValueError):
        url = httpx.URL(text if len(text) <= MAX_URL else "")
    port = 1 if url.port is None else url.port
    if url.scheme not in ("http", "https") or not url.host or not 0 < port < 65_536:
        raise InvalidValueError("endpoint", text, wanted)
    if url.userinfo:
        # Not echoed: it holds a password.
        raise InvalidValueError("endpoint", "…@…", f"{wanted}, without a user name")
    if _is_number(url) and not addresses_of(url.host, 1, allow_private=allow_private):
        raise ModelError(not_allowed(url.host, allow_private))
    return url.copy_with(query=None, fragment=None)


def not_allowed(host: str, allow_private: bool) -> str:
    """Why a host gets no request; the same for an unknown one and a private one."""
    if allow_private:
        return f"{host!r} is unknown, or has an address that is never allowed."
    return (
        f"{host!r} is unknown or not a public address. Whoever runs this server can allow private "
        f"addresses with {ALLOW_PRIVATE}=true."
    )


def _is_number(url: httpx.URL) -> bool:
    """Whether the host is an address, in any spelling that the system reads as one."""
    try:
        socket.getaddrinfo(url.host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return False
    return True
