"""Which environment server a run plays against."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from openenv_kit.agent.own_servers import ContainerServer, EmbeddedServer
from openenv_kit.agent.server_probe import is_healthy, served_name
from openenv_kit.agent.settings import Settings, shown_url
from openenv_kit.environment import Environment
from openenv_kit.errors import ServerError, SettingsError

LOCAL_PORTS = (8000, 7860)
Say = Callable[[str], None]


class Server(Protocol):
    """A server to play against."""

    url: str
    headers: Mapping[str, str]

    @property
    def description(self) -> str:
        """One line for people."""

    async def revive(self) -> None:
        """Start again what this run started and what has died; nothing otherwise."""

    async def stop(self) -> None:
        """Stop what this run started."""


class RunningServer:
    """A server that somebody else runs."""

    def __init__(
        self, url: str, description: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.url = url
        self.headers = headers
        self._description = description

    @property
    def description(self) -> str:
        """One line for people."""
        return self._description

    async def revive(self) -> None:
        """Somebody else's server is somebody else's to start."""

    async def stop(self) -> None:
        """Nor is it ours to stop."""


async def choose_server(environment: Environment, settings: Settings, say: Say) -> Server:
    """BASE_URL; else a container of IMAGE_NAME; else a server on this machine; else our own.

    Args:
        environment: what is to be played.
        settings: of the run.
        say: told which server it is.

    Raises:
        SettingsError: BASE_URL serves another environment.
        ServerError: the chosen server cannot be reached or started.
    """
    server = await _choose(environment, settings, say)
    say(f"Environment: {server.description}")
    return server


async def _choose(environment: Environment, settings: Settings, say: Say) -> Server:
    if settings.base_url:
        token = settings.server_token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        await _check_named(environment, settings, headers, say)
        where = f"{shown_url(settings.base_url)} (BASE_URL)"
        return RunningServer(settings.base_url, where, headers)
    if settings.image_name:
        say(f"Starting a container of {settings.image_name} (IMAGE_NAME) …")
        return await ContainerServer(settings.image_name, settings.docker_wait_timeout_s).start()
    if not settings.embedded:
        for port in LOCAL_PORTS:
            url = f"http://127.0.0.1:{port}"
            if await served_name(url) == environment.benchmark and await is_healthy(url):
                return RunningServer(url, f"running server on {url}")
    say("Starting an environment server of our own …")
    return await EmbeddedServer(environment.name).start()


async def _check_named(
    environment: Environment, settings: Settings, headers: Mapping[str, str], say: Say
) -> None:
    """Wait for the server of BASE_URL, and make sure that it serves this environment."""
    url, timeout_s = settings.base_url or "", settings.connect_timeout_s
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
    name = await served_name(http, headers)
    if name not in (None, environment.benchmark):
        raise SettingsError(
            f"BASE_URL is {shown_url(url)}, which serves {name!r}; allowed: a server of "
            f"{environment.benchmark}."
        )
