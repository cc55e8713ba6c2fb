"""Failures of an endpoint name a setting, and changing it fixes them."""

from __future__ import annotations

import json

import pytest

from openenv_kit.agent.completion_limit import parse_or_guess_max_answer_tokens
from openenv_kit.agent.endpoint_failures import build_failure_from_error_response
from openenv_kit.agent.failure_messages import ContextFullError, FailedRequest, build_model_error
from openenv_kit.agent.settings import AgentSettings
from support.agent_runs import Play
from support.fake_model import ANSWER_LIMIT, TOKEN_LIMIT_WORDINGS, FakeModel

ONE = ("--tasks", "easy_single_spike")
RIGHT_KEY = {"API_KEY": "the-right-key"}
GOOD_MODEL = {"MODEL_NAME": "good"}

CURES = {
    "wants-key-openai": ({}, ["401", "check API_KEY"], RIGHT_KEY),
    "wants-key-gemini": ({}, ["refused the key", "check API_KEY"], RIGHT_KEY),
    "wants-credits": ({}, ["402", "Add credits, or set API_KEY"], RIGHT_KEY),
    "wants-credits-anthropic": ({}, ["credit balance", "Add credits, or set API_KEY"], RIGHT_KEY),
    "wants-quota": ({}, ["Add credits, or set API_KEY"], RIGHT_KEY),
    "forbidden": ({}, ["403", "Check MODEL_NAME (--model) and API_KEY"], GOOD_MODEL),
    "no-such-model": ({}, ["404", "Check MODEL_NAME (--model) and API_BASE_URL"], GOOD_MODEL),
    "unknown-model-400": ({}, ["not a valid model ID", "Check MODEL_NAME"], GOOD_MODEL),
    "refuses-tools": ({}, ["Check that MODEL_NAME (refuses-tools) supports"], GOOD_MODEL),
    "no-tools-at-router": ({}, ["Check that MODEL_NAME (no-tools-at-router)"], GOOD_MODEL),
    "odd-refusal": (
        {},
        ["accepted tool calls earlier", "message 3. It", "try another MODEL_NAME"],
        GOOD_MODEL,
    ),
    "tiny-context": ({}, ["Choose a MODEL_NAME with more context"], GOOD_MODEL),
    "allows-few-tokens": ({}, ["Lower MAX_TOKENS"], {"MAX_TOKENS": "100"}),
    "thinks-as-long-as-it-may": (
        {"MODEL_TIMEOUT_S": "0.6"},
        ["Lower MAX_TOKENS (4096)"],
        {"MAX_TOKENS": "10"},
    ),
    "hangs": ({"MODEL_TIMEOUT_S": "0.3"}, ["raise MODEL_TIMEOUT_S"], {"MODEL_TIMEOUT_S": "30"}),
    "rate-limited": ({"MODEL_RETRIES": "0"}, ["raise MODEL_RETRIES"], {"MODEL_RETRIES": "1"}),
    "flaky": ({"MODEL_RETRIES": "0"}, ["try later, raise MODEL_RETRIES"], {"MODEL_RETRIES": "2"}),
}
"""By the name of a fake model: settings with which it refuses, what the message says, the cure."""


@pytest.mark.parametrize("name", CURES)
def test_setting_named_by_an_endpoint_failure_fixes_it(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    refused, words, cure = CURES[name]
    rounds = {"MAX_TOOL_ROUNDS": "1"} if name == "hangs" else {}
    for variable, value in {**refused, **rounds}.items():
        monkeypatch.setenv(variable, value)
    ran = play(*ONE, model=name, server=model)
    assert ran.tasks[0]["status"] == "failed"
    assert ran.tasks[0]["score"] is None
    assert all(word in ran.tasks[0]["error"] for word in words), ran.tasks[0]["error"]
    given = {"MODEL_NAME": name, **cure}
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    cured = play(*ONE)
    assert cured.code == 0, cured.err


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("needs-parser-vllm", "tool-call parser"),
        ("needs-jinja", "--jinja"),
        ("odd-status", "Check API_BASE_URL."),
        ("outage", "try later"),
    ],
)
def test_endpoint_failure_without_a_setting_says_what_to_do(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    monkeypatch.setenv("MODEL_RETRIES", "0")
    ran = play(*ONE, model=script, server=model)
    assert words in ran.tasks[0]["error"]
    assert "supports tool calls" not in ran.tasks[0]["error"]


@pytest.mark.parametrize(
    ("path", "named"), [("", "check API_BASE_URL"), ("/moved", "Set API_BASE_URL to ")]
)
def test_failure_of_wrong_address_names_the_working_address(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch, path: str, named: str
) -> None:
    for variable, value in {"API_KEY": "none", "MODEL_NAME": "good"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("API_BASE_URL", model.url.replace("/v1", path))
    error = play(*ONE).tasks[0]["error"]
    assert named.lower() in error.lower()
    right = error.partition("Set API_BASE_URL to ")[2].removesuffix(".") or model.url
    assert right == model.url
    monkeypatch.setenv("API_BASE_URL", right)
    assert play(*ONE).tasks[0]["score"] == 1.0


@pytest.mark.parametrize("wording", TOKEN_LIMIT_WORDINGS)
def test_max_tokens_that_is_too_large_is_lowered_once_with_a_message(
    play: Play, model: FakeModel, wording: str
) -> None:
    ran = play(*ONE, model=f"limits-tokens-{wording}", server=model)
    assert ran.tasks[0]["score"] == 1.0
    lowered = 1024 if wording == "no-number" else ANSWER_LIMIT
    assert model.requests[1]["max_tokens"] == lowered
    assert ran.err.count(f"MAX_TOKENS is 4096; {lowered} is used") == 1


def test_max_tokens_that_is_refused_again_is_lowered_no_further(
    play: Play, model: FakeModel
) -> None:
    ran = play(*ONE, model="allows-few-tokens", server=model)
    assert len(model.requests) == 2
    assert ran.tasks[0]["status"] == "failed"


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        ("this model does not support tools", None),
        ("prompt is too long: 210000 tokens > 200000 maximum", None),
        ("maximum context length is 8192 tokens. However, your messages resulted in 9000", None),
        (
            "maximum context length is 8192 tokens. However, you requested 4096 output tokens and "
            "your prompt contains at least 9000 input tokens, for a total of at least 13096 tokens",
            8192 - 9000,
        ),
        (
            "maximum context length is 8,192 tokens. However, you requested about 12,196 tokens "
            "(5,000 of text input, 3,100 of tool input, 4096 in the output)",
            92,
        ),
        ("`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 3000 `inputs` tokens", 1096),
    ],
)
def test_limit_of_an_answer_is_read_from_a_refusal(words: str, limit: int | None) -> None:
    assert parse_or_guess_max_answer_tokens(words, 4096) == limit


def test_field_that_an_endpoint_does_not_take_back_is_left_out(
    play: Play, model: FakeModel
) -> None:
    ran = play(*ONE, model="forgets-a-field", server=model)
    assert ran.tasks[0]["score"] == 1.0
    assert ran.err.count("does not accept reasoning") == 1


@pytest.mark.parametrize("script", ["newer-spelling", "limits-tokens-openai", "forgets-a-field"])
def test_refusals_of_requests_at_the_same_time_are_all_adapted_to(
    play: Play, model: FakeModel, script: str
) -> None:
    model.delay_s = 0.05
    arguments = ("--concurrency", "4", "--episodes", "4", *ONE)
    ran = play(*arguments, model=script, server=model)
    assert [task["score"] for task in ran.tasks] == [1.0] * 4
    assert len({json.dumps(request["tools"]) for request in model.requests}) == 1
    assert model.requests[-1].get("max_tokens") != 4096 or script == "forgets-a-field"


LLAMA_CPP = "request (1053 tokens) exceeds the available context size (1024 tokens)"
VLLM = (
    "maximum context length is 1024 tokens. However, you requested 1093 tokens ({} in the "
    "messages, 300 in the completion)"
)


@pytest.mark.parametrize(
    ("words", "has_earlier_answers", "advice"),
    [
        (LLAMA_CPP, False, "Choose a MODEL_NAME"),
        (LLAMA_CPP, True, "Lower MAX_TOOL_ROUNDS, choose a MODEL_NAME"),
        (VLLM.format(793), False, "Lower MAX_TOKENS (300), choose a MODEL_NAME"),
        (VLLM.format(793), True, "Lower MAX_TOKENS (300) or MAX_TOOL_ROUNDS, choose a"),
    ],
)
def test_context_overflow_names_only_settings_that_help(
    words: str, has_earlier_answers: bool, advice: str
) -> None:
    failure = build_failure_from_error_response(400, {"error": {"message": words}}, {}, str)
    request = FailedRequest(
        AgentSettings(model="m"), "http://localhost", "1", 300, has_earlier_answers
    )
    error = build_model_error(failure, request)
    assert isinstance(error, ContextFullError)
    assert str(error).startswith("The prompt does not fit the model's context (400): ")
    assert f". {advice}" in str(error)
    assert str(error).endswith("with more context than m, or start its server with more.")
