"""A server that can be killed, and the results of a run of `inference.py`."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from openenv_kit.agent.servers import find_free_loopback_port
from support.contract_lines import Block
from support.forked_python import Program, warm_python

KEY = "sk-a-key-that-nobody-may-see-0123456789"


class EnvironmentServer:
    """A server process that can be killed and started again on the same port."""

    def __init__(self, **variables: str) -> None:
        self.variables = variables
        self.port = find_free_loopback_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: Program | subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        # The server ends by itself where its standard input does.
        theirs, self._stdin = os.pipe()
        self.process = warm_python(
            *("-m", "openenv_kit.agent.embedded_server", str(self.port)),
            stdin=theirs,
            env={**os.environ, **self.variables},
        )
        os.close(theirs)

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
        os.close(self._stdin)


@dataclass
class Ran:
    """Exit code, output and files of one run."""

    code: int
    out: str
    err: str
    blocks: list[Block]
    results: dict[str, Any]

    @property
    def tasks(self) -> list[dict[str, Any]]:
        return self.results.get("tasks", [])


Play = Callable[..., Ran]
