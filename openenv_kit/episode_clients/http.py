"""Plays an episode on a server over plain HTTP.

Only the standard library is used, because trainers are installed without the server's framework,
and some trainers conflict with it. An episode over HTTP does not occupy a WebSocket session of the
server, and it survives lost connections, restarts of the server and changes of worker.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from openenv_kit.environment import Environment, get_environment
from openenv_kit.episode_clients import retry
from openenv_kit.episode_clients.http_replies import (
    JsonReply,
    RawReply,
    extract_error_detail,
    parse_json_object,
)
from openenv_kit.episode_clients.protocol import ObservationJson
from openenv_kit.errors import (
    InvalidValueError,
    ServerError,
    ServerFullError,
    truncated_repr,
)
from openenv_kit.network_addresses import is_loopback_host, parse_url
from openenv_kit.reply import ReplyStatus
from openenv_kit.variables import SERVER_TOKEN_VARIABLE

logger = logging.getLogger("openenv_kit.trainers")

HTTP_SCHEMES = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
"""HTTP scheme for each scheme of `base_url`. The framework's clients accept the same schemes."""
REJECTED_STEP_STATUSES = (400, 413, 422)
"""HTTP statuses of an action that is malformed, too long or too deeply nested."""


class HttpEpisode:
    """Plays episodes on a server; see `EpisodeClient`.

    The client connects at the first reset, and reconnects after a lost connection. A pickled client
    continues its episode over a new connection.

    Args:
        base_url: http(s) or ws(s) URL of the server.
        environment: environment that the server must serve. It is checked if the server has
            metadata.
        should_wait_when_full: whether to wait, for up to `retry.CAPACITY_TIMEOUT_S`, while the
            server is at capacity. Otherwise, a ServerFullError is raised.

    Raises:
        InvalidValueError: `base_url` is not an http(s) or ws(s) URL.
    """

    def __init__(
        self, base_url: str, environment: Environment, *, should_wait_when_full: bool = True
    ) -> None:
        parts = parse_url(base_url, HTTP_SCHEMES)
        if parts is None:
            allowed = "an address such as http://127.0.0.1:8000"
            raise InvalidValueError("base_url", base_url, allowed)
        scheme = HTTP_SCHEMES[parts.scheme]
        connection_types = {
            "http": http.client.HTTPConnection,
            "https": http.client.HTTPSConnection,
        }
        self._connection = connection_types[scheme](
            parts.hostname or "", parts.port, timeout=retry.CONNECT_TIMEOUT_S
        )
        self._prefix = parts.path.rstrip("/")
        host_and_port = parts.netloc.rpartition("@")[2]
        self._address = f"{scheme}://{host_and_port}{self._prefix}"
        self._headers = {"content-type": "application/json"}
        if token := os.environ.get(SERVER_TOKEN_VARIABLE):
            self._headers["authorization"] = f"Bearer {token}"
        self._environment = environment
        self._should_wait_when_full = should_wait_when_full
        self._has_checked_environment = False
        self._episode_id = ""
        self._step_count = 0

    def __getstate__(self) -> dict[str, Any]:
        # The token is omitted: it is read from its variable when the client is unpickled.
        return {
            "address": self._address,
            "environment": self._environment.name,
            "should_wait_when_full": self._should_wait_when_full,
            "has_checked_environment": self._has_checked_environment,
            "episode_id": self._episode_id,
            "step_count": self._step_count,
        }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        HttpEpisode.__init__(
            self,
            state["address"],
            get_environment(state["environment"]),
            should_wait_when_full=state["should_wait_when_full"],
        )
        self._has_checked_environment = state["has_checked_environment"]
        self._episode_id = state["episode_id"]
        self._step_count = state["step_count"]

    def reset(self, arguments: Mapping[str, Any]) -> ObservationJson:
        """Start an episode and return its first observation.

        Raises:
            ServerError: there is no server, it serves a different environment, it requires a token,
                or it stayed at capacity for too long.
            ServerFullError: the server is at capacity, and this client does not wait.
        """
        self._require_server_to_serve_environment()
        if self._environment.episode_limits.may_omit_episode_id:
            # Without an id, all clients at one address would share one episode.
            arguments = {"episode_id": f"client-{uuid4().hex}", **arguments}
        reply = self._send_request_with_retry("/reset", arguments)
        observation = self._parse_observation("/reset", reply)
        # A rejected reset leaves the running episode unchanged.
        if observation["status"] != ReplyStatus.ERROR:
            self._episode_id = reply.body.get("episode_id") or ""
            self._step_count = 0
        return observation

    def step(self, action: Mapping[str, Any]) -> ObservationJson:
        """Send one action and return the observation that follows.

        Raises:
            ServerError: the server stayed unreachable, or no longer has the episode.
        """
        self._step_count += 1
        # Retries reuse the request id, so that the server does not execute the step twice.
        request = {
            "episode_id": self._episode_id,
            "request_id": str(self._step_count),
            "action": action,
        }
        reply = self._send_request_with_retry("/step", request)
        if reply.status in REJECTED_STEP_STATUSES:
            return {
                "status": ReplyStatus.ERROR,
                "message": extract_error_detail(reply.body),
                "reward": 0.0,
                "done": False,
            }
        observation = self._parse_observation("/step", reply)
        if observation["done"]:
            self.close()  # a trainer may keep many clients whose episodes are over
        return observation

    def state(self) -> dict[str, Any]:
        """Return the public progress of the episode.

        Raises:
            ServerError: the server stayed unreachable, or no longer has the episode.
        """
        query = urlencode({"episode_id": self._episode_id})
        reply = self._send_request_with_retry(f"/state?{query}")
        if reply.status != 200:
            raise self._close_and_build_error("/state", reply)
        return reply.body

    def read_max_sessions(self) -> int | None:
        """Return how many sessions the server is configured for; None if it does not report it.

        Raises:
            ServerError: the server stayed unreachable.
        """
        max_sessions = self._send_request_with_retry("/ready").body.get("max_sessions")
        return max_sessions if isinstance(max_sessions, int) else None

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        self._connection.close()

    def _require_server_to_serve_environment(self) -> None:
        """Raise a ServerError if the server serves a different environment."""
        if self._has_checked_environment:
            return
        reply = self._send_request_with_retry("/metadata")
        served_name = reply.body.get("name") if reply.status == 200 else None
        if served_name not in (None, self._environment.name):
            self.close()
            raise ServerError(
                f"{self._address} serves {truncated_repr(served_name)}, not "
                f"{self._environment.name!r}. Set base_url to a server of that environment, or "
                f"choose the environment {truncated_repr(served_name)}."
            )
        self._has_checked_environment = True

    def _send_request_with_retry(
        self, path: str, body: Mapping[str, Any] | None = None
    ) -> JsonReply:
        """Send a POST request or, without a body, a GET request, and return the response.

        While the server cannot be reached or is at capacity, the request is retried. The first
        retry after a pause is logged.
        """
        data = None if body is None else json.dumps(body).encode()
        # Servers often close idle connections, so the first retry opens a new one immediately.
        timer = retry.RetryTimer(retry.RECONNECT_TIMEOUT_S, retry_at_once=True)
        capacity_timer = retry.RetryTimer(retry.CAPACITY_TIMEOUT_S)
        is_logged = is_wait_logged = False
        while True:
            problem: Exception | str
            try:
                reply = self._send_request_once(path, data)
                if reply.status in retry.FULL_STATUSES and reply.retry_after_s is not None:
                    self._wait_until_retry(reply, capacity_timer, is_logged=is_wait_logged)
                    is_wait_logged = True
                    timer = retry.RetryTimer(retry.RECONNECT_TIMEOUT_S, retry_at_once=True)
                    continue
                if reply.status not in retry.UNAVAILABLE_STATUSES:
                    break
                problem = f"{reply.status} {http.client.responses[reply.status]}"
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                problem = error
            reason = str(problem) or type(problem).__name__
            if timer.is_expired or isinstance(problem, ssl.SSLCertVerificationError):
                raise ServerError(
                    f"No server answers at {self._address} ({reason}). "
                    f"{self._unreachable_server_hint}"
                )
            if timer.pause_s and not is_logged:
                logger.warning(
                    "waiting up to %g s for the server at %s (%s)",
                    retry.RECONNECT_TIMEOUT_S,
                    self._address,
                    reason,
                )
                is_logged = True
            time.sleep(timer.pause_s)
            timer.increase_next_pause()
        return JsonReply(reply.status, parse_json_object(reply.body))

    def _wait_until_retry(
        self, reply: RawReply, capacity_timer: retry.RetryTimer, *, is_logged: bool
    ) -> None:
        """Wait before the next request to a server that is at capacity.

        Args:
            reply: the server's response, which has the header `Retry-After`.
            capacity_timer: timer that limits the total waiting time of the request.
            is_logged: whether it was already logged that this request waits.

        Raises:
            ServerFullError: this client does not wait.
            ServerError: the server was still at capacity when the timer expired.
        """
        detail = extract_error_detail(parse_json_object(reply.body))
        retry_after_s = reply.retry_after_s or 0.0
        if not self._should_wait_when_full:
            raise ServerFullError(f"{self._address} is full: {detail}", retry_after_s)
        if capacity_timer.remaining_s <= 0:
            raise ServerError(
                f"{self._address} had no room for {retry.CAPACITY_TIMEOUT_S:g} s: {detail} Play "
                "fewer episodes at a time, or raise the limits of the server."
            )
        if not is_logged:
            logger.warning(
                "waiting up to %g s for room on the server at %s (%s)",
                retry.CAPACITY_TIMEOUT_S,
                self._address,
                detail,
            )
        self._connection.close()  # another client may need it in the meantime
        time.sleep(retry.compute_capacity_pause_s(retry_after_s))

    @property
    def _unreachable_server_hint(self) -> str:
        if is_loopback_host(self._connection.host):
            start = f"Start one with `server --port {self._connection.port}`"
        else:
            start = "Check base_url, and that the server is running"
        return f"{start}, or leave base_url out to play in this process."

    def _send_request_once(self, path: str, data: bytes | None) -> RawReply:
        connection = self._connection
        if connection.sock is None:
            connection.connect()
            socket: Any = connection.sock  # the type stubs declare it as always None
            socket.settimeout(retry.REPLY_TIMEOUT_S)
        method = "GET" if data is None else "POST"
        connection.request(method, self._prefix + path, data, self._headers)
        response = connection.getresponse()
        retry_after = response.getheader("retry-after", "")
        seconds = float(retry_after) if retry_after.isdecimal() else None
        return RawReply(response.status, response.read(), seconds)

    def _parse_observation(self, path: str, reply: JsonReply) -> ObservationJson:
        """Return the observation in a response, with `reward`, `done` and, if any, `metadata`."""
        if reply.status != 200 or "observation" not in reply.body:
            raise self._close_and_build_error(path, reply)
        observation = {
            **reply.body["observation"],
            "reward": reply.body.get("reward"),
            "done": bool(reply.body.get("done")),
        }
        if info := reply.body.get("info"):
            observation["metadata"] = info
        return observation

    def _close_and_build_error(self, path: str, reply: JsonReply) -> ServerError:
        """Close the connection and return the error for a response without usable content."""
        self.close()
        detail = extract_error_detail(reply.body)
        if reply.status in (401, 403):
            detail += f" Set {SERVER_TOKEN_VARIABLE} to the server's token."
        elif (reply.status == 404 and path == "/reset") or not detail:
            detail = f"it is not a {self._environment.title} server."
        return ServerError(f"{self._address} answered {path} with {reply.status}: {detail}")
