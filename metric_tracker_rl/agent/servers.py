"""Which environment server a run plays against, and the servers it starts itself."""

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
from typing import IO, Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import httpx

from metric_tracker_rl.agent.settings import KEY_VARIABLES, Settings, shown_url
from metric_tracker_rl.errors import ServerError, SettingsError

ENV_NAME = "metric_tracker_rl"
LOCAL_PORTS = (8000, 7860)
START_TIMEOUT_S = 180.0
"""Longest wait for the embedded server; loading the framework takes seconds, more on a busy
machine."""
STOP_TIMEOUT_S = 8.0
START_TRIES = 3
Say = Callable[[str], None]


class Server(Protocol):
    """A server to play against."""

    url: str

    @property
    def description(self) -> str:
        """One line for people."""

    async def revive(self) -> None:
        """Start again what this run started and what has died; nothing otherwise."""

    async def stop(self) -> None:
        """Stop what this run started."""


class RunningServer:
    """A server that somebody else runs."""

    def __init__(self, url: str, description: str) -> None:
        self.url = url
        self._description = description

    @property
    def description(self) -> str:
        """One line for people."""
        return self._description

    async def revive(self) -> None:
        """Somebody else's server is somebody else's to start."""

    async def stop(self) -> None:
        """Nor is it ours to stop."""


class EmbeddedServer:
    """A server in a process of its own, on a free loopback port."""

    def __init__(self) -> None:
        self.url = ""
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
            env=server_environment(os.environ),
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


async def choose_server(settings: Settings, say: Say) -> Server:
    """BASE_URL; else a container of IMAGE_NAME; else a server on this machine; else our own.

    Args:
        settings: of the run.
        say: told which server it is.

    Raises:
        SettingsError: BASE_URL serves another environment.
        ServerError: the chosen server cannot be reached or started.
    """
    server = await _choose(settings, say)
    say(f"Environment: {server.description}")
    return server


async def _choose(settings: Settings, say: Say) -> Server:
    if settings.base_url:
        await _check_named(settings.base_url, settings.connect_timeout_s, say)
        return RunningServer(settings.base_url, f"{shown_url(settings.base_url)} (BASE_URL)")
    if settings.image_name:
        say(f"Starting a container of {settings.image_name} (IMAGE_NAME) …")
        return await ContainerServer(settings.image_name, settings.docker_wait_timeout_s).start()
    if not settings.embedded:
        for port in LOCAL_PORTS:
            url = f"http://127.0.0.1:{port}"
            if await served_name(url) == ENV_NAME and await is_healthy(url):
                return RunningServer(url, f"running server on {url}")
    say("Starting an environment server of our own …")
    return await EmbeddedServer().start()


async def _check_named(url: str, timeout_s: float, say: Say) -> None:
    """Wait for the server of BASE_URL, and make sure that it is this environment."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname:
        raise SettingsError(
            f"BASE_URL is {shown_url(url)!r}; allowed: an http(s) or ws(s) address."
        )
    http = urlunsplit(parts._replace(scheme=parts.scheme.replace("ws", "http")))
    deadline = time.monotonic() + timeout_s
    waiting = False
    while not await is_healthy(http):
        if time.monotonic() > deadline:
            raise ServerError(
                f"BASE_URL is {shown_url(url)}, but nothing healthy answered there within "
                f"{timeout_s:g} s (OPENENV_CONNECT_TIMEOUT_S)."
            )
        if not waiting:
            say(f"Waiting for {shown_url(url)} …")
            waiting = True
        await asyncio.sleep(0.5)
    name = await served_name(http)
    if name not in (None, ENV_NAME):
        raise SettingsError(
            f"BASE_URL is {shown_url(url)}, which serves {name!r}; allowed: a server of {ENV_NAME}."
        )


async def is_healthy(url: str) -> bool:
    """Whether a server answers /health there."""
    return await _get(url, "/health") is not None


async def served_name(url: str) -> str | None:
    """Name in the server's /metadata, or None."""
    metadata = await _get(url, "/metadata")
    name = metadata.get("name") if metadata else None
    return name if isinstance(name, str) else None


async def _get(url: str, path: str) -> dict[str, Any] | None:
    """JSON object at an address, or None if there is none, for whatever reason."""
    local = urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    try:
        async with httpx.AsyncClient(timeout=5.0, trust_env=not local) as client:
            reply = await client.get(url.rstrip("/") + path)
            found = reply.raise_for_status().json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None
    return found if isinstance(found, dict) else None


def server_command(port: int) -> list[str]:
    """Command line of the embedded server."""
    return [sys.executable, "-m", "metric_tracker_rl.agent.embedded", str(port)]


def server_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables of the embedded server: no keys, no answers shown, no web interface."""
    kept = {name: value for name, value in environ.items() if name not in KEY_VARIABLES}
    kept.pop("METRIC_TRACKER_DEBUG", None)
    return {**kept, "ENABLE_WEB_INTERFACE": "false"}


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
