"""A server to measure: started on a free port, watched from outside, ended by its process id."""

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

from openenv_kit.agent.servers import find_free_port

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
        startup_s: seconds from its start until /health answered.
    """

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    startup_s: float = 0.0

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def url(self) -> str:
        """Base address."""
        return f"http://{HOST}:{self.port}"

    def process_ids(self) -> list[int]:
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
        for pid in self.process_ids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += (int(fields[11]) + int(fields[12])) / tick
        return total

    def memory_bytes(self) -> int:
        """Resident memory over all workers; 0 without /proc."""
        total = 0
        for pid in self.process_ids():
            with contextlib.suppress(OSError):
                pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
                total += int(pages) * os.sysconf("SC_PAGE_SIZE")
        return total

    def kill(self) -> None:
        """End it and its workers at once, as a crash of the machine would."""
        for pid in reversed(self.process_ids()):
            with contextlib.suppress(OSError):
                os.kill(pid, 9)
        self.process.wait(STOP_TIMEOUT_S)

    def stop(self) -> None:
        """End it as an operator would, and wait."""
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
    chosen = port or find_free_port()
    command = [sys.executable, "-m", *_server_command(chosen, workers, echo=echo, tuned=tuned)]
    with tempfile.NamedTemporaryFile(prefix="metric-tracker-server-", suffix=".log") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environ or {})},
        )
        server = ServerProcess(process, chosen, Path(log.name))
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
    """Wait until every worker serves, the first of which answers alone; seconds to /health."""
    started, healthy_s = time.perf_counter(), 0.0
    # One client for all questions: to make one takes 30 ms of CPU, which the server needs.
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
    told = server.log.read_text(errors="replace")[-2000:]
    raise ServerStartError(f"The server and its {workers} worker(s) did not come up:\n{told}")
