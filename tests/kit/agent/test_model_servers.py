"""Model servers: full contexts, slow answers, missing tools and reasoning."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from openenv_kit.agent import model_player
from openenv_kit.agent.endpoint_failures import (
    build_failure_from_error_response,
    parse_retry_after_s,
)
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.recordings.format import read_runs
from openenv_kit.recordings.replay import replay_and_compare_run
from openenv_kit.results.scored_episodes import read_and_merge_player_results
from support.agent_runs import KEY, Play
from support.fake_model import FakeModel

ONE = ("--tasks", "easy_single_spike")


def recorded_events(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"type": "exceed_context_size_error", "code": 400, "message": "too much"}),
        (400, {"code": "context_length_exceeded", "message": "too much"}),
        (500, {"message": "Requested tokens (1581) exceed context window of 1024"}),
        (500, {"message": "the request exceeds the available context size. try increasing it"}),
        (
            400,
            {"message": "request (9000 tokens) exceeds the available context size (8192)"},
        ),
        (400, {"message": "prompt is too long: 210000 tokens > 200000 maximum"}),
        (400, {"message": "The input token count (1200000) exceeds the maximum number of tokens"}),
        (400, {"message": "The input (9000 tokens) is longer than the model's context length"}),
        (400, {"message": "Prompt contains 40000 tokens, too large for model with 32768 maximum"}),
        (400, {"message": "Input is too long for requested model."}),
        (400, {"message": "This model's maximum prompt length is 131072 but the request has more"}),
        (400, {"message": "Your request exceeded model token limit: 131072"}),
        (422, {"message": "Please reduce the length of the messages or completion."}),
        (413, {"message": "Request too large"}),
    ],
)
def test_context_overflow_in_any_wording_is_recognised(status: int, error: dict[str, Any]) -> None:
    failure = build_failure_from_error_response(status, {"error": error}, {}, str)
    assert failure.is_context_overflow


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "this model does not support tools"),
        (400, "Invalid value for tool_choice"),
        (401, "context length unknown: log in first"),
        (503, "overloaded, try again"),
    ],
)
def test_other_refusal_is_no_context_overflow(status: int, message: str) -> None:
    assert not build_failure_from_error_response(
        status, {"error": {"message": message}}, {}, str
    ).is_context_overflow


@pytest.mark.parametrize(
    ("headers", "pause_s"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after-ms": "250", "retry-after": "2"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_retry_after_header_in_every_form_is_read(
    headers: dict[str, str], pause_s: float | None
) -> None:
    assert parse_retry_after_s(headers) == pause_s


@pytest.mark.parametrize("script", ["hangs", "drips"])
def test_slow_answer_is_bounded_with_all_attempts_and_names_max_tokens(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setenv("MODEL_TIMEOUT_S", "0.2")
    ran = play(*ONE, model=script, server=model)
    assert ran.code == 1
    assert model.counts[script] == 2  # of the five that MODEL_RETRIES allows
    error = ran.tasks[0]["error"]
    assert "did not answer within 0.2 s" in error
    assert "Lower MAX_TOKENS (4096)" in error
    assert "MODEL_TIMEOUT_S" in error
    assert f"{script}: attempt 2 of 5" in ran.err


def test_answer_timeout_bounds_pauses_that_an_endpoint_asks_for(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_ANSWER_TIMEOUT_S", "5")
    ran = play(*ONE, model="asks-for-an-hour", server=model)
    assert model.counts["asks-for-an-hour"] == 1
    assert "429" in ran.tasks[0]["error"]
    assert "within 5 s (MODEL_ANSWER_TIMEOUT_S)" in ran.tasks[0]["error"]


def test_answer_timeout_without_a_setting_is_two_attempts() -> None:
    assert AgentSettings().answer_timeout_s == 600.0
    assert AgentSettings(model_timeout_s=50.0).answer_timeout_s == 100.0
    assert AgentSettings(model_answer_timeout_s=7.0).answer_timeout_s == 7.0


def test_waiting_for_an_answer_reports_progress_on_standard_error(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_player, "FIRST_PROGRESS_AFTER_S", 0.05)
    model.delay_s = 0.3
    ran = play(*ONE, model="generator", server=model)
    assert ran.code == 0
    assert re.search(r"easy_single_spike: .*generator.* 600 s", ran.err)
    assert 1 <= ran.err.count("Waiting for generator") <= 3  # pauses are doubled


def test_template_that_ignores_tools_is_named(play: Play, model: FakeModel) -> None:
    ran = play(*ONE, model="ignores-tools", server=model)
    error = ran.tasks[0]["error"]
    assert "never called a tool" in error
    assert "chat template" in error


def test_model_that_saw_the_tools_and_never_called_is_no_fault_of_the_template(
    play: Play, model: FakeModel
) -> None:
    ran = play(*ONE, model="never-submits", server=model)
    assert "the model never called a tool" in ran.tasks[0]["error"]
    assert "template" not in ran.tasks[0]["error"]


def test_model_that_called_before_has_stopped_calling(play: Play, model: FakeModel) -> None:
    ran = play(*ONE, model="calls-once-then-talks", server=model)
    assert "the model stopped calling tools" in ran.tasks[0]["error"]


def test_whole_conversation_is_in_results_and_recording(play: Play, model: FakeModel) -> None:
    ran = play(*ONE, "--record", "runs", model="thinks-aloud", server=model)
    events = recorded_events("runs/easy_single_spike.jsonl")
    recorded = [message for event in events for message in event.get("messages", ())]
    roles = ["system", "user", "assistant", "tool", "tool", "assistant", "user", "assistant"]
    for messages in (recorded, ran.tasks[0]["conversation"]):
        assert [message["role"] for message in messages] == roles
        first, *_, last = (each for each in messages if each["role"] == "assistant")
        assert first["content"] == "First the dates."
        assert first["reasoning_content"] == "I do not know yet which days there are."
        assert first["tool_calls"][1]["function"]["arguments"] == '{"date": "2024'
        assert first["usage"]["prompt_tokens"] == 4000
        assert first["finish_reason"] == "tool_calls"
        assert last["content"] == "I give up."
        assert last["reasoning_content"] == "This is too hard."
    assert json.loads(recorded[3]["content"])["result"]["dates"]


def test_conversation_in_results_is_complete_where_old_tool_results_were_dropped(
    play: Play, model: FakeModel
) -> None:
    ran = play(*ONE, "--record", "runs", model="small-context-llama-cpp", server=model)
    events = recorded_events("runs/easy_single_spike.jsonl")
    recorded = [message for event in events for message in event.get("messages", ())]
    results = [message["content"] for message in recorded if message["role"] == "tool"]
    assert len(results) == 9
    assert all(len(content) > 5000 for content in results[:8])
    kept = [m["content"] for m in ran.tasks[0]["conversation"] if m["role"] == "tool"]
    assert all(500 < len(content) < 600 and "--record" in content for content in kept[:8])


def test_recording_with_a_conversation_replays_and_compares(play: Play, model: FakeModel) -> None:
    play(*ONE, "--record", "runs", model="generator", server=model)
    from metric_tracker_rl.environment import ENVIRONMENT

    (run,) = read_runs("runs/easy_single_spike.jsonl")
    assert replay_and_compare_run(run).matches_recording
    (player,) = read_and_merge_player_results([("", Path("runs"))], ENVIRONMENT)
    assert player.scored_rollouts[0].score == run.score


def test_recording_of_a_failed_episode_has_no_score_and_the_reason(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_RETRIES", "0")
    play(*ONE, "--record", "runs", model="no-credits", server=model)
    _, end = recorded_events("runs/easy_single_spike.jsonl")
    assert end["score"] is None
    assert "Add credits" in end["error"]
    assert [message["role"] for message in end["messages"]] == ["system", "user"]
    assert KEY not in json.dumps(end)
    (run,) = read_runs("runs/easy_single_spike.jsonl")
    assert run.score is None


def test_model_on_this_machine_plays_without_a_key(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_BASE_URL", model.url)
    monkeypatch.setenv("MODEL_NAME", "generator")
    ran = play(*ONE, "--require-llm")
    assert ran.code == 0
    assert {block.model for block in ran.blocks} == {"generator"}
    assert "without a key" in ran.err
    assert model.keys == ["Bearer none"]


@pytest.mark.parametrize(
    "given", [{"API_BASE_URL": "http://192.0.2.1/v1", "MODEL_NAME": "m"}, {"MODEL_NAME": "m"}]
)
def test_model_elsewhere_without_a_key_is_played_by_the_policy(
    play: Play, monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    ran = play(*ONE)
    assert {block.model for block in ran.blocks} == {"scripted:reference"}
