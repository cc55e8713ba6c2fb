"""Where an adapter plays its episodes: in this process, or on a server.

Servers are talked to over plain HTTP with the standard library alone: no trainer brings the
server's framework along, and some cannot be installed beside it. An HTTP episode takes none of
the server's sessions and outlives lost connections, restarts and changes of worker.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import ssl
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from openenv_kit.agent.settings import SERVER_TOKEN_VARIABLE, parse_url
from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import InvalidValueError, ServerError, truncated_repr
from openenv_kit.network_addresses import is_loopback
from openenv_kit.reply import ReplyStatus, observation_from_reply
from openenv_kit.rollouts.policies import Action, ObservationJson

LOG = logging.getLogger("openenv_kit.trainers")
CONNECT_TIMEOUT_S = 10.0
REPLY_TIMEOUT_S = 60.0
FIRST_RETRY_PAUSE_S = 0.2
MAX_RETRY_PAUSE_S = 5.0
RECONNECT_TIMEOUT_S = 30.0
"""How long a server may be unreachable, at the first request as at every later one."""
HTTP_SCHEMES = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
"""What is spoken, by an address's scheme; the framework's clients take all four."""
REFUSED_STEP_STATUSES = (400, 413, 422)
"""Statuses of a refused step: too long, too deeply nested, or malformed."""
UNAVAILABLE_STATUSES = (502, 503, 504)
"""Statuses from a proxy whose server is down."""


class ExecutedStep(NamedTuple):
    """A step of an episode, with the result of its slow computation if it had one."""

    action: Action
    slow_result: dict[str, Any] | None


class InProcessEpisode:
    """Plays against its own session, without a server.

    It is pickled as what was played, which is played again where it is loaded.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._session = environment.create_session()
        self._reset_arguments: Mapping[str, Any] | None = None
        self._executed_steps: list[ExecutedStep] = []

    def reset(self, arguments: Mapping[str, Any]) -> ObservationJson:
        reply = self._session.reset(**arguments)
        if reply.status != ReplyStatus.ERROR:  # a refused reset leaves the running episode as it is
            self._reset_arguments, self._executed_steps = dict(arguments), []
        return observation_from_reply(reply)

    def step(self, action: Action) -> ObservationJson:
        reply = self._session.step(action)
        self._executed_steps.append(ExecutedStep(action, self._session.last_slow_result))
        return {**observation_from_reply(reply), **_info_field(reply.info)}

    def close(self) -> None:
        """Nothing to release."""

    def __getstate__(self) -> dict[str, Any]:
        played = {"reset": self._reset_arguments, "steps": self._executed_steps}
        return {"environment": self._environment.name, **played}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        InProcessEpisode.__init__(self, get_environment(state["environment"]))
        if state["reset"] is not None:
            self.reset(state["reset"])
        for step in state["steps"]:
            self._session.repeat_stored_step(*step)
            self._executed_steps.append(step)


class HttpEpisode:
    """Plays on a server; connects with the first reset, and again whenever it has to.

    Args:
        base_url: http(s) or ws(s) address of the server.
        environment: what its metadata must name, if it has any.

    Raises:
        InvalidValueError: `base_url` is not such an address.
    """

    def __init__(self, base_url: str, environment: Environment) -> None:
        parts = parse_url(base_url, HTTP_SCHEMES)
        if parts is None:
            allowed = "an address such as http://127.0.0.1:8000"
            raise InvalidValueError("base_url", base_url, allowed)
        scheme = HTTP_SCHEMES[parts.scheme]
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        self._connection = kinds[scheme](
            parts.hostname or "", parts.port, timeout=CONNECT_TIMEOUT_S
        )
        self._prefix = parts.path.rstrip("/")
        self._address = f"{scheme}://{parts.netloc.rpartition('@')[2]}{self._prefix}"
        self._headers = {"content-type": "application/json"}
        if token := os.environ.get(SERVER_TOKEN_VARIABLE):
            self._headers["authorization"] = f"Bearer {token}"
        self._environment = environment
        self._has_checked_environment = False
        self._episode_id, self._step_count = "", 0

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the connection and the token, which is read again from its variable."""
        held = ("_connection", "_headers", "_environment")
        state = {name: value for name, value in self.__dict__.items() if name not in held}
        return {**state, "environment": self._environment.name}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        environment = get_environment(state["environment"])
        HttpEpisode.__init__(self, state["_address"], environment)
        self.__dict__.update({n: value for n, value in state.items() if n != "environment"})

    def reset(self, arguments: Mapping[str, Any]) -> ObservationJson:
        """Start an episode on the server.

        Raises:
            ServerError: there is no server, it serves something else, or it wants a token.
        """
        self._check_environment_name()
        status, reply = self._send_with_retry("/reset", arguments)
        opening = self._parse_observation("/reset", status, reply)
        if (
            opening["status"] != ReplyStatus.ERROR
        ):  # a refused reset leaves the running episode as it is
            self._episode_id, self._step_count = reply.get("episode_id") or "", 0
        return opening

    def step(self, action: Action) -> ObservationJson:
        """One step of the episode.

        Raises:
            ServerError: the server stayed unreachable, or no longer knows the episode.
        """
        self._step_count += 1
        # The same name on every try: a step whose answer was lost is not made twice.
        asked = {"episode_id": self._episode_id, "request_id": str(self._step_count)}
        status, reply = self._send_with_retry("/step", {**asked, "action": action})
        if status in REFUSED_STEP_STATUSES:
            refused = {"status": ReplyStatus.ERROR, "message": _extract_error_detail(reply)}
            return {**refused, "reward": 0.0, "done": False}
        observation = self._parse_observation("/step", status, reply)
        if observation["done"]:
            self.close()  # a trainer may hold many idle backends
        return observation

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _check_environment_name(self) -> None:
        """Check once that the server's metadata, if it has any, names the environment."""
        if self._has_checked_environment:
            return
        status, reply = self._send_with_retry("/metadata")
        served = reply.get("name") if status == 200 else None
        if served not in (None, self._environment.name):
            self.close()
            raise ServerError(
                f"{self._address} serves {truncated_repr(served)}, and {self._environment.name!r} "
                "is to be played: name the address of a server that serves it, or play "
                "what is served."
            )
        self._has_checked_environment = True

    def _send_with_retry(
        self, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer to a POST or, without a body, to a GET.

        A server that is away is tried again, which is logged at once with its address.
        """
        data = None if body is None else json.dumps(body).encode()
        deadline = time.monotonic() + RECONNECT_TIMEOUT_S
        pause = 0.0  # an idle connection has often just been closed
        is_logged = False
        while True:
            try:
                status, raw = self._send_once(path, data)
                if status not in UNAVAILABLE_STATUSES:
                    break
                problem: Exception | str = f"{status} {http.client.responses[status]}"
            except (OSError, http.client.HTTPException) as lost:
                self._connection.close()
                problem = lost
            why = str(problem) or type(problem).__name__
            is_final = isinstance(problem, ssl.SSLCertVerificationError)
            if is_final or time.monotonic() + pause >= deadline:
                raise ServerError(
                    f"No server answers at {self._address} ({why}). {self._unreachable_server_hint}"
                )
            if pause and not is_logged:
                LOG.warning(
                    "waiting up to %g s for the server at %s (%s)",
                    RECONNECT_TIMEOUT_S,
                    self._address,
                    why,
                )
                is_logged = True
            time.sleep(pause)
            pause = min(max(FIRST_RETRY_PAUSE_S, 2 * pause), MAX_RETRY_PAUSE_S)
        try:
            reply = json.loads(raw)
        except ValueError:
            reply = {}
        return status, reply if isinstance(reply, dict) else {}

    @property
    def _unreachable_server_hint(self) -> str:
        """What to do where no server answers."""
        if is_loopback(self._connection.host):
            start = f"Start one with `server --port {self._connection.port}`"
        else:
            start = "Check base_url, and that the server behind it runs"
        return f"{start}, or leave base_url out to play in this process."

    def _send_once(self, path: str, data: bytes | None) -> tuple[int, bytes]:
        connection = self._connection
        if connection.sock is None:
            connection.connect()
            opened: Any = connection.sock  # typed as never there
            opened.settimeout(REPLY_TIMEOUT_S)
        method = "GET" if data is None else "POST"
        connection.request(method, self._prefix + path, data, self._headers)
        response = connection.getresponse()
        return response.status, response.read()

    def _parse_observation(
        self, path: str, status: int, reply: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The observation of a reply, with its reward and whether it is the last."""
        if status == 200 and "observation" in reply:
            reported = {"reward": reply.get("reward"), "done": bool(reply.get("done"))}
            return {**reply["observation"], **reported, **_info_field(reply.get("info"))}
        self.close()
        said, detail = (
            f"{self._address} answered {path} with {status}: ",
            _extract_error_detail(reply),
        )
        if status in (401, 403):
            detail += f" Set {SERVER_TOKEN_VARIABLE} to the server's token."
        elif (status == 404 and path == "/reset") or not detail:
            detail = f"it is not a {self._environment.title} server."
        raise ServerError(said + detail)


def _info_field(info: Mapping[str, Any] | None) -> dict[str, Any]:
    """What was told beside an observation, if anything was."""
    return {"info": info} if info else {}


def _extract_error_detail(reply: Mapping[str, Any]) -> str:
    """The server's own words about an error."""
    return str(reply.get("detail") or reply.get("error") or "")
