"""Adapters report whether a limit ended a rollout."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from openenv_kit.datasets.split_rows import list_task_rows
from openenv_kit.trainers.openenv_harness import ToolSession
from openenv_kit.trainers.truncation import ends_before_turn_of_model, is_response_cut_off

CALL = {"role": "assistant", "tool_calls": [{"function": {"name": "scan"}}]}
RESULT = {"role": "tool", "content": "{}"}
TEXT = {"role": "assistant", "content": "Nothing."}
LEAN = {"profile": "lean"}


@pytest.mark.parametrize(
    ("messages", "is_cut_off"),
    [([], True), ([CALL], True), ([CALL, RESULT], True), ([CALL, RESULT, TEXT], False)],
)
def test_ends_before_turn_of_model_after_calls_and_results(
    messages: list[Any], is_cut_off: bool
) -> None:
    assert ends_before_turn_of_model(messages) is is_cut_off


@pytest.mark.parametrize(
    ("response", "is_cut_off"),
    [
        ({}, True),
        ({"output": []}, True),
        ({"output": [{"type": "function_call_output"}]}, True),
        ({"output": [{"type": "message"}]}, False),
        ({"output": [{"type": "message"}], "incomplete_details": {"reason": "max"}}, True),
    ],
)
def test_is_response_cut_off_without_a_last_message(
    response: dict[str, Any], is_cut_off: bool
) -> None:
    assert is_response_cut_off(response) is is_cut_off


@pytest.mark.parametrize(("messages", "truncated"), [([CALL, RESULT], 1.0), ([TEXT], 0.0)])
def test_harness_reports_truncated_for_an_open_episode(
    messages: list[Any], truncated: float
) -> None:
    session = ToolSession(list_task_rows("train", count=1, extra_reset_arguments=LEAN)[0])
    assert session.verify(messages).metrics["truncated"] == truncated
    session.call_tool("submit", {"ids": []})
    assert session.verify(messages).metrics["truncated"] == 0.0


def skyrl_episode(stand_ins: Any, max_turns: int) -> Any:
    (row,) = stand_ins.skyrl.build_dataset_rows("train", count=1, reset=LEAN)
    extras = {"reset": row["reset"], "max_turns": max_turns}
    episode = stand_ins.skyrl.TextEpisode({}, extras)
    episode.init(row["prompt"])
    return episode


def as_text(name: str, **arguments: Any) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


@pytest.mark.parametrize(
    ("texts", "max_turns", "truncated"),
    [
        ([as_text("scan")], 1, 1.0),
        ([as_text("scan")], 9, 1.0),
        ([as_text("scan"), "Nothing."], 9, 0.0),
        ([as_text("submit", ids=[])], 1, 0.0),
    ],
    ids=["last turn", "no further turn", "stopped", "submitted"],
)
def test_skyrl_reports_truncated(
    stand_ins: Any, texts: list[str], max_turns: int, truncated: float
) -> None:
    episode = skyrl_episode(stand_ins, max_turns)
    for text in texts:
        episode.step(text)
    assert episode.get_metrics()["truncated"] == truncated


def test_skyrl_rows_warn_about_a_small_context(
    stand_ins: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stand_ins.skyrl.build_dataset_rows("train", count=1, reset=LEAN, context_tokens=100_000)
    assert caplog.messages == []
    stand_ins.skyrl.build_dataset_rows("train", count=1, reset=LEAN, context_tokens=100)
    assert len(caplog.messages) == 1


@pytest.mark.parametrize(
    ("output", "ids", "truncated"),
    [
        ([{"type": "function_call_output"}], None, 1.0),
        ([{"type": "message"}], None, 0.0),
        ([{"type": "function_call_output"}], [], 0.0),
    ],
    ids=["cut off", "stopped", "submitted"],
)
async def test_nemo_gym_reports_truncated(
    stand_ins: Any, output: list[Any], ids: list[int] | None, truncated: float
) -> None:
    module = stand_ins.nemo_gym
    config = module.EpisodeServerConfig(environment=None, base_url=None, record=None)
    server = module.EpisodeServer(config=config, _episodes={}, _results={})
    request = SimpleNamespace(session={"session_id": "s"})
    row = list_task_rows("train", count=1, extra_reset_arguments=LEAN)[0]
    await server.seed_session(request, module.SeedRequest(**row))
    if ids is not None:
        server._episodes["s"].call_tool("submit", {"ids": ids})
    verified = await server.verify(request, module.VerifyRequest(response={"output": output}))
    assert verified.truncated == truncated
