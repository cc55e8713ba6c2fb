"""Who may call: from which web page, with which token, in which role.

A browser names the page in `Origin` and the address in `Host`, and two attacks are kept out. A page
of another site calls a server that its visitor can reach: its `Origin` is not ours. And DNS
rebinding: a site lets its own name point to the visitor's machine, and then `Origin` and `Host`
agree, but on a name that is not ours. Programs send no `Origin`, so only the second check, which a
server on loopback makes, concerns them.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from openenv_kit.errors import truncated_repr
from openenv_kit.network_addresses import is_loopback
from openenv_kit.serving import messages, metrics
from openenv_kit.serving.episodes.ids import PLAYER, TRAINER
from openenv_kit.serving.http.page_sessions import COOKIE_NAME, PageSessions, build_session_cookie
from openenv_kit.serving.settings import (
    ANONYMOUS_PARTICIPANT,
    TRAINER_PARTICIPANT,
    Settings,
)
from openenv_kit.serving.store.errors import StoreError

PATHS_WITHOUT_TOKEN = ("/health", "/ready")
"""Paths that need no token: a load balancer has none."""

PLAYER_ROUTES = (
    ("POST", "/step"),
    ("POST", "/mcp"),
    ("GET", "/mcp"),
    ("DELETE", "/mcp"),
    ("websocket", "/ws"),
    ("websocket", "/mcp"),
)
"""All that the player token opens."""

DEBUGGER_PATH = "/web"

ANY_ORIGIN = "*"
READ_ONLY_METHODS = ("GET", "HEAD", "OPTIONS")
SPACE_HOST_VARIABLE = "SPACE_HOST"
"""Variable in which a Hugging Face Space is told its own name."""


class AccessControl:
    """Decides whether a request may pass, and in which role.

    Args:
        settings: of the server.
        sessions: of browsers; None for sessions that only this object knows.
    """

    def __init__(self, settings: Settings, sessions: PageSessions | None = None) -> None:
        self._any = ANY_ORIGIN in settings.allowed_origins
        self._allowed = frozenset(settings.allowed_origins)
        own = os.environ.get(SPACE_HOST_VARIABLE, "")
        self._names = {_normalize_address(urlsplit(each).netloc) for each in self._allowed} | {
            _normalize_address(own)
        }
        self._names.discard("")
        # With a token a page that has rebound its name gets nowhere: the browser's cookie for us
        # belongs to our name.
        self._local = not settings.token and is_loopback(settings.host)
        self._suspicious = not settings.token and bool(settings.allowed_origins)
        self._token = settings.token.encode()
        self._player_token = settings.player_token.encode()
        self._participants = {name: token.encode() for name, token in settings.participants.items()}
        self._own_name = _normalize_address(own)
        self._root_path = settings.root_path or "/"
        self._sessions = sessions or PageSessions(settings.token)

    async def check_access(self, scope: Scope, path: str, headers: Headers) -> Response | None:
        """Answer to a request that may not pass; one that may gets its role.

        Args:
            scope: of the request; its state gets `role`.
            path: as the routes see it.
            headers: of the request.
        """
        problem = self._find_origin_error(scope, headers)
        if problem is not None:
            return error_response("origin", 403, problem)
        if self._token and not headers.get("authorization"):
            with suppress(StoreError):  # while the store is gone, browsers are not recognized
                await self._sessions.load_signing_key()
        participant = self._find_participant(headers)
        role = TRAINER if participant else self._find_role(scope, headers)
        scope["state"]["role"] = role or PLAYER
        scope["state"]["participant"] = participant or (
            TRAINER_PARTICIPANT if self._token else ANONYMOUS_PARTICIPANT
        )
        if path in PATHS_WITHOUT_TOKEN:
            return None
        if role is None:
            return self._log_in_with_url_token(scope, path, headers) or error_response(
                "token",
                401,
                "This server needs a token: send the header Authorization: Bearer <token>.",
                {"www-authenticate": "Bearer"},
            )
        if role == PLAYER and (scope.get("method", "websocket"), path) not in PLAYER_ROUTES:
            return error_response(
                "role",
                403,
                "The player token may only POST /step, use /mcp and open the WebSocket /ws; "
                "this needs the trainer's token.",
            )
        return None

    def _find_origin_error(self, scope: Scope, headers: Headers) -> str | None:
        """Why a page may not call, or none by that `Host`; None where one may."""
        if self._any:
            return None
        host = _normalize_address(headers.get("host", ""))
        here = (scope.get("server") or ("",))[0]
        local = self._local and is_loopback(here)
        if local and not self._is_own_host(host):
            return (
                f"Host is {truncated_repr(headers.get('host', ''))}; this server listens on "
                "loopback and answers to loopback names. OPENENV_KIT_ALLOWED_ORIGINS can name "
                "others."
            )
        origin = headers.get("origin")
        if origin is None:
            if not _is_cross_site_change(scope, headers):
                return None
        elif origin.lower() in self._allowed or self._is_own_page(origin, host, here, headers):
            return None
        return (
            f"Pages of {truncated_repr(origin or 'another site')} may not call this server. "
            "OPENENV_KIT_ALLOWED_ORIGINS can name them."
        )

    def _is_own_page(self, origin: str, host: str, server_host: str, headers: Headers) -> bool:
        """Whether a page came from this server.

        A name that only the request vouches for may have been rebound. Where it is known which
        pages may call, it is not believed; elsewhere the name of a public server is such a name.
        """
        try:
            page = _normalize_address(urlsplit(origin).netloc)
        except ValueError:
            return False
        if not page or page in self._names:
            return bool(page)
        if page == host:
            known = (
                self._is_own_host(host) or _strip_port(host) == server_host or _is_ip_address(host)
            )
            return known or not self._suspicious
        # A proxy may have put its own name for us into Host. No page can set this header without
        # asking first, except one that has rebound its name: see above.
        forwarded = _normalize_address(headers.get("x-forwarded-host", ""))
        return page == forwarded and not self._suspicious and not self._local

    def _is_own_host(self, host: str) -> bool:
        return host in self._names or is_loopback(_strip_port(host))

    def _find_role(self, scope: Scope, headers: Headers) -> str | None:
        """What a caller other than a participant may be; None for one without a valid token."""
        if not self._token:
            return TRAINER
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            secret = given.strip().encode()
            is_trainer = hmac.compare_digest(secret, self._token)
            is_player = hmac.compare_digest(secret, self._player_token)
            if is_trainer:
                return TRAINER
            return PLAYER if is_player and self._player_token else None
        session_id = HTTPConnection(scope).cookies.get(COOKIE_NAME, "")
        return TRAINER if self._sessions.is_valid_session_id(session_id) else None

    def _find_participant(self, headers: Headers) -> str | None:
        """Return the name of the participant whose bearer token the request has."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        secret = given.strip().encode() if scheme.lower() == "bearer" else b""
        names = [
            name for name, token in self._participants.items() if hmac.compare_digest(secret, token)
        ]
        return names[0] if names else None

    def _log_in_with_url_token(self, scope: Scope, path: str, headers: Headers) -> Response | None:
        """For a browser that opens `/web?token=…`: the same page, with a cookie for the token."""
        if scope.get("method") != "GET" or not f"{path}/".startswith(f"{DEBUGGER_PATH}/"):
            return None
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        given = query.pop("token", "")
        if not hmac.compare_digest(given.encode(), self._token):
            return None
        location = scope["path"] + (f"?{urlencode(query)}" if query else "")
        response = RedirectResponse(location, 303)
        # Hugging Face ends TLS in front of a Space, under the Space's own name.
        is_space = (
            bool(self._own_name) and _normalize_address(headers.get("host", "")) == self._own_name
        )
        is_https = is_space or scope.get("scheme") == "https"
        cookie = build_session_cookie(
            self._sessions.new_session_id(), is_https=is_https, path=self._root_path
        )
        response.headers.append("set-cookie", cookie)
        return response


def error_response(
    error_kind: str, status: int, detail: Any, headers: dict[str, str] | None = None
) -> Response:
    """An answer that refuses, counted as an error of that kind."""
    metrics.ERRORS.labels(error_kind).inc()
    return messages.json_response({"detail": detail}, status, headers)


def _is_cross_site_change(scope: Scope, headers: Headers) -> bool:
    """Whether a browser says so of a request that changes something, though it sent no origin."""
    changes = scope["type"] == "websocket" or scope["method"] not in READ_ONLY_METHODS
    return changes and headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")


def _normalize_address(netloc: str) -> str:
    """Name and port in one form: lower case, without the port that a scheme has anyway."""
    address = netloc.strip().lower()
    for port in (":80", ":443"):
        if address.endswith(port) and not address.endswith(f":{port}"):
            return address.removesuffix(port)
    return address


def _strip_port(address: str) -> str:
    """An address without its port and without the brackets of IPv6."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.rpartition(":")[0] or address


def _is_ip_address(address: str) -> bool:
    try:
        ipaddress.ip_address(_strip_port(address))
    except ValueError:
        return False
    return True
