"""A server of our own to measure: started on a free port, watched from outside, ended by pid."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0


class ServerStartError(RuntimeError):
    """The server ended, or did not become healthy in time; carries what it printed."""


@dataclass
class ServerProcess:
    """A running server.

    Attributes:
        process: the process that was started; its workers are its children.
        port: where it listens, on loopback.
        log: file that its output goes to.
        healthy_s: seconds from its start until /health answered.
    """

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    healthy_s: float

    @property
    def url(self) -> str:
        """Base address."""
        return f"http://{HOST}:{self.port}"

    def pids(self) -> list[int]:
        """The process and its children (none but itself where /proc is missing)."""
        root = self.process.pid
        found = [root]
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{root}/task").iterdir():
                found += [int(pid) for pid in (task / "children").read_text().split()]
        return found

    def cpu_s(self) -> float:
        """CPU seconds used so far, user and system, over all workers; 0.0 without /proc."""
        tick = os.sysconf("SC_CLK_TCK")
        total = 0.0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += (int(fields[11]) + int(fields[12])) / tick
        return total

    def memory_bytes(self) -> int:
        """Resident memory over all workers; 0 without /proc."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
                total += int(pages) * os.sysconf("SC_PAGE_SIZE")
        return total

    def kill(self) -> None:
        """End it and its workers at once, as a crash of the machine would."""
        for pid in reversed(self.pids()):
            with contextlib.suppress(OSError):
                os.kill(pid, 9)
        self.process.wait(STOP_TIMEOUT_S)

    def stop(self) -> None:
        """End it as an operator would, and wait."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(
    *,
    echo: bool = False,
    tuned: bool = False,
    workers: int = 1,
    environ: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Iterator[ServerProcess]:
    """A server for the length of a `with` block.

    Args:
        echo: serve the trivial environment instead, in one process.
        tuned: serve that one in every way as ours is served.
        workers: processes.
        environ: settings over those of this process.
        port: where to listen; None for any free port.

    Raises:
        ServerStartError: see there.
    """
    server = start(echo=echo, tuned=tuned, workers=workers, environ=environ, port=port)
    try:
        yield server
    finally:
        server.stop()
        server.log.unlink(missing_ok=True)


def start(
    *,
    echo: bool = False,
    tuned: bool = False,
    workers: int = 1,
    environ: Mapping[str, str] | None = None,
    port: int | None = None,
) -> ServerProcess:
    """As `serving`, for a caller that ends it itself."""
    chosen = port or free_port()
    handle, name = tempfile.mkstemp(prefix="metric-tracker-server-", suffix=".log")
    command = [sys.executable, "-m", *_command(chosen, workers, echo=echo, tuned=tuned)]
    started = time.perf_counter()
    with os.fdopen(handle, "wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environ or {})},
        )
    while time.perf_counter() - started < START_TIMEOUT_S and process.poll() is None:
        if _healthy(chosen):
            server = ServerProcess(process, chosen, Path(name), time.perf_counter() - started)
            if workers > 1:
                _await_workers(server, workers)
            return server
        time.sleep(0.02)
    if process.poll() is None:
        process.kill()
        process.wait()
    output = Path(name).read_text(errors="replace")[-2000:]
    Path(name).unlink(missing_ok=True)
    raise ServerStartError(f"The server did not become healthy on port {chosen}:\n{output}")


def _command(port: int, workers: int, *, echo: bool, tuned: bool) -> list[str]:
    if echo:
        return ["benchmarks.echo", HOST, str(port), *(["--tuned"] if tuned else [])]
    return ["server.app", "--host", HOST, "--port", str(port), "--workers", str(workers)]


def _await_workers(server: ServerProcess, count: int) -> None:
    """Wait until every worker serves; the first one answers for all before that."""
    deadline = time.perf_counter() + START_TIMEOUT_S
    while time.perf_counter() < deadline:
        with urllib.request.urlopen(f"{server.url}/metrics", timeout=5) as answer:
            if f"metric_tracker_workers {count}.0" in answer.read().decode():
                return
        time.sleep(0.1)
    server.kill()
    raise ServerStartError(f"not all of {count} workers came up in {START_TIMEOUT_S:g} s")


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
