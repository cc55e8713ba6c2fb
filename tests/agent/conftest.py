"""Fixtures: one environment server and one fake model for all tests of the agent."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from contract_lines import Block, parse_blocks
from fake_model import FakeModel, fake_model

import inference

VARIABLES = (
    *("HF_TOKEN", "OPENAI_API_KEY", "API_KEY", "API_BASE_URL", "OPENAI_BASE_URL"),
    *("MODEL_NAME", "OPENAI_MODEL", "BASE_URL", "IMAGE_NAME", "TEMPERATURE", "MAX_TOKENS"),
    *("MetricTrackerRl_TASK", "MetricTrackerRl_BENCHMARK", "MAX_TOOL_ROUNDS", "TOKEN_BUDGET"),
    *("OPENENV_CONNECT_TIMEOUT_S", "OPENENV_MESSAGE_TIMEOUT_S", "OPENENV_TASK_RETRY_COUNT"),
    *("OPENENV_DOCKER_WAIT_TIMEOUT_S", "OPENENV_SCORE_EPSILON", "MODEL_TIMEOUT_S"),
    *("MODEL_RETRIES", "INPUT_PRICE_PER_MILLION", "OUTPUT_PRICE_PER_MILLION"),
)
KEY = "sk-a-key-that-nobody-may-see-0123456789"


class EnvironmentServer:
    """A server process that can be killed and started again on the same port."""

    def __init__(self, **variables: str) -> None:
        self.variables = variables
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "metric_tracker_rl.agent.embedded", str(self.port)],
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


@pytest.fixture(scope="session")
def environment() -> Iterator[EnvironmentServer]:
    server = EnvironmentServer()
    try:
        server.wait()
        yield server
    finally:
        server.end()


@pytest.fixture
def model() -> Iterator[FakeModel]:
    with fake_model() as server:
        yield server


@pytest.fixture(autouse=True)
def clean_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


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


@pytest.fixture
def play(
    capsys: pytest.CaptureFixture[str],
    environment: EnvironmentServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Play:
    """Runs inference.py in this process against the shared server, and reads all it wrote."""

    def run(*arguments: str, model: str | None = None, server: FakeModel | None = None) -> Ran:
        given: Sequence[str] = arguments
        if not {"--embedded", "--base-url"} & set(arguments) and "BASE_URL" not in os.environ:
            given = ["--base-url", environment.url, *arguments]
        if server is not None:
            monkeypatch.setenv("API_KEY", KEY)
            monkeypatch.setenv("API_BASE_URL", server.url)
            monkeypatch.setenv("MODEL_NAME", model or "good")
        capsys.readouterr()
        code = inference.main(given)
        out, err = capsys.readouterr()
        written = Path("results.json")
        results = json.loads(written.read_text()) if written.exists() else {}
        return Ran(code, out, err, parse_blocks(out), results)

    return run
