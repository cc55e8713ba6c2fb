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

WORKER_TIMEOUT_S = 60
"""A worker that starts on a busy machine is silent for a while; only one that hangs is replaced."""

SPREADS = sys.platform == "linux"
"""Whether the system spreads connections over several sockets that listen on one port."""

logger = logging.getLogger("openenv_kit.server")


class PortSocket(socket.socket):
    """A bound socket that becomes another one on the same port when it is sent to a process.

    Workers that share one listening socket leave its whole queue to whoever wakes up first: of
    64 sessions opened at once one worker may get them all. With a socket of its own for each
    worker the system spreads connections evenly.
    """

    @classmethod
    def bound(cls, family: int, address: tuple[Any, ...]) -> PortSocket:
        """A new socket, bound but not listening; an OSError where the address cannot be had."""
        made = cls(family=family)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(address)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return PortSocket.bound, (int(self.family), self.getsockname())


def serve(app: Any, chosen: Settings) -> None:
    """Run an app until stopped; with several workers it is given by its import string."""
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from openenv_kit.serving import logs, metrics
    from openenv_kit.serving.http.limited_protocols import Connection, Messages

    log_config = logs.configuration(chosen.log_level)
    logging.config.dictConfig(log_config)
    if not chosen.token and not is_loopback(chosen.host):
        logger.warning(
            "listening on %s without a token: whoever reaches this address can play and reset; "
            "set OPENENV_KIT_TOKEN, or HOST=127.0.0.1",
            chosen.host or "all addresses",
        )
    raise_open_files()
    options: dict[str, Any] = {
        "host": chosen.host,
        "port": chosen.port,
        "workers": chosen.workers,
        "access_log": False,
        "log_config": log_config,
        "http": functools.partial(Connection, chosen.request_timeout_s),
        "ws": Messages,
        "ws_max_size": chosen.max_message_bytes,
        "ws_ping_interval": PING_INTERVAL_S,
        "ws_ping_timeout": PING_TIMEOUT_S,
        # Deflate would cost a session more memory than everything else it has.
        "ws_per_message_deflate": False,
        "timeout_keep_alive": chosen.keep_alive_s,
        "timeout_graceful_shutdown": 10,
        "timeout_worker_healthcheck": WORKER_TIMEOUT_S,
    }
    with metrics.shared_folder(chosen.workers), metrics.serve_metrics(chosen):
        if chosen.workers == 1 or not SPREADS:
            uvicorn.run(app, **options)
            return
        config = uvicorn.Config(app, **options)
        # uvicorn's own socket finds out whether the port is free: two of ours would share it.
        with config.bind_socket() as theirs:
            family, address = theirs.family, theirs.getsockname()
        with PortSocket.bound(family, address) as held:
            supervisor = Multiprocess(config, sockets=[held])
            pass_on_sigterm(supervisor)
            supervisor.run()


def pass_on_sigterm(supervisor: Multiprocess) -> None:
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


def raise_open_files() -> None:
    """Let this process and its workers open as many files as the system allows: shells allow few.

    macOS has a lower limit than it says, and keeps the one it has.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def end_with_parent() -> None:
    """In a worker: stop when the process that started it is gone, killed ones included.

    Otherwise the worker would keep the port, with nobody left to stop it.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    from openenv_kit.serving.draining import DRAIN

    def wait() -> None:
        parent.join()
        DRAIN.stop_at_once()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
