"""Trainers play drill-down episodes as they do the funnel's, with the tools of these episodes.

Adapters whose library is not installed here are held to the same in tests/integrations.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metric_tracker_rl import MetricTrackerRlAction, MetricTrackerRlEnv
from metric_tracker_rl.drilldown import words
from metric_tracker_rl.drilldown.tools import TOOLS as ALL_TOOLS
from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.play.split_rows import split_rows
from openenv_kit.trainers.openenv_harness import ToolSessionFactory, collect, sft_examples
from openenv_kit.trainers.scripted_endpoint import ScriptedEndpoint
from openenv_kit.trainers.tool_calls import ToolEpisode, next_call
from openenv_kit.trainers.trl import environment_class

SPLIT = "drill_validation"
ROWS = split_rows(SPLIT, count=2)
TOOLS = ["overview", "slice", "compare", "change_log", "preview_report", "submit_report"]


def test_rows_of_the_split_tell_their_level_and_nothing_that_is_hidden() -> None:
    assert [set(row) for row in ROWS] == [{"task", "level", "split", "index"}] * 2
    assert ROWS[1]["task"] == "drill_validation-1"


@pytest.mark.slow
@pytest.mark.parametrize("remote", [False, True], ids=["in process", "on a server"])
def test_tool_calls_of_the_reference_score_one(remote: bool, server_url: str) -> None:
    episode = ToolEpisode(server_url if remote else None)
    introduction = episode.reset(ROWS[0])
    assert introduction.startswith(words.TASK)
    assert episode.brief == words.BRIEF
    assert episode.tools.names == TOOLS
    told = json.loads(episode.call("submit_solution", {"rows": []}))
    assert told["message"].startswith("Unknown tool 'submit_solution'. Did you mean")
    assert not episode.done
    answers: list[str] = []
    while (call := next_call("reference", answers, introduction=introduction)) is not None:
        answers.append(episode.call(*call))
    assert episode.reward == 1.0
    assert all(json.loads(answer)["numbers_left"] >= 0 for answer in answers)


@pytest.mark.slow
def test_the_trl_class_of_the_split_has_its_tools_alone() -> None:
    made = environment_class(split=SPLIT)
    assert [name for name in ENVIRONMENT.tools.names if hasattr(made, name)] == list(ALL_TOOLS)
    assert not hasattr(environment_class(), "slice")
    environment = made()
    introduction = environment.reset(**ROWS[1], prompt=[])
    answers: list[str] = []
    while (call := next_call("reference", answers, introduction=introduction)) is not None:
        answers.append(getattr(environment, call[0])(**call[1]))
    assert environment.get_reward() == 1.0


@pytest.mark.slow
def test_the_harness_collects_chats_with_the_tools_of_each_episode(tmp_path: Path) -> None:
    session = ToolSessionFactory().create(ROWS[0])
    assert [tool.name for tool in session.list_tools()] == TOOLS
    rows = [ROWS[0], {"task_id": "easy_single_spike"}]
    assert collect(tmp_path, rows).avg_reward == 1.0
    drill, funnel = sft_examples(tmp_path)
    assert [tool["function"]["name"] for tool in drill["tools"]] == TOOLS
    assert "list_dates" in [tool["function"]["name"] for tool in funnel["tools"]]
    assert drill["messages"][0]["content"] == words.BRIEF


@pytest.mark.slow
def test_inference_plays_it_with_a_model_and_prints_the_contracts_lines(
    server_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import inference

    monkeypatch.chdir(tmp_path)
    with ScriptedEndpoint("reference") as endpoint:
        monkeypatch.setenv("API_KEY", "none")
        monkeypatch.setenv("API_BASE_URL", endpoint.base_url)
        monkeypatch.setenv("MODEL_NAME", "scripted")
        options = ["--base-url", server_url, "--tasks", "drill_easy_ordering_app", "--record", "."]
        assert inference.main(options) == 0
    first, *steps, last = capsys.readouterr().out.splitlines()
    assert first == "[START] task=drill_easy_ordering_app env=metric_tracker_rl model=scripted"
    assert all(line.startswith("[STEP] step=") for line in steps)
    assert last.startswith("[END] success=true")
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["average_score"] == 1.0


async def test_the_typed_client_plays_it(server_url: str) -> None:
    async with MetricTrackerRlEnv(base_url=server_url) as env:
        opening = (await env.reset(difficulty="drill_easy", causes=0)).observation
        assert [method.name for method in opening.available_methods] == TOOLS
        assert opening.config["row_format"].keys() == words.ROW_FORMAT.keys()
        assert opening.numbers_left == opening.config["budget"]["numbers"]
        asked = MetricTrackerRlAction(analysis_method="slice", analysis_args={"every": "week"})
        seen = (await env.step(asked)).observation
        assert seen.numbers_left == opening.numbers_left - 40
        assert seen.calls_left == opening.calls_left - 1
        submit = MetricTrackerRlAction(analysis_method="submit_report", analysis_args={"rows": []})
        result = await env.step(submit)
        assert (result.reward, result.done) == (1.0, True)
        assert result.observation.reward_breakdown.model_dump() == {"total_score": 1.0}


async def test_the_typed_client_reads_what_each_root_earned(server_url: str) -> None:
    async with MetricTrackerRlEnv(base_url=server_url) as env:
        await env.reset(task_id="drill_easy_saas_trial", feedback="full")
        action = {"analysis_method": "submit_report", "analysis_args": {"rows": []}}
        told = (await env.step(action)).observation.reward_breakdown
        assert told.roots
        assert [root["credit"] for root in told.roots] == [0.0] * len(told.roots)
        assert (told.matched, told.cost, told.missing_rows) == (0.0, 0.0, len(told.roots))
        assert not {"precision", "value_accuracy", "exploit_penalty"} & told.model_dump().keys()
