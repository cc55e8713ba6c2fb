"""Tools, dataset and server of a trainer must belong to one environment."""

from __future__ import annotations

import re
from typing import Any

import pytest

from firewatch_env.client import FirewatchEnv
from openenv_kit.datasets.split_rows import list_task_rows
from openenv_kit.episode_clients import retry
from openenv_kit.errors import ConfigurationError, ServerError
from openenv_kit.trainers.openenv_harness import ToolSession, ToolSessionFactory
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.trl import BASE_URL_VARIABLE, environment_class
from support.stub_episode_server import FRAME, HANG_UP, OPENING, StubServer

FUNNEL = list_task_rows("train", count=1)[0]
FIREWATCH = list_task_rows("train", count=1, environment_name="firewatch")[0]
LEAN = {"profile": "lean"}


@pytest.mark.parametrize(
    ("made_for", "row", "names"),
    [
        ({"environment": "firewatch"}, FUNNEL, ("metric_tracker_rl", "firewatch")),
        ({}, FIREWATCH, ("firewatch", "metric_tracker_rl")),
        ({}, {**FUNNEL, **LEAN}, ("'profile': 'lean'", "list_dates", "scan")),
        ({"reset": LEAN}, FUNNEL, ("{'split': 'train', 'index': 0}", "list_dates", "scan")),
    ],
    ids=["environment", "the other", "profile", "the other profile"],
)
def test_a_trl_class_that_does_not_fit_the_row_refuses_it_with_both_names(
    made_for: dict[str, Any], row: dict[str, Any], names: tuple[str, ...]
) -> None:
    environment = environment_class(**made_for)()
    with pytest.raises(ConfigurationError) as refused:
        environment.reset(prompt=[], **row)
    assert all(name in str(refused.value) for name in names), refused.value


def test_a_refused_row_leaves_the_running_episode_s_tools_and_reward() -> None:
    episode = ToolEpisode()
    episode.reset({"seed": 3})
    episode.call_tool("list_dates", {})
    before = episode.tools.tool_names
    with pytest.raises(ConfigurationError):
        episode.reset({"seed": 3, **LEAN}, before)
    assert (episode.tools.tool_names, episode.tool_call_count) == (before, 1)


def test_the_harness_refuses_a_row_of_another_environment() -> None:
    with pytest.raises(ConfigurationError, match=r"'firewatch'.*'metric_tracker_rl'"):
        ToolSessionFactory().create(FIREWATCH)


@pytest.mark.parametrize(
    ("played", "below", "served"),
    [
        ("firewatch", "", "metric_tracker_rl"),
        ("metric_tracker_rl", "/firewatch", "firewatch"),
        ("pipe_leak", "", "metric_tracker_rl"),
    ],
)
def test_a_server_of_another_environment_is_refused_with_both_names(
    server_url: str, played: str, below: str, served: str
) -> None:
    with pytest.raises(ServerError) as refused:
        ToolEpisode(f"{server_url}{below}", played).reset({})
    assert f"serves '{served}'" in str(refused.value)
    assert played in str(refused.value)


def test_the_server_of_the_environment_itself_is_played_on(server_url: str) -> None:
    episode = ToolEpisode(f"{server_url}/firewatch", "firewatch")
    for _ in range(2):
        assert "Customers come in at" in episode.reset({})
    episode.close()


async def test_firewatch_s_client_on_a_funnel_server_says_that_it_is_another(
    server_url: str,
) -> None:
    async with FirewatchEnv(base_url=server_url) as env:
        with pytest.raises(ServerError, match=r"FirewatchEnv cannot read .*another environment"):
            await env.reset()


def answering(*further: dict[str, Any]) -> StubServer:
    """A server of one funnel episode, whose first call it answers."""
    opening = {"status": "ready", "instruction": "", "expected_row_count": 0, "config": FRAME}
    response = {**OPENING, "body": {**OPENING["body"], "observation": opening}}
    seen = {"observation": {"status": "analyzed", "message": ""}, "reward": 0.0, "done": False}
    return StubServer(response, {"status": 200, "body": seen}, *further)


@pytest.mark.parametrize("loss", [HANG_UP, {"status": 404, "body": {"detail": "Gone."}}])
def test_server_lost_after_a_call_gives_no_reward(
    monkeypatch: pytest.MonkeyPatch, loss: dict[str, Any]
) -> None:
    monkeypatch.setattr(retry, "RECONNECT_TIMEOUT_S", 0.0)
    with answering(loss) as stub:
        monkeypatch.setenv(BASE_URL_VARIABLE, stub.url)
        environment = environment_class()()
        environment.reset()
        environment._episode.close()  # the stub hangs up without a word
        environment.list_dates()  # type: ignore[attr-defined]
        environment._episode.close()
        with pytest.raises(ServerError):
            environment.list_dates()  # type: ignore[attr-defined]
        for _ in range(2):
            with pytest.raises(ServerError):
                environment.get_reward()
        environment._episode.close()
    with answering(loss) as stub:
        session = ToolSession({}, stub.url)
        session.close()
        session.call_tool("list_dates", {})
        session.close()
        with pytest.raises(ServerError):
            session.call_tool("list_dates", {})
        with pytest.raises(ServerError):
            session.verify([])
        session.close()


def test_episode_after_a_lost_one_has_a_reward() -> None:
    environment = environment_class()()
    environment.reset(seed=3)
    environment._episode._server_error = ServerError("gone")
    with pytest.raises(ServerError, match="gone"):
        environment.get_reward()
    environment.reset(seed=3)
    assert environment.get_reward() == 0.0


@pytest.mark.parametrize(
    ("environment", "reset", "said"),
    [
        (None, {"reward": "key-f1"}, "Did you mean 'key_f1'"),
        (None, {"profile": "leen"}, "Did you mean 'lean'"),
        (None, {"seed": 3}, "with split and index: only policy, product, max_steps"),
        ("firewatch", {"seed": 3}, "seed is 3; allowed: nothing beside a split"),
    ],
)
def test_rows_whose_reset_would_be_refused_are_refused_at_once(
    environment: str | None, reset: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        list_task_rows("train", count=2, environment_name=environment, extra_reset_arguments=reset)


def test_reset_arguments_allowed_beside_a_split_are_accepted() -> None:
    with pytest.raises(ConfigurationError) as refused:
        list_task_rows("train", count=1, extra_reset_arguments={"seed": 3})
    named = re.search(r"index: only ([a-z_, ]+)", str(refused.value))
    assert named is not None
    values = {"policy": "varied", "max_steps": 9, "max_submissions": 1, "feedback": "score"}
    values |= {"profile": "lean", "disclosure": "raw", "reward": "key_f1"}
    assert set(named[1].split(", ")) == {*values, "product"}
    assert list_task_rows("train", count=1, extra_reset_arguments=values)
