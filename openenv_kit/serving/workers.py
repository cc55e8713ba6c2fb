"""Runs an app with uvicorn, in one process or in several worker processes that share a port."""

from __future__ import annotations

import functools
import logging
import logging.config
import multiprocessing
import os
import resource
import signal
import socket
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from openenv_kit.network_addresses import is_loopback_host
from openenv_kit.serving.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp
    from uvicorn.supervisors import Multiprocess

PING_INTERVAL_S = 30.0
PING_TIMEOUT_S = 900.0
"""Time to wait for the reply to a ping before the connection is closed. A client that waits for a
model may not reply for minutes."""

WORKER_HEALTHCHECK_TIMEOUT_S = 60
"""Time after which a worker that does not respond is replaced. On a busy machine, a worker needs
many seconds to start."""

GRACEFUL_SHUTDOWN_TIMEOUT_S = 10
"""Maximum time to wait for open connections when the server stops."""

BALANCES_SHARED_PORTS = sys.platform == "linux"
"""Whether the system distributes connections to several sockets that listen on one port."""

logger = logging.getLogger("openenv_kit.server")


class PortSocket(socket.socket):
    """A bound socket that is unpickled in another process as a new socket on the same port.

    If workers shared one listening socket, the worker that wakes up first would accept all waiting
    connections: one worker could get all of 64 sessions that were opened at once. With one socket
    per worker, the operating system distributes the connections evenly.
    """

    @classmethod
    def create_bound_socket(cls, family: int, address: Any) -> PortSocket:
        """Return a new socket that is bound to an address and does not listen yet.

        Raises:
            OSError: the address is not available.
        """
        bound_socket = cls(family=family)
        bound_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound_socket.bind(address)
        return bound_socket

    def __reduce__(self) -> tuple[Any, ...]:
        return PortSocket.create_bound_socket, (int(self.family), self.getsockname())


def run_server(app: ASGIApp | str, settings: Settings) -> None:
    """Run an app until it is stopped.

    Args:
        app: the app, or its import string, which several workers need.
        settings: settings of the server.

    Raises:
        ConfigurationError: the metrics port is not available.
    """
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from openenv_kit.serving import logs, metrics_export
    from openenv_kit.serving.http.limited_protocols import (
        LimitedHttpProtocol,
        LimitedWebSocketProtocol,
    )

    log_config = logs.build_log_config(settings.log_level)
    logging.config.dictConfig(log_config)
    if not settings.token and not is_loopback_host(settings.host):
        fields = {
            "address": settings.host or "all addresses",
            "reason": "every client that reaches this address can start and play episodes; set "
            "OPENENV_KIT_TOKEN, or HOST=127.0.0.1",
        }
        logger.warning("started without a token", extra=fields)
    raise_open_file_limit_to_hard_limit()
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "workers": settings.workers,
        "access_log": False,
        "log_config": log_config,
        "http": functools.partial(LimitedHttpProtocol, settings.request_timeout_s),
        "ws": LimitedWebSocketProtocol,
        "ws_max_size": settings.max_message_bytes,
        "ws_ping_interval": PING_INTERVAL_S,
        "ws_ping_timeout": PING_TIMEOUT_S,
        # Compression would take more memory than everything else in a session.
        "ws_per_message_deflate": False,
        "timeout_keep_alive": settings.keep_alive_s,
        "timeout_graceful_shutdown": GRACEFUL_SHUTDOWN_TIMEOUT_S,
        "timeout_worker_healthcheck": WORKER_HEALTHCHECK_TIMEOUT_S,
    }
    with (
        metrics_export.provide_folder_for_worker_metrics(settings.workers),
        metrics_export.serve_metrics_on_own_port(settings),
    ):
        if settings.workers == 1 or not BALANCES_SHARED_PORTS:
            uvicorn.run(app, **options)
            return
        config = uvicorn.Config(app, **options)
        # Binding uvicorn's own socket checks that the port is free. Binding a PortSocket does not,
        # because several of them can share a port.
        with config.bind_socket() as free_port_socket:
            family, address = free_port_socket.family, free_port_socket.getsockname()
        with PortSocket.create_bound_socket(family, address) as bound_socket:
            supervisor = Multiprocess(config, sockets=[bound_socket])
            forward_sigterm_to_workers(supervisor)
            supervisor.run()


def forward_sigterm_to_workers(supervisor: Multiprocess) -> None:
    """Forward every SIGTERM to the workers immediately.

    uvicorn's supervisor polls for signals only twice a second, and ignores signals after the first.
    """

    def handle_sigterm(number: int, _: FrameType | None) -> None:
        if not supervisor.should_exit.is_set():
            supervisor.should_exit.set()  # wakes up the supervisor, which stops the workers
            return
        for process in supervisor.processes:
            if process.pid is not None and process.exitcode is None:
                os.kill(process.pid, number)

    signal.signal(signal.SIGTERM, handle_sigterm)


def raise_open_file_limit_to_hard_limit() -> None:
    """Raise the limit on open files to the hard limit, because shells set a low default.

    macOS reports a hard limit that cannot be set. The limit then stays unchanged.
    """
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))


def stop_this_process_when_parent_ends() -> None:
    """Stop this worker process when its parent process ends, even if the parent was killed.

    Otherwise the worker would continue to run and keep the port open.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    from openenv_kit.serving.draining import SERVER_DRAIN

    def stop_after_parent() -> None:
        parent.join()
        SERVER_DRAIN.skip_draining_at_next_sigterm()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_after_parent, name="parent-watch", daemon=True).start()
