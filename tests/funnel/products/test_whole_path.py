"""The whole path of a user's table: import, certify, play on a server, record, replay, submit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.agent.main import main as run_inference
from openenv_kit.recordings.format import read_runs
from openenv_kit.recordings.recorder import RunRecorder
from support.command_line import run_cli
from support.live_server import served
from support.simulated_products import TableShape, simulate_table
from support.table_files import write_table
from support.websocket_session import Conversation, talking

pytest.importorskip("duckdb")


@pytest.mark.slow
def test_table_is_imported_certified_played_recorded_replayed_and_not_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = write_table(simulate_table(TableShape(3)), tmp_path / "shop.csv")
    imported = run_cli("import", table, "--yes", "--workers", 2)
    assert imported.exit_code == 0, imported.output
    product = tmp_path / "shop.toml"
    certified = run_cli(
        *("certify", "--seeds", 1, "--difficulty", "easy", "--workers", 2),
        *("--product", product),
    )
    assert certified.exit_code == 0, certified.output
    recording = tmp_path / "run.jsonl"
    with served("--product", str(product)) as url:
        with talking(url) as conversation:
            assert play_and_record_with_reference(conversation, recording) == 1.0
        # The model player's own program plays on the same server.
        options = ["--product", str(product), "--level", "easy", "--base-url", url]
        assert run_inference([*options, "--policy", "reference", "--record", "runs"]) == 0
    results = json.loads(Path("results.json").read_text())
    assert {task["score"] for task in results["tasks"]} == {1.0}
    assert run_cli("replay", recording, "runs").exit_code == 0  # `import` and `main` know the file
    monkeypatch.setenv("PRODUCTS", "")
    refused = run_cli("replay", recording)
    assert refused.exit_code == 2
    assert "--product" in refused.output
    assert run_cli("replay", recording, "runs", "--product", product).exit_code == 0
    submitted = run_cli("submit", recording, "--out", tmp_path / "submission")
    assert submitted.exit_code == 2
    assert "own products are not on the public board" in " ".join(submitted.output.split())


def play_and_record_with_reference(conversation: Conversation, path: Path) -> float:
    """Play a task of the product over a WebSocket, and record it; return the score."""
    reset = {"product": "shop", "split": "test", "index": 0}
    observation = conversation.send("reset", reset)["observation"]
    score = 0.0
    with path.open("w", encoding="utf-8") as stream:
        recorder = RunRecorder(stream, "scripted:reference", reset, observation)
        steps = ENVIRONMENT.policies["reference"].generate_actions(observation)
        action = next(steps)
        while True:
            reply = conversation.send("step", dict(action))
            observation = {**reply["observation"], "done": reply["done"], "reward": reply["reward"]}
            recorder.record_step(action, observation)
            score = reply["reward"] or 0.0
            if reply["done"]:
                break
            action = steps.send(observation)
        recorder.record_end(score, observation)
    (run,) = read_runs(path)
    assert run.product is not None
    return float(score)
