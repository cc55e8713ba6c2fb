"""Server processes: a free port, the start, and waiting for health."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.forked_python import Program, warm_python
from support.paths import ROOT

STARTUP_S = 120.0


def free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_health(url: str, server: Program | subprocess.Popen[bytes]) -> None:
    """Wait until the server is healthy; raise AssertionError if it ends or never is."""
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with {server.returncode}")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise RuntimeError(f"the server did not answer within {STARTUP_S:g} s")


def start_server(*arguments: str, **process: Any) -> Program | subprocess.Popen[bytes]:
    """Start a server: forked, or as a new process if it has several workers."""
    command = ("-m", "server.app", *arguments)
    if "--workers" not in arguments:
        return warm_python(*command, **process)
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **process}
    return subprocess.Popen([sys.executable, *command], cwd=ROOT, **options)


@contextmanager
def served(*arguments: str, **process: Any) -> Iterator[str]:
    """Run a server with these arguments for a block, and yield its address."""
    port = free_port()
    server = start_server("--host", "127.0.0.1", "--port", str(port), *arguments, **process)
    try:
        url = f"http://127.0.0.1:{port}"
        await_health(url, server)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)
