"""Finds or starts the environment server of a run."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit, urlunsplit

from openenv_kit.agent.server_requests import fetch_environment_name, is_server_healthy
from openenv_kit.agent.servers import ContainerServer, EmbeddedServer, PrintStatus, Server
from openenv_kit.agent.settings import AgentSettings, hide_url_credentials
from openenv_kit.environment import Environment
from openenv_kit.errors import ConfigurationError, ServerError

LOCAL_PORTS = (8000, 7860)
"""Local ports on which the agent looks for a running server."""
HEALTH_POLL_INTERVAL_S = 0.5


async def find_or_start_server(
    environment: Environment, settings: AgentSettings, print_status: PrintStatus
) -> Server:
    """Find or start the environment server of a run.

    The candidates are, in this order: the server at BASE_URL, a container of the image IMAGE_NAME,
    a server that is already running on this machine, and a new server process.

    Raises:
        ConfigurationError: the server at BASE_URL serves another environment.
        ServerError: the server cannot be reached or started.
    """
    server = await _find_or_start_server_by_settings(environment, settings, print_status)
    print_status(f"Environment: {server.description}")
    return server


async def _find_or_start_server_by_settings(
    environment: Environment, settings: AgentSettings, print_status: PrintStatus
) -> Server:
    if settings.base_url:
        return await _wait_for_server_of_environment(
            settings.base_url, environment, settings, print_status
        )
    if settings.image_name:
        print_status(f"Starting a container of {settings.image_name} (IMAGE_NAME) …")
        return await ContainerServer(settings.image_name, settings.docker_wait_timeout_s).start()
    if not settings.embedded:
        for port in LOCAL_PORTS:
            url = f"http://127.0.0.1:{port}"
            if await fetch_environment_name(url) == environment.name and await is_server_healthy(
                url
            ):
                return Server(url, f"running server on {url}")
    print_status("Starting an environment server for this run …")
    return await EmbeddedServer(environment.name).start()


async def _wait_for_server_of_environment(
    url: str, environment: Environment, settings: AgentSettings, print_status: PrintStatus
) -> Server:
    """Wait until the server at a URL is healthy, and check that it serves the environment."""
    shown_url = hide_url_credentials(url)
    timeout_s = settings.connect_timeout_s
    headers: dict[str, str] = {}
    if settings.server_token:
        headers["Authorization"] = f"Bearer {settings.server_token}"
    parts = urlsplit(url)
    http_url = urlunsplit(parts._replace(scheme=parts.scheme.replace("ws", "http")))
    deadline = time.monotonic() + timeout_s
    has_printed_wait = False
    while not await is_server_healthy(http_url):
        if time.monotonic() > deadline:
            raise ServerError(
                f"BASE_URL is {shown_url}, but no healthy server answered there within "
                f"{timeout_s:g} s (OPENENV_CONNECT_TIMEOUT_S)."
            )
        if not has_printed_wait:
            print_status(f"Waiting for {shown_url} …")
            has_printed_wait = True
        await asyncio.sleep(HEALTH_POLL_INTERVAL_S)
    name = await fetch_environment_name(http_url, headers)
    if name not in (None, environment.name):
        raise ConfigurationError(
            f"BASE_URL is {shown_url}, which serves {name!r}; allowed: a server of "
            f"{environment.name}."
        )
    return Server(url, f"{shown_url} (BASE_URL)", headers)
