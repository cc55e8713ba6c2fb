"""Servers that a run starts itself, and stops: a process of its own, or a container."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import IO, Any

from openenv_kit.agent.server_probe import is_healthy
from openenv_kit.agent.settings import KEY_VARIABLES
from openenv_kit.environment import VARIABLE
from openenv_kit.errors import ServerError
from openenv_kit.trust.sealing import SALT_VARIABLE

SERVER_PREFIX = "METRIC_TRACKER_"
SERVER_VARIABLES = ("HOST", "PORT", "WORKERS", "MAX_CONCURRENT_ENVS")
START_TIMEOUT_S = 180.0
"""Longest wait for the embedded server; loading the framework takes seconds, more on a busy
machine."""
STOP_TIMEOUT_S = 15.0
START_TRIES = 3


class EmbeddedServer:
    """A server in a process of its own, on a free loopback port.

    Args:
        environment: name of the environment to serve.
    """

    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, environment: str) -> None:
        self.url = ""
        self._environment = environment
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop
        self._reviving = asyncio.Lock()

    @property
    def description(self) -> str:
        """One line for people."""
        pid = self._process.pid if self._process else None
        return f"own server on {self.url} (process {pid})"

    async def start(self) -> EmbeddedServer:
        """Start the process and wait until it answers.

        Raises:
            ServerError: it did not start; quotes the end of its log.
        """
        for attempt in range(START_TRIES):
            try:
                await self._start(free_port())
                return self
            except ServerError:
                await self._end_process()
                if attempt == START_TRIES - 1:
                    await self.stop()
                    raise
            except BaseException:
                await self.stop()
                raise
        raise AssertionError("unreachable")

    async def revive(self) -> None:
        """Start the process again, on the same port, if it has died."""
        async with self._reviving:
            if self._process is not None and self._process.poll() is not None:
                await self._end_process()
                await self._start(self._port)

    async def stop(self) -> None:
        """End the process."""
        await self._end_process()
        self._log.close()

    async def _start(self, port: int) -> None:
        self._port, self.url = port, f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            server_command(port),
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            env={**server_environment(os.environ), VARIABLE: self._environment},
            start_new_session=True,  # a Ctrl-C is for the run, which then stops its server
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ServerError(f"The embedded server did not start:\n{self._log_tail()}")
            if await is_healthy(self.url):
                return
            await asyncio.sleep(0.1)
        raise ServerError(
            f"The embedded server did not answer within {START_TIMEOUT_S:.0f} s:\n"
            f"{self._log_tail()}"
        )

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            try:
                # Blocking on purpose: a cancelled run still has to wait for its server's end.
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdin is not None:
            process.stdin.close()

    def _log_tail(self, lines: int = 15) -> str:
        self._log.seek(0)
        return "\n".join(self._log.read().decode(errors="replace").splitlines()[-lines:])


class ContainerServer:
    """A container from an image, through the framework's own provider."""

    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, image: str, wait_timeout_s: float) -> None:
        self._image = image
        self._wait_timeout_s = wait_timeout_s
        self._provider: Any = None
        self.url = ""

    @property
    def description(self) -> str:
        """One line for people."""
        return f"container of {self._image} on {self.url}"

    async def start(self) -> ContainerServer:
        """Start the container and wait until it answers.

        Raises:
            ServerError: it did not start.
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
                await start  # the thread cannot be stopped, and what it started has to be
                raise
            await asyncio.to_thread(self._provider.wait_for_ready, self.url, self._wait_timeout_s)
        except (RuntimeError, TimeoutError, OSError) as problem:
            await self.stop()
            raise ServerError(
                f"IMAGE_NAME is {self._image!r}, but its container did not start: {problem} "
                "Unset IMAGE_NAME to play without a container, or raise "
                "OPENENV_DOCKER_WAIT_TIMEOUT_S."
            ) from None
        except BaseException:
            await self.stop()
            raise
        return self

    async def revive(self) -> None:
        """A container that died stays dead: its image is at fault."""

    async def stop(self) -> None:
        """Stop and remove the container."""
        if self._provider is not None:
            with suppress(Exception):
                self._provider.stop_container()
            self._provider = None


def server_command(port: int) -> list[str]:
    """Command line of the embedded server."""
    return [sys.executable, "-m", "openenv_kit.agent.embedded", str(port)]


def server_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables of the embedded server: no keys, and the server's own defaults.

    Settings meant for a server that is deployed (a token, a debug switch, fewer sessions) must
    not change what is measured; only the sealed split's salt is passed on.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name == SALT_VARIABLE
        or not (name in KEY_VARIABLES or name in SERVER_VARIABLES or name.startswith(SERVER_PREFIX))
    }
    return {**kept, "ENABLE_WEB_INTERFACE": "false", "METRIC_TRACKER_EPISODE_STORE": "memory"}


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
