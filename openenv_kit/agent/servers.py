"""Which environment server a run plays against, and the servers that a run starts itself."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import IO, Any
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import ProxyHandler, Request, build_opener

from openenv_kit.agent.settings import AgentSettings, hide_url_password
from openenv_kit.environment import Environment
from openenv_kit.errors import ConfigurationError, ServerError
from openenv_kit.variables import (
    API_KEY_VARIABLES,
    ENVIRONMENT_VARIABLE,
    SALT_VARIABLE,
    SERVER_VARIABLES,
    STORE_VARIABLE,
    VARIABLE_PREFIX,
)

LOCAL_PORTS = (8000, 7860)
START_TIMEOUT_S = 180.0
"""Longest wait for the embedded server; loading the framework takes seconds, more on a busy
machine."""
HTTP_TIMEOUT_S = 5.0
"""Longest wait for the answer to a question about a server."""
EXIT_GRACE_S = 0.5
"""Longest time from a process's last answer to its end, where that was its end."""
STOP_TIMEOUT_S = 15.0
MAX_START_ATTEMPTS = 3
"""Another process may take the free port first."""
PrintStatus = Callable[[str], None]


@dataclass
class Server:
    """A server to play against, described in one line; this class is one that somebody else runs.

    `headers` are sent with every request.
    """

    url: str = ""
    description: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    async def restart_if_dead(self) -> None:
        """Restart what this run started, if it has died."""

    async def stop(self) -> None:
        """Stop what this run started."""


class EmbeddedServer(Server):
    """A server of the environment of that name: a process of its own, on a free loopback port."""

    def __init__(self, environment_name: str) -> None:
        super().__init__()
        self._environment_name, self._port = environment_name, 0
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop
        self._restart_lock = asyncio.Lock()

    async def start(self) -> EmbeddedServer:
        """Start the process and wait until it answers.

        Raises:
            ServerError: it did not start; quotes the end of its log.
        """
        for tries_left in reversed(range(MAX_START_ATTEMPTS)):
            try:
                await self._start_process(find_free_port())
                break
            except BaseException as problem:
                self._stop_process()
                if not (tries_left and isinstance(problem, ServerError)):
                    self._log.close()
                    raise
        return self

    async def restart_if_dead(self) -> None:
        """Restart the process on the same port, if it has died."""
        async with self._restart_lock:
            if self._process is None:
                return
            # One that was killed closes its port before it ends.
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._process.wait, EXIT_GRACE_S)
                self._stop_process()
                await self._start_process(self._port)

    async def stop(self) -> None:
        """End the process."""
        self._stop_process()
        self._log.close()

    async def _start_process(self, port: int) -> None:
        self._port, self.url = port, f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            build_server_command(port),
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            env={
                **build_server_variables(os.environ),
                ENVIRONMENT_VARIABLE: self._environment_name,
            },
            start_new_session=True,  # a Ctrl-C is for the run, which then stops its server
        )
        self.description = f"own server on {self.url} (process {self._process.pid})"
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._process.poll() is None:
            if await is_healthy(self.url):
                return
            if time.monotonic() > deadline:
                raise ServerError(
                    f"The embedded server did not answer within {START_TIMEOUT_S:.0f} s:\n"
                    f"{self._read_log_tail()}"
                )
            await asyncio.sleep(0.1)
        raise ServerError(f"The embedded server did not start:\n{self._read_log_tail()}")

    def _stop_process(self) -> None:
        """Blocking on purpose: a cancelled run still has to wait for its server's end."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with process:  # in the end its standard input is closed, and it is waited for
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()

    def _read_log_tail(self) -> str:
        self._log.seek(0)
        return "\n".join(self._log.read().decode(errors="replace").splitlines()[-15:])


class ContainerServer(Server):
    """A container from an image, through the framework's own provider; restarted by nobody."""

    def __init__(self, image: str, wait_timeout_s: float) -> None:
        super().__init__()
        self._image, self._wait_timeout_s = image, wait_timeout_s
        self._provider: Any = None

    async def start(self) -> ContainerServer:
        """Start the container and wait until it answers; a ServerError where it does not."""
        from openenv.core.containers.runtime import LocalDockerProvider

        try:
            self._provider = await asyncio.to_thread(LocalDockerProvider)
            start = asyncio.ensure_future(
                asyncio.to_thread(self._provider.start_container, self._image)
            )
            try:
                self.url = await asyncio.shield(start)
            except asyncio.CancelledError:
                await start  # the thread cannot be stopped, and what it started has to be
                raise
            self.description = f"container of {self._image} on {self.url}"
            await asyncio.to_thread(self._provider.wait_for_ready, self.url, self._wait_timeout_s)
        except BaseException as problem:
            await self.stop()
            if not isinstance(problem, (RuntimeError, TimeoutError, OSError)):
                raise
            raise ServerError(
                f"IMAGE_NAME is {self._image!r}, but its container did not start: {problem} "
                "Unset IMAGE_NAME to play without a container, or raise "
                "OPENENV_DOCKER_WAIT_TIMEOUT_S."
            ) from None
        return self

    async def stop(self) -> None:
        """Stop and remove the container."""
        if self._provider is not None:
            with suppress(Exception):
                self._provider.stop_container()
            self._provider = None


async def find_or_start_server(
    environment: Environment, settings: AgentSettings, print_status: PrintStatus
) -> Server:
    """BASE_URL; else a container of IMAGE_NAME; else a server on this machine; else a new one.

    Raises:
        ConfigurationError: BASE_URL serves another environment.
        ServerError: the chosen server cannot be reached or started.
    """
    server = await _find_or_start_server(environment, settings, print_status)
    print_status(f"Environment: {server.description}")
    return server


async def _find_or_start_server(
    environment: Environment, settings: AgentSettings, print_status: PrintStatus
) -> Server:
    if settings.base_url:
        return await _wait_for_server(settings.base_url, environment, settings, print_status)
    if settings.image_name:
        print_status(f"Starting a container of {settings.image_name} (IMAGE_NAME) …")
        return await ContainerServer(settings.image_name, settings.docker_wait_timeout_s).start()
    if not settings.embedded:
        for port in LOCAL_PORTS:
            url = f"http://127.0.0.1:{port}"
            if await fetch_environment_name(url) == environment.name and await is_healthy(url):
                return Server(url, f"running server on {url}")
    print_status("Starting an environment server for this run …")
    return await EmbeddedServer(environment.name).start()


async def _wait_for_server(
    url: str, environment: Environment, settings: AgentSettings, print_status: PrintStatus
) -> Server:
    """The server of BASE_URL, once it is healthy."""
    shown, timeout_s, token = (
        hide_url_password(url),
        settings.connect_timeout_s,
        settings.server_token,
    )
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    parts = urlsplit(url)
    http = urlunsplit(parts._replace(scheme=parts.scheme.replace("ws", "http")))
    deadline, waiting = time.monotonic() + timeout_s, False
    while not await is_healthy(http):
        if time.monotonic() > deadline:
            raise ServerError(
                f"BASE_URL is {shown}, but nothing healthy answered there within {timeout_s:g} s "
                "(OPENENV_CONNECT_TIMEOUT_S)."
            )
        if not waiting:
            print_status(f"Waiting for {shown} …")
            waiting = True
        await asyncio.sleep(0.5)
    name = await fetch_environment_name(http, headers)
    if name not in (None, environment.name):
        raise ConfigurationError(
            f"BASE_URL is {shown}, which serves {name!r}; allowed: a server of {environment.name}."
        )
    return Server(url, f"{shown} (BASE_URL)", headers)


async def is_healthy(url: str) -> bool:
    """Whether a server answers /health there."""
    return await _get_json_object(url, "/health") is not None


async def fetch_environment_name(url: str, headers: Mapping[str, str] | None = None) -> str | None:
    """Name in the server's /metadata, or None."""
    name = (await _get_json_object(url, "/metadata", headers) or {}).get("name")
    return name if isinstance(name, str) else None


async def _get_json_object(
    url: str, path: str, headers: Mapping[str, str] | None = None
) -> dict[str, Any] | None:
    """JSON object at an address; None if there is none, for whatever reason."""
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    user, has_user, host = parts.netloc.rpartition("@")  # urllib takes no user in an address
    asked = urlunsplit(parts._replace(netloc=host)).rstrip("/") + path
    basic = {"Authorization": f"Basic {b64encode(unquote(user).encode()).decode()}"}

    def found() -> Any:
        request = Request(asked, headers={**(basic if has_user else {}), **(headers or {})})
        opener = build_opener(*([ProxyHandler({})] if local else []))
        with opener.open(request, timeout=HTTP_TIMEOUT_S) as reply:
            return json.load(reply)

    try:
        answer = await asyncio.to_thread(found)
    except (OSError, HTTPException, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def build_server_command(port: int) -> list[str]:
    """Command line of the embedded server."""
    return [sys.executable, "-m", "openenv_kit.agent.embedded_server", str(port)]


def build_server_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables of the embedded server: no keys, and the server's own defaults.

    Settings of a deployed server (a token, a debug switch, fewer sessions) must not change what
    is measured. Only the sealed split's salt is passed on, and with it the episode store, because
    sealed tasks need one that outlives the server.
    """
    kept = {
        name: value
        for name, value in variables.items()
        if name == SALT_VARIABLE
        or not (
            name in API_KEY_VARIABLES
            or name in SERVER_VARIABLES
            or name.startswith(VARIABLE_PREFIX)
        )
    }
    store = variables.get(STORE_VARIABLE, "") if variables.get(SALT_VARIABLE) else ""
    return {**kept, "ENABLE_WEB_INTERFACE": "false", STORE_VARIABLE: store or "memory"}


def find_free_port() -> int:
    """A loopback port that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
