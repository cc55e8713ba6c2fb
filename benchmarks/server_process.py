"""Starts a server in a process of its own, to measure it from outside."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from openenv_kit.agent.servers import find_free_loopback_port

HOST = "127.0.0.1"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0


class ServerStartError(RuntimeError):
    """The server ended, or did not become healthy in time. The message has its output."""


@dataclass
class ServerProcess:
    """A running server.

    Attributes:
        process: the server's main process; the workers are its children.
        port: port on loopback that the server listens on.
        log: file that the output is written to.
        startup_s: seconds from the start until /health answered.
    """

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    startup_s: float = 0.0

    @property
    def is_running(self) -> bool:
        """Whether the main process has not ended."""
        return self.process.poll() is None

    @property
    def url(self) -> str:
        """Base address of the server."""
        return f"http://{HOST}:{self.port}"

    def process_ids(self) -> list[int]:
        """Return the ids of the process and its children; without /proc, only its own."""
        root = self.process.pid
        process_ids = [root]
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{root}/task").iterdir():
                process_ids += [int(pid) for pid in (task / "children").read_text().split()]
        return process_ids

    def cpu_s(self) -> float:
        """Return the CPU seconds of all workers so far, user and system; 0.0 without /proc."""
        tick = os.sysconf("SC_CLK_TCK")
        total = 0.0
        for pid in self.process_ids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += (int(fields[11]) + int(fields[12])) / tick
        return total

    def memory_bytes(self) -> int:
        """Return the resident memory of all workers; 0 without /proc."""
        total = 0
        for pid in self.process_ids():
            with contextlib.suppress(OSError):
                pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
                total += int(pages) * os.sysconf("SC_PAGE_SIZE")
        return total

    def kill(self) -> None:
        """Kill the server and its workers, as a crash of the machine would."""
        for pid in reversed(self.process_ids()):
            with contextlib.suppress(OSError):
                os.kill(pid, 9)
        self.process.wait(STOP_TIMEOUT_S)

    def stop(self) -> None:
        """Stop the server with SIGTERM and wait until it has ended."""
        if self.is_running:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()


@contextlib.contextmanager
def run_server(
    *,
    echo: bool = False,
    tuned: bool = False,
    workers: int = 1,
    environ: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Iterator[ServerProcess]:
    """Run a server for the duration of a `with` block.

    Args:
        echo: serve the trivial environment of `benchmarks.echo` instead, in one process.
        tuned: serve the trivial environment with the settings of the real server.
        workers: number of worker processes.
        environ: environment variables to set, in addition to those of this process.
        port: port to listen on; None for any free port.

    Raises:
        ServerStartError: the server ended, or did not become healthy in time.
    """
    port = port or find_free_loopback_port()
    command = [sys.executable, "-m", *_server_command(port, workers, echo=echo, tuned=tuned)]
    with tempfile.NamedTemporaryFile(prefix="metric-tracker-server-", suffix=".log") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environ or {})},
        )
        server = ServerProcess(process, port, Path(log.name))
        try:
            server.startup_s = _wait_until_healthy(server, workers)
            yield server
        finally:
            server.stop()


def _server_command(port: int, workers: int, *, echo: bool, tuned: bool) -> list[str]:
    if echo:
        return ["benchmarks.echo", HOST, str(port), *(["--tuned"] if tuned else [])]
    return ["server.app", "--host", HOST, "--port", str(port), "--workers", str(workers)]


def _wait_until_healthy(server: ServerProcess, workers: int) -> float:
    """Wait until every worker serves. Return the seconds until /health first answered."""
    started, healthy_s = time.perf_counter(), 0.0
    # A new client takes 30 ms of CPU time, which the server needs, so one client is reused.
    with httpx.Client(base_url=server.url, timeout=5) as client:
        while (now := time.perf_counter() - started) < START_TIMEOUT_S and server.is_running:
            with contextlib.suppress(httpx.HTTPError):
                if not healthy_s:
                    client.get("/health").raise_for_status()
                    healthy_s = now
                if workers == 1:
                    return healthy_s
                if f"openenv_kit_workers {workers}.0" in client.get("/metrics").text:
                    return healthy_s
            time.sleep(0.02)
    server.stop()
    output = server.log.read_text(errors="replace")[-2000:]
    raise ServerStartError(
        f"The server with {workers} worker(s) was not healthy after {START_TIMEOUT_S:g} s, or it "
        f"ended. Its output:\n{output}"
    )
