"""Answers of real endpoints: broken text, failures, unknown fields and odd tool calls."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.agent.completions import ModelAnswer, ModelToolCall
from openenv_kit.agent.prompts import build_last_answer_notice
from openenv_kit.agent.stdout import EvaluationLog
from openenv_kit.agent.text_calls import find_tool_call_written_as_text
from openenv_kit.agent.text_repair import repair_json_surrogates, repair_surrogates
from openenv_kit.agent.tool_arguments import parse_tool_arguments
from openenv_kit.agent.transcript import Transcript
from openenv_kit.errors import ToolArgumentError
from openenv_kit.results.scored_episodes import read_and_merge_player_results
from support.agent_runs import KEY, Play
from support.contract_lines import parse_blocks
from support.fake_model import FAILED_REPLIES, TEXT_CALLS, FakeModel
from support.model_request_rules import problems_of
from support.paths import ROOT

ONE = ("--tasks", "easy_single_spike")
HALF, REPLACED = "\ud83d", "\ufffd"
PROGRAM = ROOT / "inference.py"


# Text that cannot be encoded


@pytest.mark.parametrize(
    ("given", "repaired"),
    [
        ("plain", "plain"),
        (f"a{HALF}b", f"a{REPLACED}b"),
        ("\ude00", REPLACED),
        ("\ud83d\ude00", "\U0001f600"),
        (f"{HALF}\ud83d\ude00", f"{REPLACED}\U0001f600"),
    ],
)
def test_text_with_half_a_surrogate_pair_is_repaired(given: str, repaired: str) -> None:
    assert repair_surrogates(given) == repaired
    nested = {given: [given, {"x": given}, 1, None]}
    assert repair_json_surrogates(nested) == {repaired: [repaired, {"x": repaired}, 1, None]}


def test_surrogate_half_in_an_answer_does_not_fail_the_episode(
    play: Play, model: FakeModel, tmp_path: Path
) -> None:
    ran = play(*ONE, "--record", "runs", "--resume", "r.jsonl", model="half-a-pair", server=model)
    assert ran.code == 0
    assert ran.tasks[0]["status"] == "evaluated"
    for path in (tmp_path / "results.json", tmp_path / "runs/easy_single_spike.jsonl"):
        for line in (
            path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        ):
            json.dumps(json.loads(line), ensure_ascii=False).encode()
    assert "\\ud83d" not in (tmp_path / "r.jsonl").read_text()


def test_model_name_that_cannot_be_encoded_does_not_fail_the_run(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_NAME", "m\udcff")  # a byte that is not UTF-8 arrives so
    monkeypatch.setenv("MODEL_RETRIES", "0")
    monkeypatch.setenv("API_BASE_URL", model.url)
    ran = play(*ONE)
    assert "does not exist" in ran.tasks[0]["error"]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_standard_output_of_any_encoding_carries_whole_blocks(encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    block = EvaluationLog(stream).start_task_log("t", "e", f"模型{HALF}")
    block.write_step_line(f'列出日期({{"说明":"早{HALF}"}})', 0.0, False, "错误")
    block.write_end_line(False, 0.0)
    (parsed,) = parse_blocks(raw.getvalue().decode(encoding))
    assert len(parsed.steps) == 1


@pytest.mark.slow
def test_run_on_a_console_that_is_not_utf_8_plays_to_its_end(
    model: FakeModel, server_url: str, tmp_path: Path
) -> None:
    variables = {
        **os.environ,
        **{"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0", "API_KEY": KEY},
        **{"API_BASE_URL": model.url, "MODEL_NAME": "letters-of-elsewhere"},
    }
    done = subprocess.run(
        [sys.executable, PROGRAM, *ONE, "--base-url", server_url],
        cwd=tmp_path, env=variables, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(parse_blocks(done.stdout.decode("cp1252"))[0].steps) == 2


# A provider's failure is not the model's score


@pytest.mark.parametrize("reply", ["error-object", "error-in-choice", "no-choices"])
def test_failed_reply_of_status_200_is_tried_again_and_leaves_no_trace(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch, reply: str
) -> None:
    monkeypatch.setattr("openenv_kit.agent.chat_endpoint.FIRST_RETRY_PAUSE_S", 0.01)
    ran = play(*ONE, model=f"fails-once-{reply}", server=model)
    assert ran.tasks[0]["score"] == 1.0
    assert "attempt 2 of 5" in ran.err
    assert "overloaded" not in json.dumps(model.requests)
    assert "overloaded" not in json.dumps(ran.results)


@pytest.mark.parametrize("reply", [*FAILED_REPLIES, "event-stream"])
def test_failed_reply_of_status_200_is_an_error_without_a_score(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch, reply: str
) -> None:
    monkeypatch.setenv("MODEL_RETRIES", "1")
    monkeypatch.setattr("openenv_kit.agent.chat_endpoint.FIRST_RETRY_PAUSE_S", 0.01)
    ran = play(*ONE, "--record", "runs", model=f"fails-{reply}", server=model)
    assert ran.code == 1
    assert len(model.requests) == 2
    (task,) = ran.tasks
    assert (task["status"], task["score"]) == ("failed", None)
    assert "upstream overloaded" in task["error"]
    assert "upstream overloaded" in ran.err
    assert ran.results["average_score"] is None
    assert ran.blocks[0].score == 0.01
    assert "no score" in ran.err
    for played in ("results.json", "runs"):
        (player,) = read_and_merge_player_results([("", Path(played))], ENVIRONMENT)
        assert [each.score for each in player.rollouts] == [None]


def test_average_counts_episodes_with_a_score_only(play: Play, model: FakeModel) -> None:
    tasks = "easy_single_spike,medium_mixed_pair"
    ran = play("--tasks", tasks, model="submits-once", server=model)
    assert [task["status"] for task in ran.tasks] == ["evaluated", "failed"]
    assert ran.results["average_score"] == ran.tasks[0]["score"]


# Messages go back with all their fields


def answer_of(message: dict[str, Any], *calls: ModelToolCall) -> ModelAnswer:
    return ModelAnswer(str(message.get("content") or ""), calls, raw_message=message)


def started() -> Transcript:
    conversation = Transcript([])
    conversation.add_message("system", "s")
    conversation.add_message("user", "u")
    return conversation


def test_answer_goes_back_with_fields_that_are_unknown_here(play: Play, model: FakeModel) -> None:
    play(*ONE, model="thinks-aloud", server=model)
    (sent,) = (m for m in model.requests[1]["messages"] if m["role"] == "assistant")
    assert sent["reasoning_content"] == "I do not know yet which days there are."
    assert sent["content"] == "First the dates."
    assert [call["function"]["arguments"] for call in sent["tool_calls"]] == ["{}", "{}"]


def test_signature_of_a_call_and_its_text_of_arguments_go_back_unchanged() -> None:
    arguments = '{"date":  "2022-05-12"}'
    signed = {"google": {"thought_signature": "c2lnbg=="}}
    function = {"name": "rows_for_date", "arguments": arguments, "strict": True}
    made = {"id": "x", "type": "function", "function": function, "extra_content": signed}
    message = {"role": "assistant", "content": "", "tool_calls": [made], "reasoning_details": [1]}
    conversation = started()
    conversation.add_answer_with_unique_call_ids(
        answer_of(message, ModelToolCall("x", "rows_for_date", arguments, made))
    )
    assert conversation.request_messages[-1] == {**message, "content": None}


@pytest.mark.parametrize("content", ["", " \n", None, []])
def test_answer_with_nothing_in_it_is_left_out(content: Any) -> None:
    conversation = started()
    conversation.add_answer_with_unique_call_ids(
        answer_of({"content": content, "reasoning_content": "Hm."})
    )
    assert [message["role"] for message in conversation.request_messages] == ["system", "user"]
    assert conversation.recorded_messages[-1]["reasoning_content"] == "Hm."


def test_empty_list_of_tool_calls_does_not_go_back() -> None:
    conversation = started()
    conversation.add_answer_with_unique_call_ids(answer_of({"content": "Hello.", "tool_calls": []}))
    assert conversation.request_messages[-1] == {"role": "assistant", "content": "Hello."}


def test_silent_model_is_reminded_in_the_first_message(play: Play, model: FakeModel) -> None:
    ran = play(*ONE, model="says-nothing", server=model)
    assert ran.tasks[0]["status"] == "evaluated"
    assert "only reminder" in model.requests[1]["messages"][1]["content"]


# Order of roles


@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("script", ["never-stops", "talks-in-between", "never-submits"])
def test_last_round_is_announced_without_breaking_the_order_of_roles(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch, script: str, rounds: int
) -> None:
    monkeypatch.setenv("MAX_TOOL_ROUNDS", str(rounds))
    play(*ONE, model=script, server=model)
    text = build_last_answer_notice(ENVIRONMENT.tools.select_for_episode())
    if len(model.requests) == rounds:
        assert model.requests[-1]["messages"][-1]["content"].endswith(text)
    assert not any(text in str(request["messages"]) for request in model.requests[: rounds - 1])
    assert not model.problems  # which the fake model checks for every request


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([("tool", "x"), ("user", "y")], "user after tool"),
        ([("user", "y")], "user after user"),
        ([("assistant", "x"), ("assistant", "y"), ("user", "z")], "assistant after assistant"),
        ([("assistant", ""), ("user", "z")], "assistant with content ''"),
        ([("assistant", "x")], "ends with an answer"),
        ([("assistant", HALF), ("user", "z")], "cannot be encoded"),
    ],
)
def test_checker_of_requests_finds_what_is_wrong(
    messages: list[tuple[str, str]], problem: str
) -> None:
    sent = [("system", "s"), ("user", "u"), *messages]
    request = {"messages": [{"role": r, "content": c, "tool_call_id": "a"} for r, c in sent]}
    assert any(problem in each for each in problems_of(request))


def test_checker_of_requests_finds_ids_that_are_used_twice() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turn = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "x"},
    ]
    opening = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert problems_of({"messages": [*opening, *turn]}) == []
    assert "not unique" in problems_of({"messages": [*opening, *turn, *turn]})[0]


# Tool calls as servers really send them


def test_calls_in_every_form_are_made_and_their_ids_are_unique(
    play: Play, model: FakeModel
) -> None:
    ran = play(*ONE, model="sends-calls-in-every-form", server=model)
    errors = [step.error for step in ran.blocks[0].steps if step.error]
    assert len(errors) == 1
    assert "'x'" in errors[0]  # the date that was encoded twice arrived
    assert ran.tasks[0]["status"] == "evaluated"
    assert len(ran.blocks[0].steps) == 11


@pytest.mark.parametrize("given", [None, "", " ", "null", '"null"', "{}", '"{}"', {}])
def test_no_arguments_in_any_form_are_an_empty_object(given: Any) -> None:
    assert parse_tool_arguments("t", given) == {}


@pytest.mark.parametrize("given", [[1], "[1]", 5, "5", True, "true", '"abc"', 1.5])
def test_arguments_that_are_no_object_are_refused_with_what_they_are(given: Any) -> None:
    with pytest.raises(ToolArgumentError, match=r"t: the arguments are .*; allowed: one JSON"):
        parse_tool_arguments("t", given)


def test_arguments_that_are_no_json_are_refused_where_they_break() -> None:
    with pytest.raises(ToolArgumentError, match="not JSON"):
        parse_tool_arguments("t", '{"date": ')


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "names": {"type": "array", "items": {"type": "string"}},
        "count": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "share": {"type": "number"},
        "all": {"type": "boolean"},
        "rows": {
            "type": "array",
            "items": {"type": "object", "properties": {"value": {"type": "number"}}},
        },
    },
}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"name": "5"}, {"name": "5"}),
        ({"name": '["a"]'}, {"name": '["a"]'}),
        ({"maybe": "null"}, {"maybe": "null"}),
        ({"names": '["a", "5"]'}, {"names": ["a", "5"]}),
        ({"names": "a"}, {"names": "a"}),
        ({"count": "3"}, {"count": 3}),
        ({"count": "null"}, {"count": None}),
        ({"count": "three"}, {"count": "three"}),
        ({"share": "0.5"}, {"share": 0.5}),
        ({"share": "NaN"}, {"share": "NaN"}),
        ({"all": "true"}, {"all": True}),
        ({"rows": '[{"value": "1.5"}]'}, {"rows": [{"value": 1.5}]}),
        ({"rows": ['{"value": 2}']}, {"rows": [{"value": 2}]}),
        ({"unknown": "[1]"}, {"unknown": "[1]"}),
        ({"name": HALF, HALF: "x"}, {"name": REPLACED, REPLACED: "x"}),
    ],
)
def test_text_is_decoded_only_where_the_schema_declares_another_type(
    given: dict[str, Any], read: dict[str, Any]
) -> None:
    assert parse_tool_arguments("t", given, SCHEMA) == read
    assert parse_tool_arguments("t", json.dumps(json.dumps(given)), SCHEMA) == read


@pytest.mark.parametrize("form", TEXT_CALLS)
def test_call_in_the_text_is_not_executed_and_its_cause_is_named(
    play: Play, model: FakeModel, form: str
) -> None:
    ran = play(*ONE, model=f"text-call-{form}", server=model)
    assert ran.blocks[0].steps == []
    assert "wrote a tool call as text" in ran.tasks[0]["error"]
    assert "tool-call parser" in ran.tasks[0]["error"]


@pytest.mark.parametrize(
    "text",
    [
        "I will call list_dates next.",
        "<think><tool_call>{}</tool_call></think>I am done.",
        "Is that all? <tool_call></think> I am done.",
        'The name is "list_dates".',
        "",
    ],
)
def test_text_without_a_call_is_not_taken_for_one(text: str) -> None:
    assert find_tool_call_written_as_text(text, ["list_dates"]) == ""
