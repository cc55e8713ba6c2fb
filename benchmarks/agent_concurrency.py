"""Measures how much faster `inference.py` is with several episodes at a time.

    uv run python -m benchmarks.agent_concurrency

Takes minutes. One environment server, and one scripted endpoint that waits 200 ms before each
completion and plays the reference policy.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

import inference
from benchmarks.server_process import run_server
from research.scripted_endpoint import MODEL, ScriptedEndpoint

TASK_NAME = "easy_single_spike"
MODEL_DELAY_S = 0.2


class BenchmarkError(RuntimeError):
    """A run did not end with a perfect score in every episode, so its time means nothing."""


class RunMeasurement(NamedTuple):
    """Wall time of one run and the completions that it requested."""

    seconds: float
    model_calls: int


def measure_run(server_url: str, episodes: int, concurrency: int) -> RunMeasurement:
    """Run `inference.py` over many episodes in this process.

    Raises:
        BenchmarkError: the run failed, or an episode has no perfect score.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "results.json"
        printed = io.StringIO()
        started = time.monotonic()
        with redirect_stdout(printed), redirect_stderr(printed):
            exit_code = inference.main(
                [
                    "--base-url",
                    server_url,
                    "--tasks",
                    TASK_NAME,
                    "--episodes",
                    str(episodes),
                    "--concurrency",
                    str(concurrency),
                    "--output",
                    str(output),
                ]
            )
        seconds = time.monotonic() - started
        if exit_code != 0:
            raise BenchmarkError(f"inference.py exited with {exit_code}:\n{printed.getvalue()}")
        results = json.loads(output.read_text(encoding="utf-8"))
    if len(results["tasks"]) != episodes or results["average_score"] != 1.0:
        raise BenchmarkError(
            f"{len(results['tasks'])} episodes with a mean score of {results['average_score']}; "
            f"expected: {episodes} episodes with 1.0."
        )
    return RunMeasurement(seconds, sum(task["model_calls"] for task in results["tasks"]))


def bench_agent_concurrency(
    episodes: Annotated[int, typer.Option(min=1, help="Episodes of each run.")] = 64,
    concurrency: Annotated[int, typer.Option(min=2, help="Episodes at a time.")] = 16,
) -> None:
    """Run the same episodes one at a time and several at a time, and print the ratio."""
    with run_server() as server, ScriptedEndpoint(delay_s=MODEL_DELAY_S) as endpoint:
        os.environ.update(API_KEY="unused", API_BASE_URL=endpoint.base_url, MODEL_NAME=MODEL)
        # The first run imports modules and opens connections.
        measure_run(server.url, concurrency, concurrency)
        seconds_by_concurrency = {}
        for number in (concurrency, 1):
            measurement = measure_run(server.url, episodes, number)
            seconds_by_concurrency[number] = measurement.seconds
            typer.echo(
                f"{number:2} at a time: {measurement.seconds:6.1f} s for {episodes} episodes, "
                f"{measurement.model_calls} completions of {MODEL_DELAY_S:g} s"
            )
    ratio = seconds_by_concurrency[1] / seconds_by_concurrency[concurrency]
    typer.echo(f"{ratio:.1f} times faster with {concurrency} at a time")


if __name__ == "__main__":
    typer.run(bench_agent_concurrency)
