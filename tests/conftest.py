"""What many tests share: a server on loopback, started once, and episodes to look at."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STARTUP_S = 120.0


def free_port() -> int:
    """A port of the loopback interface that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_health(url: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers; a server that died or never does is an error."""
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


@pytest.fixture(scope="session")
def server_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File that everything the session's server prints goes to."""
    return tmp_path_factory.mktemp("server") / "server.log"


@pytest.fixture(scope="session")
def server_url(server_log: Path) -> Iterator[str]:
    """Address of a server that runs as a process of its own for the whole session."""
    port = free_port()
    quiet = {name: value for name, value in os.environ.items() if name != "METRIC_TRACKER_DEBUG"}
    with server_log.open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "server.app", "--host", "127.0.0.1", "--port", str(port)],
            cwd=ROOT,
            env=quiet,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            await_health(url, server)
            yield url
        finally:
            server.terminate()
            server.wait(timeout=30)
