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

from openenv_kit.agent.settings import TOKEN_VARIABLE, address
from openenv_kit.environment import ERROR, Environment, get_environment
from openenv_kit.errors import InvalidValueError, ServerError, echo
from openenv_kit.network_addresses import is_loopback
from openenv_kit.rollouts.policies import Action, Observed
from openenv_kit.rollouts.run_policy import observed

LOG = logging.getLogger("openenv_kit.trainers")
CONNECT_TIMEOUT_S = 10.0
REPLY_TIMEOUT_S = 60.0
FIRST_PAUSE_S = 0.2
MAX_PAUSE_S = 5.0
PATIENCE_S = 30.0
"""How long a server may be unreachable, at the first request as at every later one."""
SCHEMES = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
"""What is spoken, by an address's scheme; the framework's clients take all four."""
REFUSED_REQUEST = (400, 413, 422)
"""Statuses of a refused step: too long, too deeply nested, or malformed."""
AWAY = (502, 503, 504)
"""Statuses from a proxy whose server is down."""


class PlayedStep(NamedTuple):
    """A step of an episode, with the result of its slow computation if it had one."""

    action: Action
    slow_result: dict[str, Any] | None


class InProcess:
    """Plays against its own session, without a server.

    It is pickled as what was played, which is played again where it is loaded.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._session = environment.session()
        self._reset: Mapping[str, Any] | None = None
        self._steps: list[PlayedStep] = []

    def reset(self, arguments: Mapping[str, Any]) -> Observed:
        reply = self._session.reset(**arguments)
        if reply.status != ERROR:  # a refused reset leaves the running episode as it is
            self._reset, self._steps = dict(arguments), []
        return observed(reply)

    def step(self, action: Action) -> Observed:
        reply = self._session.step(action)
        self._steps.append(PlayedStep(action, self._session.last_slow_result))
        return {**observed(reply), **_with_info(reply.info)}

    def close(self) -> None:
        """Nothing to release."""

    def __getstate__(self) -> dict[str, Any]:
        played = {"reset": self._reset, "steps": self._steps}
        return {"environment": self._environment.name, **played}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        InProcess.__init__(self, get_environment(state["environment"]))
        if state["reset"] is not None:
            self.reset(state["reset"])
        for step in state["steps"]:
            self._session.replay_step(*step)
            self._steps.append(step)


class Remote:
    """Plays on a server; connects with the first reset, and again whenever it has to.

    Args:
        base_url: http(s) or ws(s) address of the server.
        environment: what its metadata must name, if it has any.

    Raises:
        InvalidValueError: `base_url` is not such an address.
    """

    def __init__(self, base_url: str, environment: Environment) -> None:
        parts = address(base_url, SCHEMES)
        if parts is None:
            allowed = "an address such as http://127.0.0.1:8000"
            raise InvalidValueError("base_url", base_url, allowed)
        scheme = SCHEMES[parts.scheme]
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        self._connection = kinds[scheme](
            parts.hostname or "", parts.port, timeout=CONNECT_TIMEOUT_S
        )
        self._prefix = parts.path.rstrip("/")
        self._address = f"{scheme}://{parts.netloc.rpartition('@')[2]}{self._prefix}"
        self._headers = {"content-type": "application/json"}
        if token := os.environ.get(TOKEN_VARIABLE):
            self._headers["authorization"] = f"Bearer {token}"
        self._environment = environment
        self._checked = False
        self._episode_id, self._steps = "", 0

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the connection and the token, which is read again from its variable."""
        held = ("_connection", "_headers", "_environment")
        state = {name: value for name, value in self.__dict__.items() if name not in held}
        return {**state, "environment": self._environment.name}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        environment = get_environment(state["environment"])
        Remote.__init__(self, state["_address"], environment)
        self.__dict__.update({n: value for n, value in state.items() if n != "environment"})

    def reset(self, arguments: Mapping[str, Any]) -> Observed:
        """Start an episode on the server.

        Raises:
            ServerError: there is no server, it serves something else, or it wants a token.
        """
        self._check_served()
        status, reply = self._send("/reset", arguments)
        opening = self._observation("/reset", status, reply)
        if opening["status"] != ERROR:  # a refused reset leaves the running episode as it is
            self._episode_id, self._steps = reply.get("episode_id") or "", 0
        return opening

    def step(self, action: Action) -> Observed:
        """One step of the episode.

        Raises:
            ServerError: the server stayed unreachable, or no longer knows the episode.
        """
        self._steps += 1
        # The same name on every try: a step whose answer was lost is not made twice.
        asked = {"episode_id": self._episode_id, "request_id": str(self._steps)}
        status, reply = self._send("/step", {**asked, "action": action})
        if status in REFUSED_REQUEST:
            refused = {"status": ERROR, "message": _detail(reply)}
            return {**refused, "reward": 0.0, "done": False}
        observation = self._observation("/step", status, reply)
        if observation["done"]:
            self.close()  # a trainer may hold many idle backends
        return observation

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _check_served(self) -> None:
        """Check once that the server's metadata, if it has any, names the environment."""
        if self._checked:
            return
        status, reply = self._send("/metadata")
        served = reply.get("name") if status == 200 else None
        if served not in (None, self._environment.name):
            self.close()
            raise ServerError(
                f"{self._address} serves {echo(served)}, and {self._environment.name!r} is to be "
                "played: name the address of a server that serves it, or play what is served."
            )
        self._checked = True

    def _send(self, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer to a POST or, without a body, to a GET.

        A server that is away is tried again, which is logged at once with its address.
        """
        data = None if body is None else json.dumps(body).encode()
        deadline = time.monotonic() + PATIENCE_S
        pause = 0.0  # an idle connection has often just been closed
        is_logged = False
        while True:
            try:
                status, raw = self._try(path, data)
                if status not in AWAY:
                    break
                problem: Exception | str = f"{status} {http.client.responses[status]}"
            except (OSError, http.client.HTTPException) as lost:
                self._connection.close()
                problem = lost
            why = str(problem) or type(problem).__name__
            is_final = isinstance(problem, ssl.SSLCertVerificationError)
            if is_final or time.monotonic() + pause >= deadline:
                raise ServerError(f"No server answers at {self._address} ({why}). {self._hint}")
            if pause and not is_logged:
                LOG.warning(
                    "waiting up to %g s for the server at %s (%s)", PATIENCE_S, self._address, why
                )
                is_logged = True
            time.sleep(pause)
            pause = min(max(FIRST_PAUSE_S, 2 * pause), MAX_PAUSE_S)
        try:
            reply = json.loads(raw)
        except ValueError:
            reply = {}
        return status, reply if isinstance(reply, dict) else {}

    @property
    def _hint(self) -> str:
        """What to do where no server answers."""
        if is_loopback(self._connection.host):
            start = f"Start one with `server --port {self._connection.port}`"
        else:
            start = "Check base_url, and that the server behind it runs"
        return f"{start}, or leave base_url out to play in this process."

    def _try(self, path: str, data: bytes | None) -> tuple[int, bytes]:
        connection = self._connection
        if connection.sock is None:
            connection.connect()
            opened: Any = connection.sock  # typed as never there
            opened.settimeout(REPLY_TIMEOUT_S)
        method = "GET" if data is None else "POST"
        connection.request(method, self._prefix + path, data, self._headers)
        response = connection.getresponse()
        return response.status, response.read()

    def _observation(self, path: str, status: int, reply: Mapping[str, Any]) -> dict[str, Any]:
        """The observation of a reply, with its reward and whether it is the last."""
        if status == 200 and "observation" in reply:
            reported = {"reward": reply.get("reward"), "done": bool(reply.get("done"))}
            return {**reply["observation"], **reported, **_with_info(reply.get("info"))}
        self.close()
        said, detail = f"{self._address} answered {path} with {status}: ", _detail(reply)
        if status in (401, 403):
            detail += f" Set {TOKEN_VARIABLE} to the server's token."
        elif (status == 404 and path == "/reset") or not detail:
            detail = f"it is not a {self._environment.title} server."
        raise ServerError(said + detail)


def _with_info(info: Mapping[str, Any] | None) -> dict[str, Any]:
    """What was told beside an observation, if anything was."""
    return {"info": info} if info else {}


def _detail(reply: Mapping[str, Any]) -> str:
    """The server's own words about an error."""
    return str(reply.get("detail") or reply.get("error") or "")
