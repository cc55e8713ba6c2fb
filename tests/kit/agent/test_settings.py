"""Variables, fallbacks, the file of variables and the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

import inference
from openenv_kit.agent.settings import (
    HF_ROUTER_URL,
    AgentSettings,
    hide_url_credentials,
    load_settings,
)
from openenv_kit.errors import ConfigurationError
from support.agent_runs import Play


def load(**variables: str) -> AgentSettings:
    return load_settings(variables, "metric_tracker_rl")


def test_settings_without_variables_are_the_defaults() -> None:
    settings = load()
    assert settings.api_key is None
    assert settings.max_tool_rounds == 16
    assert settings.max_tokens == 4096
    assert settings.benchmark == "metric_tracker_rl"
    assert settings == AgentSettings(benchmark="metric_tracker_rl", secrets=settings.secrets)


@pytest.mark.parametrize(
    ("given", "key", "variable"),
    [
        ({"HF_TOKEN": "a", "OPENAI_API_KEY": "b", "API_KEY": "c"}, "a", "HF_TOKEN"),
        ({"OPENAI_API_KEY": "b", "API_KEY": "c"}, "b", "OPENAI_API_KEY"),
        ({"API_KEY": "c"}, "c", "API_KEY"),
        ({"HF_TOKEN": " ", "API_KEY": "c"}, "c", "API_KEY"),
    ],
)
def test_the_first_key_that_is_set_is_used(given: dict[str, str], key: str, variable: str) -> None:
    settings = load(**given)
    assert (settings.api_key, settings.key_variable) == (key, variable)


def test_addresses_and_models_have_fallbacks() -> None:
    first = load(
        API_BASE_URL="http://a/v1", OPENAI_BASE_URL="http://b/v1", MODEL_NAME="m", OPENAI_MODEL="n"
    )
    assert (first.api_base_url, first.model) == ("http://a/v1", "m")
    second = load(OPENAI_BASE_URL="http://b/v1", OPENAI_MODEL="n")
    assert (second.api_base_url, second.model) == ("http://b/v1", "n")


def test_only_a_hugging_face_key_goes_to_the_hugging_face_router() -> None:
    assert load(HF_TOKEN="a").api_base_url == HF_ROUTER_URL
    assert load(API_KEY="a").api_base_url is None
    assert load(HF_TOKEN="a", API_BASE_URL="http://b/v1").api_base_url == "http://b/v1"


def test_every_other_variable_is_read() -> None:
    settings = load(
        IMAGE_NAME="image",
        BASE_URL="http://c",
        MetricTrackerRl_TASK="easy_single_spike",
        MetricTrackerRl_BENCHMARK="bench",
        TEMPERATURE="0.7",
        MAX_TOKENS="512",
        MAX_TOOL_ROUNDS="3",
        TOKEN_BUDGET="0",
        MODEL_TIMEOUT_S="1.5",
        MODEL_RETRIES="0",
        INPUT_PRICE_PER_MILLION="1",
        OUTPUT_PRICE_PER_MILLION="2",
        OPENENV_CONNECT_TIMEOUT_S="3",
        OPENENV_MESSAGE_TIMEOUT_S="4",
        OPENENV_DOCKER_WAIT_TIMEOUT_S="5",
        OPENENV_TASK_RETRY_COUNT="6",
        OPENENV_SCORE_EPSILON="0.05",
    )
    assert settings == AgentSettings(
        image_name="image",
        base_url="http://c",
        tasks="easy_single_spike",
        benchmark="bench",
        temperature=0.7,
        max_tokens=512,
        max_tool_rounds=3,
        token_budget=0,
        model_timeout_s=1.5,
        model_retries=0,
        input_price_per_million=1.0,
        output_price_per_million=2.0,
        connect_timeout_s=3.0,
        message_timeout_s=4.0,
        docker_wait_timeout_s=5.0,
        task_retries=6,
        score_epsilon=0.05,
        secrets=settings.secrets,
    )


def test_max_tokens_above_the_limit_is_lowered_with_a_note() -> None:
    settings = load(MAX_TOKENS="100000")
    assert settings.max_tokens == 4096
    assert settings.notes == ("MAX_TOKENS is 100000; 4096 is used, the most allowed.",)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("MAX_TOOL_ROUNDS", "0", "an integer from 1 to 500"),
        ("MAX_TOOL_ROUNDS", "many", "an integer"),
        ("MAX_TOKENS", "-1", "an integer from 1"),
        ("TEMPERATURE", "nan", "a number from 0 to 2"),
        ("TEMPERATURE", "hot", "a number from 0 to 2"),
        ("OPENENV_CONNECT_TIMEOUT_S", "0", "a number from 0.1"),
        ("OPENENV_SCORE_EPSILON", "0.5", "a number from 0 to 0.49"),
        ("API_BASE_URL", "localhost:8000", "http://"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_the_variable_and_what_is_allowed(
    name: str, value: str, allowed: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(**{name: value})
    assert str(caught.value).startswith(f"{name} is '{value}'")
    assert allowed in str(caught.value)


def test_the_file_of_variables_is_read_and_the_process_wins(tmp_path: Path) -> None:
    (tmp_path / ".env.inference").write_text(
        "# a comment\nexport MODEL_NAME='from file'\nTEMPERATURE=0.5\nAPI_KEY=key-f\n"
    )
    settings = load_settings({"TEMPERATURE": "0.25"})
    assert (settings.model, settings.temperature, settings.api_key) == ("from file", 0.25, "key-f")


def test_file_of_variables_with_byte_order_mark_and_windows_line_ends_is_read() -> None:
    Path(".env.inference").write_bytes(b"\xef\xbb\xbfAPI_KEY=key-of-the-file\r\nMODEL_NAME=m\r\n")
    settings = load_settings({})
    assert (settings.api_key, settings.model) == ("key-of-the-file", "m")


def test_neither_keys_nor_passwords_are_in_the_settings_text() -> None:
    settings = load(API_KEY="sk-very-secret-key", BASE_URL="http://me:a-password@host")
    assert "sk-very-secret-key" not in repr(settings)
    assert set(settings.secrets) >= {"sk-very-secret-key", "a-password"}
    assert hide_url_credentials("http://me:a-password@host/x") == "http://…@host/x"
    assert hide_url_credentials("http://host/x") == "http://host/x"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tasks", "easy_single_spik"], "Did you mean 'easy_single_spike'?"),
        (["--tasks", "train:x-3"], "allowed: a task id, or split:start-stop"),
        (["--seed", "-1"], "--seed is -1; allowed: an integer from 0"),
        (["--require-llm"], "--require-llm"),
        (["--base-url", "nowhere"], "BASE_URL is 'nowhere'; allowed: an address"),
    ],
)
def test_bad_settings_end_the_run_with_2_before_anything_is_printed(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inference.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--episodes", "0"], "'0' is not an integer from 1"),
        (["--concurrency", "two"], "'two' is not an integer from 1"),
        (["--policy", "referense"], "Did you mean 'reference'?"),
        (["--policy", "null", "--model", "m"], "exclude each other"),
        (["--policy", "null", "--require-llm"], "exclude each other"),
        (["--embedded", "--base-url", "http://a"], "exclude each other"),
        (["--nonsense"], "unrecognized arguments"),
    ],
)
def test_a_wrong_command_line_ends_with_2_too(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        inference.main(arguments)
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err


def test_a_key_without_a_model_is_an_error_that_offers_both_ways_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_something")
    assert inference.main([]) == 2
    err = capsys.readouterr().err
    assert "HF_TOKEN is set, but no model is named: set MODEL_NAME" in err
    assert "--policy" in err


def test_requested_policy_plays_even_with_a_key(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_something")
    ran = play("--policy", "null")
    assert ran.code == 0
    assert {block.model for block in ran.blocks} == {"scripted:null"}


def test_variables_choose_the_task_and_the_name_of_the_benchmark(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MetricTrackerRl_TASK", "hard_mixed_multi")
    monkeypatch.setenv("MetricTrackerRl_BENCHMARK", "my bench")
    ran = play()
    assert [(block.task, block.env) for block in ran.blocks] == [("hard_mixed_multi", "my_bench")]


def test_help_names_the_exit_codes_and_the_variables(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        inference.main(["--help"])
    assert left.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert all(f"{code} " in text.partition("Exit codes: ")[2] for code in (0, 1, 2, 130))
    for name in ("HF_TOKEN", "MODEL_NAME", "BASE_URL", "IMAGE_NAME", "--output", "--record"):
        assert name in text


KEYS = {"HF_TOKEN": "hf_a", "OPENAI_API_KEY": "sk-b", "API_KEY": "c"}


@pytest.mark.parametrize(
    "url",
    [
        "https://huggingface.co/api/v1",
        "https://router.huggingface.co/v1",
        "https://HuggingFace.co./v1",
        "https://me-my-model.hf.space/v1",
        "https://x.eu-west-1.aws.endpoints.huggingface.cloud/v1",
    ],
)
def test_hosts_of_hugging_face_get_its_token_first(url: str) -> None:
    assert load(**KEYS, API_BASE_URL=url).key_variable == "HF_TOKEN"


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "https://huggingface.co.example.com/v1",
        "https://nothuggingface.co/v1",
        "https://huggingface.co@example.com/v1",
        "https://example.com/huggingface.co/v1",
        "https://hf.space.example.com/v1",
        "http://127.0.0.1:8080/v1",
    ],
)
def test_any_other_host_gets_the_token_of_hugging_face_only_without_another_key(url: str) -> None:
    settings = load(**KEYS, OPENAI_BASE_URL=url)
    assert (settings.key_variable, settings.api_key) == ("OPENAI_API_KEY", "sk-b")
    assert load(HF_TOKEN="hf_a", API_KEY="c", API_BASE_URL=url).key_variable == "API_KEY"
    assert load(HF_TOKEN="hf_a", API_BASE_URL=url).key_variable == "HF_TOKEN"


def test_without_an_address_the_token_of_hugging_face_chooses_its_router() -> None:
    settings = load(**KEYS)
    assert (settings.api_base_url, settings.key_variable) == (HF_ROUTER_URL, "HF_TOKEN")


def test_key_that_is_used_is_named_and_never_shown(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_a_token_that_nobody_may_see")
    monkeypatch.setenv("API_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("MODEL_NAME", "m")
    monkeypatch.setenv("MODEL_RETRIES", "0")
    ran = play("--tasks", "easy_single_spike")
    assert "key from HF_TOKEN" in ran.err
    assert "nobody_may_see" not in ran.err + ran.out + str(ran.results)


@pytest.mark.parametrize("key", ["“sk-copied-from-a-page”", "sk-with\na-line-break"])
def test_key_that_no_header_can_carry_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigurationError, match="API_KEY contains a character") as refused:
        load(API_KEY=key)
    assert "sk-" not in str(refused.value)
