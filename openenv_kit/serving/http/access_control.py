"""Access control: checks the origin, the token and the role of each request.

A browser sends the origin of the calling page in the Origin header, and the address that it
connects to in the Host header. Two attacks are prevented:

- Cross-site requests: a page of another site calls a server that the page's visitor can reach. The
  Origin header then contains an origin that is not allowed.
- DNS rebinding: a site points its own host name to the visitor's machine. The Origin and Host
  headers then agree, but contain a host name that does not belong to this server.

Clients other than browsers send no Origin header. They are subject only to the check of the Host
header, which applies to servers that listen on loopback.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from openenv_kit.errors import truncated_repr
from openenv_kit.network_addresses import is_loopback_host
from openenv_kit.serving.http.error_responses import count_and_build_error_response
from openenv_kit.serving.http.page_sessions import (
    COOKIE_NAME,
    PageSessions,
    build_set_cookie_header,
)
from openenv_kit.serving.metrics import ErrorKind
from openenv_kit.serving.roles import PLAYER_ROUTE_MESSAGE, WEBSOCKET_METHOD, Role
from openenv_kit.serving.setting_values import ReservedParticipant
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.errors import StoreError
from openenv_kit.variables import SPACE_HOST_VARIABLE

PATHS_WITHOUT_TOKEN = ("/health", "/ready")
"""Paths that need no token, because load balancers request them and have no token."""

DEBUGGER_PATH = "/web"

ANY_ORIGIN = "*"
READ_ONLY_METHODS = ("GET", "HEAD", "OPTIONS")


class AccessControl:
    """Decides whether a request is allowed, and in which role.

    Args:
        settings: settings of the server.
        sessions: login sessions of browsers; None for sessions with a random signing key.
    """

    def __init__(self, settings: Settings, sessions: PageSessions | None = None) -> None:
        self._allows_any_origin = ANY_ORIGIN in settings.allowed_origins
        self._allowed_origins = frozenset(settings.allowed_origins)
        self._space_host = _lowercase_and_strip_default_port(
            os.environ.get(SPACE_HOST_VARIABLE, "")
        )
        self._own_names = {
            _lowercase_and_strip_default_port(urlsplit(origin).netloc)
            for origin in self._allowed_origins
        }
        self._own_names.add(self._space_host)
        self._own_names.discard("")
        # With a token, DNS rebinding gives no access, because browsers send the session cookie only
        # to our host name.
        self._checks_loopback_host = not settings.token and is_loopback_host(settings.host)
        self._trusts_listed_names_only = not settings.token and bool(settings.allowed_origins)
        self._token = settings.token.encode()
        self._player_token = settings.player_token.encode()
        self._participants = {name: token.encode() for name, token in settings.participants.items()}
        self._root_path = settings.root_path or "/"
        self._sessions = sessions or PageSessions(settings.token)

    async def identify_caller_and_find_denial(
        self, scope: Scope, path: str, headers: Headers
    ) -> Response | None:
        """Store the caller's role in the scope, and return an error response if access is denied.

        Args:
            scope: ASGI scope of the request; `role` and `participant` are added to its state.
            path: path of the request, excluding the server's path prefix.
            headers: headers of the request.
        """
        origin_error = self._find_host_or_origin_error(scope, headers)
        if origin_error is not None:
            return count_and_build_error_response(
                ErrorKind.ORIGIN, HTTPStatus.FORBIDDEN, origin_error
            )
        if self._token and not headers.get("authorization"):
            with suppress(StoreError):  # if the store is unavailable, session cookies are rejected
                await self._sessions.derive_signing_key_from_store_secret()
        participant = self._find_participant_of_bearer_token(headers)
        role = Role.TRAINER if participant else self._find_role_of_token_or_cookie(scope, headers)
        scope["state"]["role"] = role or Role.PLAYER
        scope["state"]["participant"] = participant or (
            ReservedParticipant.TRAINER if self._token else ReservedParticipant.ANONYMOUS
        )
        if path in PATHS_WITHOUT_TOKEN:
            return None
        if role is None:
            return self._build_login_redirect_for_url_token(
                scope, path, headers
            ) or count_and_build_error_response(
                ErrorKind.TOKEN,
                HTTPStatus.UNAUTHORIZED,
                "This server needs a token: send the header Authorization: Bearer <token>.",
                {"www-authenticate": "Bearer"},
            )
        if not role.may_use_route(scope.get("method", WEBSOCKET_METHOD), path):
            return count_and_build_error_response(
                ErrorKind.ROLE, HTTPStatus.FORBIDDEN, PLAYER_ROUTE_MESSAGE
            )
        return None

    def _find_host_or_origin_error(self, scope: Scope, headers: Headers) -> str | None:
        """Return an error message if the Host or Origin header is not allowed, else None."""
        if self._allows_any_origin:
            return None
        host = _lowercase_and_strip_default_port(headers.get("host", ""))
        server_host = (scope.get("server") or ("",))[0]
        is_loopback_server = self._checks_loopback_host and is_loopback_host(server_host)
        if is_loopback_server and not self._is_host_of_this_server(host):
            return (
                f"Host is {truncated_repr(headers.get('host', ''))}; this server listens on "
                "loopback and accepts only loopback names. Add other names to "
                "OPENENV_KIT_ALLOWED_ORIGINS."
            )
        origin = headers.get("origin")
        if origin is None:
            if not _is_cross_site_write(scope, headers):
                return None
        elif origin.lower() in self._allowed_origins or self._is_page_of_this_server(
            origin, host, server_host, headers
        ):
            return None
        return (
            f"Pages of {truncated_repr(origin or 'another site')} may not call this server. "
            "Add the origin to OPENENV_KIT_ALLOWED_ORIGINS to allow it."
        )

    def _is_page_of_this_server(
        self, origin: str, host: str, server_host: str, headers: Headers
    ) -> bool:
        """Return whether the page with this origin was loaded from this server.

        A host name that appears only in the request may result from DNS rebinding. The name is not
        trusted if the settings list allowed origins. Otherwise the name has to be trusted,
        because a public server does not know its own host name.
        """
        try:
            page_address = _lowercase_and_strip_default_port(urlsplit(origin).netloc)
        except ValueError:
            return False
        if not page_address or page_address in self._own_names:
            return bool(page_address)
        if page_address == host:
            is_known_host = (
                self._is_host_of_this_server(host)
                or _strip_port_and_brackets(host) == server_host
                or _is_ip_address(host)
            )
            return is_known_host or not self._trusts_listed_names_only
        # A proxy may replace the public host name in the Host header by an internal one, and send
        # the public name in X-Forwarded-Host. A page cannot set that header without a preflight
        # request, except after DNS rebinding.
        forwarded_host = _lowercase_and_strip_default_port(headers.get("x-forwarded-host", ""))
        return (
            page_address == forwarded_host
            and not self._trusts_listed_names_only
            and not self._checks_loopback_host
        )

    def _is_host_of_this_server(self, host: str) -> bool:
        return host in self._own_names or is_loopback_host(_strip_port_and_brackets(host))

    def _find_role_of_token_or_cookie(self, scope: Scope, headers: Headers) -> Role | None:
        """Return the role that the token or the session cookie grants; None if it is invalid."""
        if not self._token:
            return Role.TRAINER
        scheme, _, bearer_token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            token = bearer_token.strip().encode()
            # Both tokens are compared, so that the duration does not reveal which one matches.
            is_trainer = hmac.compare_digest(token, self._token)
            is_player = hmac.compare_digest(token, self._player_token)
            if is_trainer:
                return Role.TRAINER
            return Role.PLAYER if is_player and self._player_token else None
        session_id = HTTPConnection(scope).cookies.get(COOKIE_NAME, "")
        return Role.TRAINER if self._sessions.is_valid_session_id(session_id) else None

    def _find_participant_of_bearer_token(self, headers: Headers) -> str | None:
        """Return the participant that the request's bearer token belongs to, or None."""
        scheme, _, bearer_token = headers.get("authorization", "").partition(" ")
        token = bearer_token.strip().encode() if scheme.lower() == "bearer" else b""
        # Every token is compared, so that the duration does not reveal which one matches.
        matches = [
            name
            for name, participant_token in self._participants.items()
            if hmac.compare_digest(token, participant_token)
        ]
        return matches[0] if matches else None

    def _build_login_redirect_for_url_token(
        self, scope: Scope, path: str, headers: Headers
    ) -> Response | None:
        """Return the response that logs a browser in, if it opens `/web?token=…` with the token.

        The response sets a session cookie, and redirects to the same address with the token
        removed. Returns None for all other requests.
        """
        if scope.get("method") != "GET" or not f"{path}/".startswith(f"{DEBUGGER_PATH}/"):
            return None
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        token = query.pop("token", "")
        if not hmac.compare_digest(token.encode(), self._token):
            return None
        location = scope["path"] + (f"?{urlencode(query)}" if query else "")
        response = RedirectResponse(location, HTTPStatus.SEE_OTHER)
        # Hugging Face terminates TLS in front of a Space, so its host name implies HTTPS.
        is_space = (
            bool(self._space_host)
            and _lowercase_and_strip_default_port(headers.get("host", "")) == self._space_host
        )
        is_https = is_space or scope.get("scheme") == "https"
        cookie = build_set_cookie_header(
            self._sessions.create_signed_session_id(), is_https=is_https, path=self._root_path
        )
        response.headers.append("set-cookie", cookie)
        return response


def _is_cross_site_write(scope: Scope, headers: Mapping[str, str]) -> bool:
    """Return whether a request comes from a page of another site and may change something.

    Some browsers send the Sec-Fetch-Site header in requests that have no Origin header.
    """
    may_change = scope["type"] == "websocket" or scope["method"] not in READ_ONLY_METHODS
    return may_change and headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")


def _lowercase_and_strip_default_port(netloc: str) -> str:
    """Return an address `host:port` in lower case. The default ports of HTTP(S) are removed."""
    address = netloc.strip().lower()
    for port in (":80", ":443"):
        if address.endswith(port) and not address.endswith(f":{port}"):
            return address.removesuffix(port)
    return address


def _strip_port_and_brackets(address: str) -> str:
    """Return the host of an address. The brackets of an IPv6 host are removed."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.rpartition(":")[0] or address


def _is_ip_address(address: str) -> bool:
    try:
        ipaddress.ip_address(_strip_port_and_brackets(address))
    except ValueError:
        return False
    return True
