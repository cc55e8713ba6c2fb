"""Environment servers of a run: a running server, a child process or a container."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

from openenv_kit.agent.server_requests import is_server_healthy
from openenv_kit.errors import ServerError
from openenv_kit.variables import (
    API_KEY_VARIABLES,
    ENVIRONMENT_VARIABLE,
    SALT_VARIABLE,
    SERVER_VARIABLES,
    STORE_VARIABLE,
    VARIABLE_PREFIX,
)

START_TIMEOUT_S = 180.0
"""Longest wait for the start of an embedded server, in seconds.

Importing the framework alone takes seconds, and more on a busy machine.
"""
START_POLL_INTERVAL_S = 0.1
EXIT_TIMEOUT_S = 0.5
"""Longest wait for the exit of a process that no longer responds, in seconds."""
STOP_TIMEOUT_S = 15.0
"""Longest wait for a server to stop before it is killed, in seconds."""
MAX_START_ATTEMPTS = 3
"""Largest number of attempts to start; another process may take the chosen port first."""
MAX_LOG_TAIL_LINES = 15

PrintStatus = Callable[[str], None]
"""Function that prints a status message for the user, such as progress."""


@dataclass
class Server:
    """An environment server that was already running; base class of the servers that a run starts.

    Attributes:
        url: URL of the server.
        description: one-line description of the server.
        headers: HTTP headers of every request.
    """

    url: str = ""
    description: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    async def restart_if_dead(self) -> None:
        """Restart the server if this run started it and it has died."""

    async def stop(self) -> None:
        """Stop the server if this run started it."""


class EmbeddedServer(Server):
    """A server in a child process, on a free loopback port.

    Args:
        environment_name: name of the environment to serve.
    """

    def __init__(self, environment_name: str) -> None:
        super().__init__()
        self._environment_name = environment_name
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop
        self._restart_lock = asyncio.Lock()

    async def start(self) -> EmbeddedServer:
        """Start the process, wait until the server is healthy and return this object.

        Raises:
            ServerError: the server did not start; the message ends with the last lines of its log.
        """
        for attempts_left in reversed(range(MAX_START_ATTEMPTS)):
            try:
                await self._start_process_and_wait_until_healthy(find_free_loopback_port())
                break
            except BaseException as problem:
                self._stop_process()
                if not (attempts_left and isinstance(problem, ServerError)):
                    self._log.close()
                    raise
        return self

    async def restart_if_dead(self) -> None:
        """Restart the process on the same port, if it has died."""
        async with self._restart_lock:
            if self._process is None:
                return
            # A killed process closes its port before it exits, so wait for a moment.
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._process.wait, EXIT_TIMEOUT_S)
                self._stop_process()
                await self._start_process_and_wait_until_healthy(self._port)

    async def stop(self) -> None:
        """Stop the process."""
        self._stop_process()
        self._log.close()

    async def _start_process_and_wait_until_healthy(self, port: int) -> None:
        self._port, self.url = port, f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            build_embedded_server_command(port),
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            env={
                **select_embedded_server_variables(os.environ),
                ENVIRONMENT_VARIABLE: self._environment_name,
            },
            start_new_session=True,  # Ctrl-C interrupts the run, which then stops its server
        )
        self.description = f"own server on {self.url} (process {self._process.pid})"
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._process.poll() is None:
            if await is_server_healthy(self.url):
                return
            if time.monotonic() > deadline:
                raise ServerError(
                    f"The embedded server did not answer within {START_TIMEOUT_S:.0f} s:\n"
                    f"{self._read_log_tail()}"
                )
            await asyncio.sleep(START_POLL_INTERVAL_S)
        raise ServerError(f"The embedded server did not start:\n{self._read_log_tail()}")

    def _stop_process(self) -> None:
        """Stop the process and wait for its exit.

        The wait blocks the event loop, so that a cancelled run also waits for its server.
        """
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with process:  # closes its standard input and waits for it
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()

    def _read_log_tail(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-MAX_LOG_TAIL_LINES:])


class ContainerServer(Server):
    """A server in a container, started through the framework's provider and never restarted.

    Args:
        image: name of the image.
        wait_timeout_s: longest time to wait for the container, in seconds.
    """

    def __init__(self, image: str, wait_timeout_s: float) -> None:
        super().__init__()
        self._image, self._wait_timeout_s = image, wait_timeout_s
        self._provider: Any = None

    async def start(self) -> ContainerServer:
        """Start the container, wait until its server is ready and return this object.

        Raises:
            ServerError: the container did not start, or its server was not ready in time.
        """
        from openenv.core.containers.runtime import LocalDockerProvider

        try:
            self._provider = await asyncio.to_thread(LocalDockerProvider)
            start = asyncio.ensure_future(
                asyncio.to_thread(self._provider.start_container, self._image)
            )
            try:
                self.url = await asyncio.shield(start)
            except asyncio.CancelledError:
                await start  # the thread cannot be cancelled: wait, so that stop finds a container
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


def build_embedded_server_command(port: int) -> list[str]:
    """Return the command line of an embedded server."""
    return [sys.executable, "-m", "openenv_kit.agent.embedded_server", str(port)]


def select_embedded_server_variables(process_variables: Mapping[str, str]) -> dict[str, str]:
    """Select the environment variables of this process that an embedded server receives.

    API keys are removed, and so are settings for deployed servers (token, debug mode, session
    limit), which would change the results. If the salt of the sealed split is set, the salt and the
    episode store are kept, because sealed tasks need a store that outlives the server.
    """
    kept = {
        name: value
        for name, value in process_variables.items()
        if name == SALT_VARIABLE
        or not (
            name in API_KEY_VARIABLES
            or name in SERVER_VARIABLES
            or name.startswith(VARIABLE_PREFIX)
        )
    }
    store = (
        process_variables.get(STORE_VARIABLE, "") if process_variables.get(SALT_VARIABLE) else ""
    )
    return {**kept, "ENABLE_WEB_INTERFACE": "false", STORE_VARIABLE: store or "memory"}


def find_free_loopback_port() -> int:
    """Return a loopback port that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
