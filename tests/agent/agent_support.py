"""What the tests of the agent share: a server that can be killed, and what a run left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from contract_lines import Block

from openenv_kit.agent.servers import free_port

KEY = "sk-a-key-that-nobody-may-see-0123456789"


class EnvironmentServer:
    """A server process that can be killed and started again on the same port."""

    def __init__(self, **variables: str) -> None:
        self.variables = variables
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "openenv_kit.agent.embedded", str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **self.variables},
        )

    def wait(self) -> None:
        for _ in range(1200):
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError("the environment server did not start")

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(20)
        assert self.process.stdin is not None
        self.process.stdin.close()


@dataclass
class Ran:
    """What one run left behind."""

    code: int
    out: str
    err: str
    blocks: list[Block]
    results: dict[str, Any]

    @property
    def tasks(self) -> list[dict[str, Any]]:
        return self.results.get("tasks", [])


Play = Callable[..., Ran]
