"""Which web pages may call: a browser names the page in `Origin` and the address in `Host`.

Two attacks are kept out. A page of another site calls a server that its visitor can reach: its
`Origin` is not ours. And DNS rebinding: a site lets its own name point to the visitor's machine,
and then `Origin` and `Host` agree, but on a name that is not ours. Programs send no `Origin`, so
only the second check, which a server on loopback makes, concerns them.
"""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from openenv_kit.errors import echo
from openenv_kit.serving.settings import Settings, is_loopback

ANY = "*"
READING = ("GET", "HEAD", "OPTIONS")
OWN_NAME = "SPACE_HOST"
"""Variable in which a Hugging Face Space is told its own name."""


class Origins:
    """Decides whether a request's `Host` and `Origin` are acceptable."""

    def __init__(self, settings: Settings) -> None:
        self._any = ANY in settings.allowed_origins
        self._allowed = frozenset(settings.allowed_origins)
        own = os.environ.get(OWN_NAME, "")
        self._names = {_address(urlsplit(each).netloc) for each in self._allowed} | {_address(own)}
        self._names.discard("")
        # With a token a page that has rebound its name gets nowhere: the browser's cookie for us
        # belongs to our name.
        self._local = not settings.token and is_loopback(settings.host)
        self._suspicious = not settings.token and bool(settings.allowed_origins)

    def refusal(self, scope: Scope, headers: Headers) -> str | None:
        """Why a request may not pass, None for one that may."""
        if self._any:
            return None
        host = _address(headers.get("host", ""))
        here = (scope.get("server") or ("",))[0]
        local = self._local and is_loopback(here)
        if local and not self._is_ours(host):
            return (
                f"Host is {echo(headers.get('host', ''))}; this server listens on loopback and "
                "answers to loopback names. METRIC_TRACKER_ALLOWED_ORIGINS can name others."
            )
        origin = headers.get("origin")
        if origin is None:
            if not _sent_by_another_site(scope, headers):
                return None
        elif origin.lower() in self._allowed or self._is_own(origin, host, here, headers):
            return None
        return (
            f"Pages of {echo(origin or 'another site')} may not call this server. "
            "METRIC_TRACKER_ALLOWED_ORIGINS can name them."
        )

    def _is_own(self, origin: str, host: str, here: str, headers: Headers) -> bool:
        """Whether a page came from this server.

        A name that only the request vouches for may have been rebound. Where it is known which
        pages may call, it is not believed; elsewhere the name of a public server is such a name.
        """
        try:
            page = _address(urlsplit(origin).netloc)
        except ValueError:
            return False
        if not page or page in self._names:
            return bool(page)
        if page == host:
            known = self._is_ours(host) or _name(host) == here or _is_ip(host)
            return known or not self._suspicious
        # A proxy may have put its own name for us into Host. No page can set this header without
        # asking first, except one that has rebound its name: see above.
        forwarded = _address(headers.get("x-forwarded-host", ""))
        return page == forwarded and not self._suspicious and not self._local

    def _is_ours(self, host: str) -> bool:
        return host in self._names or is_loopback(_name(host))


def _sent_by_another_site(scope: Scope, headers: Headers) -> bool:
    """Whether a browser says so of a request that changes something, though it sent no origin."""
    changes = scope["type"] == "websocket" or scope["method"] not in READING
    return changes and headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")


def _address(netloc: str) -> str:
    """Name and port in one form: lower case, without the port that a scheme has anyway."""
    address = netloc.strip().lower()
    for port in (":80", ":443"):
        if address.endswith(port) and not address.endswith(f":{port}"):
            return address.removesuffix(port)
    return address


def _name(address: str) -> str:
    """An address without its port and without the brackets of IPv6."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.rpartition(":")[0] or address


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(_name(address))
    except ValueError:
        return False
    return True
