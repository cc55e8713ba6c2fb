"""Serving an app with uvicorn, in one process or in several that share a port."""

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

from openenv_kit.network_addresses import is_loopback
from openenv_kit.serving.settings import Settings

if TYPE_CHECKING:
    from uvicorn.supervisors import Multiprocess

PING_INTERVAL_S = 30.0
PING_TIMEOUT_S = 900.0
"""A client that thinks for minutes may answer no ping; only one gone for good is dropped."""

WORKER_HEALTHCHECK_TIMEOUT_S = 60
"""A worker that starts on a busy machine is silent for a while; only one that hangs is replaced."""

BALANCES_SHARED_PORTS = sys.platform == "linux"
"""Whether the system spreads connections over several sockets that listen on one port."""

logger = logging.getLogger("openenv_kit.server")


class PortSocket(socket.socket):
    """A bound socket that becomes another one on the same port when it is sent to a process.

    Workers that share one listening socket leave its whole queue to whoever wakes up first: of
    64 sessions opened at once one worker may get them all. With a socket of its own for each
    worker the system spreads connections evenly.
    """

    @classmethod
    def bind_new(cls, family: int, address: tuple[Any, ...]) -> PortSocket:
        """A new socket, bound but not listening; an OSError where the address cannot be had."""
        made = cls(family=family)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(address)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return PortSocket.bind_new, (int(self.family), self.getsockname())


def run_server(app: Any, settings: Settings) -> None:
    """Run an app until stopped; with several workers it is given by its import string."""
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from openenv_kit.serving import logs, metrics
    from openenv_kit.serving.http.limited_protocols import (
        LimitedHttpProtocol,
        LimitedWebSocketProtocol,
    )

    log_config = logs.build_log_config(settings.log_level)
    logging.config.dictConfig(log_config)
    if not settings.token and not is_loopback(settings.host):
        logger.warning(
            "listening on %s without a token: whoever reaches this address can play and reset; "
            "set OPENENV_KIT_TOKEN, or HOST=127.0.0.1",
            settings.host or "all addresses",
        )
    raise_open_file_limit()
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
        # Deflate would cost a session more memory than everything else it has.
        "ws_per_message_deflate": False,
        "timeout_keep_alive": settings.keep_alive_s,
        "timeout_graceful_shutdown": 10,
        "timeout_worker_healthcheck": WORKER_HEALTHCHECK_TIMEOUT_S,
    }
    with metrics.create_metrics_folder(settings.workers), metrics.serve_metrics(settings):
        if settings.workers == 1 or not BALANCES_SHARED_PORTS:
            uvicorn.run(app, **options)
            return
        config = uvicorn.Config(app, **options)
        # uvicorn's own socket finds out whether the port is free: two of ours would share it.
        with config.bind_socket() as theirs:
            family, address = theirs.family, theirs.getsockname()
        with PortSocket.bind_new(family, address) as held:
            supervisor = Multiprocess(config, sockets=[held])
            forward_sigterm(supervisor)
            supervisor.run()


def forward_sigterm(supervisor: Multiprocess) -> None:
    """Let SIGTERM reach the workers at once, each time it comes.

    The supervisor itself looks for signals twice a second, and only until the first one.
    """

    def handle(number: int, _: FrameType | None) -> None:
        if not supervisor.should_exit.is_set():
            supervisor.should_exit.set()  # it wakes up and stops the workers
            return
        for process in supervisor.processes:
            if process.pid is not None and process.exitcode is None:
                os.kill(process.pid, number)

    signal.signal(signal.SIGTERM, handle)


def raise_open_file_limit() -> None:
    """Let this process and its workers open as many files as the system allows: shells allow few.

    macOS has a lower limit than it says, and keeps the one it has.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def stop_with_parent_process() -> None:
    """In a worker: stop when the process that started it is gone, killed ones included.

    Otherwise the worker would keep the port, with nobody left to stop it.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    from openenv_kit.serving.draining import SERVER_DRAIN

    def wait() -> None:
        parent.join()
        SERVER_DRAIN.skip_draining()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
