"""The openai client against scripted models over HTTP."""

from __future__ import annotations

import json

import pytest

from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.agent.prompts import build_last_answer_notice, build_tool_call_reminder
from support.agent_runs import KEY, Play
from support.fake_model import CONTEXT_OVERFLOWS, FakeModel

ONE = ("--tasks", "easy_single_spike")


@pytest.mark.slow
def test_a_good_model_reaches_a_perfect_score_on_every_default_task(
    play: Play, model: FakeModel
) -> None:
    ran = play(model="good", server=model)
    assert ran.code == 0
    assert [block.task for block in ran.blocks] == [
        "easy_single_spike",
        "medium_mixed_pair",
        "hard_mixed_multi",
    ]
    assert [task["score"] for task in ran.tasks] == [1.0, 1.0, 1.0]
    assert all(block.score == 0.99 and block.success for block in ran.blocks)
    assert {block.model for block in ran.blocks} == {"good"}
    assert {block.env for block in ran.blocks} == {"metric_tracker_rl"}
    assert all(task["model_calls"] == task["steps"] for task in ran.tasks)


def test_parallel_tool_calls_of_one_answer_all_run_in_order(play: Play, model: FakeModel) -> None:
    ran = play(*ONE, model="parallel", server=model)
    (block,) = ran.blocks
    assert ran.code == 0
    assert ran.tasks[0]["score"] == 1.0
    assert [step.action.split("(")[0] for step in block.steps] == [
        "task_overview",
        "get_metric_median",
        "list_suspicious_dates",
        "list_dates",
        *["rows_for_date"] * 28,
        "submit_solution",
    ]
    assert ran.tasks[0]["model_calls"] == 3


def test_calls_after_the_submission_of_the_same_answer_are_not_run(
    play: Play, model: FakeModel
) -> None:
    ran = play(*ONE, model="submits-then-goes-on", server=model)
    assert [step.action for step in ran.blocks[0].steps] == ['submit_solution({"rows":[]})']
    assert ran.blocks[0].steps[0].done
    assert ran.tasks[0]["status"] == "evaluated"


def test_a_report_can_be_submitted_as_generators(play: Play, model: FakeModel) -> None:
    ran = play("--tasks", "medium_mixed_pair", model="generator", server=model)
    scripted = play("--tasks", "medium_mixed_pair", "--policy", "median_filter")
    breakdown = ran.tasks[0]["reward_breakdown"]
    assert breakdown == scripted.tasks[0]["reward_breakdown"]
    assert breakdown["matched_rows"] > 0


def test_model_that_never_submits_is_reminded_once_and_the_run_continues(
    play: Play, model: FakeModel
) -> None:
    ran = play(
        "--tasks", "easy_single_spike,medium_mixed_pair", model="never-submits", server=model
    )
    assert ran.code == 0
    assert [(block.score, block.success, block.steps) for block in ran.blocks] == [
        (0.01, False, []),
        (0.01, False, []),
    ]
    assert [task["status"] for task in ran.tasks] == ["not_submitted", "not_submitted"]
    assert "after one reminder" in ran.tasks[0]["error"]
    texts = [m["content"] for m in model.requests[1]["messages"]]
    assert texts.count(build_tool_call_reminder(ENVIRONMENT.tools.select_for_episode())) == 1
    assert model.counts["never-submits"] == 4


def test_a_model_that_needs_the_reminder_can_still_win(play: Play, model: FakeModel) -> None:
    ran = play(*ONE, model="needs-a-reminder", server=model)
    assert ran.tasks[0]["score"] == 1.0


def test_rounds_end_and_the_last_one_is_announced(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_TOOL_ROUNDS", "3")
    ran = play(*ONE, model="never-stops", server=model)
    assert ran.code == 0
    assert len(ran.blocks[0].steps) == 3
    assert ran.blocks[0].score == 0.01
    announced = [
        build_last_answer_notice(ENVIRONMENT.tools.select_for_episode()) in str(request["messages"])
        for request in model.requests
    ]
    assert announced == [False, False, True]
    assert "MAX_TOOL_ROUNDS" in ran.tasks[0]["error"]


def test_used_up_token_budget_ends_the_episode_with_a_message(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_BUDGET", "20000")
    ran = play(*ONE, model="never-stops", server=model)
    assert ran.tasks[0]["prompt_tokens"] + ran.tasks[0]["completion_tokens"] <= 20000
    assert "TOKEN_BUDGET" in ran.tasks[0]["error"]
    assert build_last_answer_notice(ENVIRONMENT.tools.select_for_episode()) in str(
        model.requests[-1]["messages"]
    )


def test_broken_arguments_and_unknown_tools_are_explained_and_the_model_recovers(
    play: Play, model: FakeModel
) -> None:
    ran = play(*ONE, model="broken-json", server=model)
    (block,) = ran.blocks
    assert ran.code == 0
    assert ran.tasks[0]["score"] == 1.0
    errors = [step.error or "" for step in block.steps[:11]]
    assert all(errors)
    assert "not JSON" in errors[0]
    assert "one JSON object" in errors[1]
    assert "Unknown tool 'show_me_everything'" in errors[2]
    assert "Did you mean 'submit_solution'?" in errors[3]
    assert "unknown argument 'row' (did you mean 'rows'?); allowed: rows" in errors[4]
    assert "Nothing was submitted" in errors[5]
    assert "allowed: a list of at most 1000 entries" in errors[6]
    assert "Nothing was submitted" in errors[7]
    assert "method_name" in errors[8] or "generator" in errors[8]
    assert "'day'" in errors[9]
    assert all(step.error is None for step in block.steps[11:])


@pytest.mark.slow
def test_a_cut_answer_submits_nothing_and_names_the_setting(play: Play, model: FakeModel) -> None:
    ran = play(*ONE, model="cut-off", server=model)
    assert ran.tasks[0]["status"] == "not_submitted"
    assert all(step.error and "not JSON" in step.error for step in ran.blocks[0].steps)
    assert "MAX_TOKENS" in ran.tasks[0]["error"]
    assert "MAX_TOKENS" in (ran.blocks[0].steps[0].error or "")


@pytest.mark.parametrize("script", ["rate-limited", "flaky", "newer-spelling", "uncounted"])
def test_temporary_failure_is_retried_without_loss_of_score(
    play: Play, model: FakeModel, script: str
) -> None:
    ran = play(*ONE, model=script, server=model)
    assert ran.code == 0
    assert ran.tasks[0]["score"] == 1.0
    assert ran.tasks[0]["prompt_tokens"] > 0
    assert ran.tasks[0]["uncounted_calls"] == (6 if script == "uncounted" else 0)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("bad-key", ["401", "check API_KEY"]),
        ("no-credits", ["402", "Add credits", "no credits left"]),
        ("forbidden", ["403", "MODEL_NAME"]),
        ("no-such-model", ["404", "MODEL_NAME", "API_BASE_URL"]),
    ],
)
def test_permanent_failure_names_the_setting_and_stops_the_run(
    play: Play, model: FakeModel, script: str, words: list[str]
) -> None:
    ran = play(model=script, server=model)
    assert ran.code == 1
    assert model.counts[script] == 1
    assert [(block.task, block.score, block.success) for block in ran.blocks] == [
        ("easy_single_spike", 0.01, False)
    ]
    assert all(word in ran.err for word in words)
    assert ran.results["episodes_not_run"] == 3
    assert KEY not in ran.out + ran.err + json.dumps(ran.results)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("always-limited", ["429", "--concurrency", "MODEL_RETRIES"]),
        ("refuses-tools", ["400", "supports tool calls", "this model does not support tools"]),
        ("streams-nothing", ["sends no chat completions", "API_BASE_URL"]),
        ("empty-body", ["sends no chat completions", "API_BASE_URL"]),
        ("empty-choices", ["no choices", "MODEL_RETRIES"]),
        ("null-choices", ["no choices", "MODEL_RETRIES"]),
        ("tiny-context", ["does not fit the model's context", "MODEL_NAME"]),
        ("hangs", ["did not answer within 0.2 s", "MODEL_TIMEOUT_S"]),
    ],
)
def test_a_failed_task_prints_its_end_and_the_next_one_is_tried(
    play: Play,
    model: FakeModel,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    words: list[str],
) -> None:
    monkeypatch.setenv("MODEL_RETRIES", "1")
    monkeypatch.setenv("MODEL_TIMEOUT_S", "0.2" if script == "hangs" else "30")
    ran = play("--tasks", "easy_single_spike,hard_mixed_multi", model=script, server=model)
    assert ran.code == 1
    assert [(block.score, block.success) for block in ran.blocks] == [(0.01, False)] * 2
    assert [task["status"] for task in ran.tasks] == ["failed", "failed"]
    assert all(word in ran.err for word in words)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("refuses", "I cannot help with that."),
        ("filtered", "content filter"),
    ],
)
def test_empty_answer_ends_the_episode_without_failing_it(
    play: Play, model: FakeModel, script: str, words: str
) -> None:
    ran = play(*ONE, model=script, server=model)
    assert ran.code == 0
    assert ran.tasks[0]["status"] == "not_submitted"
    assert words in ran.tasks[0]["error"]
    assert ran.blocks[0].steps == []


def test_unreachable_endpoint_is_named(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_RETRIES", "0")
    model.server_close()
    ran = play(*ONE, model="good", server=model)
    assert ran.code == 1
    assert f"No connection to {model.url}" in ran.err
    assert "check API_BASE_URL" in ran.err


@pytest.mark.parametrize("server_kind", CONTEXT_OVERFLOWS)
def test_conversation_over_the_context_size_drops_old_results(
    play: Play, model: FakeModel, server_kind: str
) -> None:
    ran = play(*ONE, model=f"small-context-{server_kind}", server=model)
    assert ran.code == 0
    assert ran.tasks[0]["status"] == "evaluated"
    contents = [m["content"] for m in model.requests[-1]["messages"] if m["role"] == "tool"]
    assert any("left out" in each for each in contents)
    assert all("left out" not in each for each in contents[-4:])


def test_the_tools_are_the_registry_and_two_ways_to_submit(play: Play, model: FakeModel) -> None:
    from metric_tracker_rl import available_analysis_methods

    play(*ONE, model="generator", server=model)
    names = [tool["function"]["name"] for tool in model.requests[0]["tools"]]
    assert names == [
        *(method.name for method in available_analysis_methods()),
        "submit_solution",
        "submit_payload_generator",
    ]


def test_prompts_state_the_policy_and_no_label_or_seed(play: Play, model: FakeModel) -> None:
    from metric_tracker_rl.engine.session.episode_session import EpisodeSession

    play(*ONE, model="generator", server=model)
    prompt = json.dumps(model.requests[0]["messages"])
    assert "Reporting policy: Report the root of each anomaly, not its consequences." in prompt
    session = EpisodeSession()
    session.reset(task_id="easy_single_spike")
    assert session.episode is not None
    for row in session.episode.expected_rows:
        assert str(row.observed_value) not in prompt
        assert row.date not in prompt.replace(session.episode.dates[0], "").replace(
            session.episode.dates[-1], ""
        )
    assert '"seed"' not in prompt
    assert "precision" not in prompt


def test_cost_follows_the_prices_given(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INPUT_PRICE_PER_MILLION", "2.5")
    monkeypatch.setenv("OUTPUT_PRICE_PER_MILLION", "10")
    ran = play(*ONE, model="generator", server=model)
    assert ran.tasks[0]["cost_usd"] == pytest.approx(4000 * 2.5e-6 + 50 * 10e-6)
    assert "Cost: 0.0105" in ran.err
