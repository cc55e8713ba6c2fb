"""Servers with several workers that a test starts and measures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from benchmarks.server_process import ServerProcess
from support.live_server import await_health, free_port, start_server

FULL = bool(os.environ.get("METRIC_TRACKER_FULL"))


def figures(server: ServerProcess) -> dict[str, float]:
    # A client of httpx takes 30 ms of CPU to make, and this is asked again and again.
    with urlopen(f"{server.url}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in pairs}


@contextmanager
def forked(port: int | None = None, **variables: str) -> Iterator[ServerProcess]:
    """Run a forked server for a block; it starts faster than a new process."""
    port = port or free_port()
    process = start_server("--port", str(port), env={**os.environ, **variables})
    server = ServerProcess(process, port, Path(os.devnull))
    try:
        await_health(server.url, process)
        yield server
    finally:
        server.stop()
