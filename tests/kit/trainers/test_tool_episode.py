"""Episodes by tool calls."""

import json

import pytest

from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.policies import POLICIES, get_policy
from openenv_kit.datasets.split_rows import list_task_rows, reset_arguments_from_row
from openenv_kit.errors import ConfigurationError, ToolArgumentError
from openenv_kit.rollouts.run_policy import run_policy
from openenv_kit.trainers.scripted_calls import get_next_scripted_call
from openenv_kit.trainers.tool_episode import ToolEpisode

TASK = {"task_id": "hard_mixed_multi"}


TOOLS = ENVIRONMENT.tools


def play_by_calls(episode, policy, row):
    episode.reset(row)
    answers: list[str] = []
    while not episode.is_done:
        call = get_next_scripted_call(policy, answers)
        assert call is not None
        answers.append(episode.call_tool(*call))
    return answers


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in POLICIES if name != "random"])
def test_tool_calls_score_what_the_policy_scores_in_a_session(name):
    episode, session = ToolEpisode(), ENVIRONMENT.create_session()
    for row in list_task_rows("validation", count=6):
        play_by_calls(episode, name, row)
        outcome = run_policy(
            session, get_policy(name), session.reset(**reset_arguments_from_row(row))
        )
        assert (episode.reward, episode.tool_call_count) == (outcome.score, outcome.step_count)


@pytest.mark.parametrize(
    "action",
    [
        {"analysis_method": "rows_for_date", "analysis_args": {"date": "2023-01-01"}},
        {"classifications": [{"date": "2023-01-01"}]},
        {"classifications": []},
        {"payload_generators": [{"method_name": "median_filter"}]},
    ],
)
def test_every_action_is_a_tool_call_and_back(action):
    assert TOOLS.build_action(*TOOLS.tool_call_of_action(action)) == action


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("submit_solutoin", {"rows": []}, "Did you mean 'submit_solution'"),
        ("submit_solution", {"row": []}, "did you mean 'rows'"),
        (
            "submit_solution",
            {"rows": "none"},
            "rows is 'none'; allowed: a list of at most 1000 entries",
        ),
        ("submit_solution", {"rows": [], "sure": True}, "unknown argument 'sure'"),
        ("submit_solution", None, "Nothing was submitted"),
        ("submit_payload_generator", {"rows": []}, "allowed: generator_methods"),
        (
            "submit_payload_generator",
            {"generator_methods": []},
            "allowed: a list of 1 to 32 entries",
        ),
    ],
)
def test_invalid_tool_call_returns_a_message_and_submits_nothing(name, arguments, said):
    with pytest.raises(ToolArgumentError, match=said):
        TOOLS.build_action(name, arguments)
    episode = ToolEpisode()
    episode.reset({})
    answer = json.loads(episode.call_tool(name, arguments))
    assert answer["status"] == "error"
    assert said in answer["message"]
    assert not episode.is_done


def test_a_row_may_hold_other_columns_and_empty_ones():
    row = {"prompt": [{"role": "user", "content": ""}], "task": "x", "seed": 3, "difficulty": None}
    assert reset_arguments_from_row(row) == {"seed": 3}


def test_rejected_reset_raises_the_reason():
    with pytest.raises(ConfigurationError, match="Did you mean 'hard'"):
        ToolEpisode().reset({"difficulty": "hardd"})


def test_tool_result_is_one_json_line_without_labels():
    episode = ToolEpisode()
    answers = play_by_calls(episode, "reference", {"seed": 12})
    for answer in answers[:-1]:
        assert "\n" not in answer
        assert set(json.loads(answer)) <= {"status", "message", "result"}
    assert json.loads(answers[-1])["reward_breakdown"]["total_score"] == episode.reward == 1.0


def test_a_policy_that_has_finished_makes_no_further_call():
    assert get_next_scripted_call("null", []) == ("submit_solution", {"rows": []})
    assert get_next_scripted_call("null", ['{"status":"evaluated","message":""}']) is None


def test_a_policy_that_does_not_exist_is_refused_with_the_nearest():
    with pytest.raises(ConfigurationError, match="Did you mean 'reference'"):
        get_next_scripted_call("referense", [])


def test_adapter_has_reward_components_after_the_end() -> None:
    played = ToolEpisode()
    played.reset({**TASK, "profile": "lean", "reward": "key_f1"})
    assert played.info == {}
    played.call_tool("scan", {})
    played.call_tool("submit", {"ids": [1, 2, 3]})
    assert played.reward == played.info["reward_components"]["key_f1"]
    played.reset(TASK)
    assert played.info == {}
