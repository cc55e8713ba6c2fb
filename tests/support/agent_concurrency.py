"""Measures how much faster 64 episodes are with 16 at a time; run it by hand, it takes minutes.

    (cd tests && uv run python -m support.agent_concurrency)

One environment server, one fake model that takes 200 ms for each answer and plays the reference
policy. Checks every block of standard output with the contract's parser.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import inference
from support.agent_runs import EnvironmentServer
from support.contract_lines import parse_blocks
from support.fake_model import fake_model

EPISODES = 64
DELAY_S = 0.2


def measure(environment: str, concurrency: int) -> float:
    """Wall seconds of one run over all episodes, without the time that starting takes."""
    output = Path(tempfile.mkdtemp()) / "results.json"
    printed = io.StringIO()
    began = time.monotonic()
    with redirect_stdout(printed), redirect_stderr(io.StringIO()):
        code = inference.main(
            [
                *("--base-url", environment, "--tasks", "easy_single_spike"),
                *("--episodes", str(EPISODES), "--concurrency", str(concurrency)),
                *("--output", str(output)),
            ]
        )
    seconds = time.monotonic() - began
    blocks = parse_blocks(printed.getvalue())
    results = json.loads(output.read_text())
    assert code == 0, f"exit code {code}"
    assert len(blocks) == EPISODES, f"{len(blocks)} blocks"
    assert results["average_score"] == 1.0, results["average_score"]
    assert not any(step.error for block in blocks for step in block.steps)
    calls = sum(task["model_calls"] for task in results["tasks"])
    print(
        f"concurrency {concurrency:2}: {seconds:6.1f} s for {EPISODES} episodes, {calls} model "
        f"calls of {DELAY_S:g} s, {len(blocks)} blocks, no error",
        flush=True,
    )
    return seconds


def main() -> None:
    environment = EnvironmentServer()
    try:
        environment.wait()
        with fake_model() as model:
            model.delay_s = DELAY_S
            os.environ.update(API_KEY="local-key", API_BASE_URL=model.url, MODEL_NAME="good")
            measure(environment.url, 16)  # imports, first connections
            several, single = measure(environment.url, 16), measure(environment.url, 1)
    finally:
        environment.end()
    print(f"{single / several:.1f} times faster")


if __name__ == "__main__":
    main()
