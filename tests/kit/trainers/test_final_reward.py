"""The first final reward stays, whatever is called after it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.errors import InvalidValueError, ServerError
from openenv_kit.tool import ToolCall
from openenv_kit.trainers.openenv_harness import ToolSession
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.trl import environment_class

SEED = 12
RIGHT = EpisodeSession()
RIGHT.reset(seed=SEED)
ROWS = [row.as_dict() for row in RIGHT.episode.expected_rows]  # type: ignore[union-attr]

CALLS: dict[str, ToolCall] = {
    "look": ToolCall("list_dates", {}),
    "look wrongly": ToolCall("rows_for_date", {"date": "yesterday"}),
    "submit everything": ToolCall("submit_solution", {"rows": ROWS}),
    "submit half": ToolCall("submit_solution", {"rows": ROWS[:1]}),
    "submit nothing": ToolCall("submit_solution", {"rows": []}),
    "let a generator submit": ToolCall(
        "submit_payload_generator",
        {"generator_methods": [{"method_name": "median_filter"}]},
    ),
    "submit without rows": ToolCall("submit_solution", {}),
}
RULES = [{"max_steps": steps, "max_submissions": tries} for steps in (3, 64) for tries in (1, 2)]
EVENTS = st.lists(st.sampled_from(sorted(CALLS)), min_size=1, max_size=8)
TURNS = st.lists(
    st.lists(st.sampled_from(sorted(CALLS)), min_size=1, max_size=4), min_size=1, max_size=4
)


class Adapter(Protocol):
    """What the laws need to know of an adapter."""

    def call(self, use: ToolCall) -> object: ...

    def reward(self) -> float: ...


class Calls:
    def __init__(self, row: dict[str, Any], base_url: str | None = None) -> None:
        self.episode = ToolEpisode(base_url)
        self.episode.reset(row)

    def call(self, use: ToolCall) -> object:
        return self.episode.call_tool(*use)

    def reward(self) -> float:
        return self.episode.reward


class Trl:
    def __init__(self, row: dict[str, Any]) -> None:
        self.environment = environment_class()()
        self.environment.reset(**row)

    def call(self, use: ToolCall) -> object:
        name, arguments = use
        return getattr(self.environment, name)(**arguments)

    def reward(self) -> float:
        return self.environment.get_reward()


class Harness:
    def __init__(self, row: dict[str, Any]) -> None:
        self.session = ToolSession(row)

    def call(self, use: ToolCall) -> object:
        return self.session.call_tool(*use)

    def reward(self) -> float:
        return float(self.session.verify([]).env_reward or 0.0)


ADAPTERS: list[Callable[[dict[str, Any]], Adapter]] = [Calls, Trl, Harness]


def final_rewards(events: Sequence[str], rules: dict[str, int]) -> list[float]:
    """Reward after each call, by the session's own replies: its first final one, from then on."""
    session = EpisodeSession()
    session.reset(seed=SEED, **rules)
    rewards, final = [], None
    for event in events:
        try:
            reply = session.step(ENVIRONMENT.tools.build_action(*CALLS[event]))
        except ValueError:  # a call that makes no sense is no step
            pass
        else:
            if reply.done and final is None:
                final = reply.reward
        rewards.append(final or 0.0)
    return rewards


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("rules", RULES)
@given(EVENTS)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_reward_is_the_first_final_one_after_any_calls(
    adapter: Callable[[dict[str, Any]], Adapter], rules: dict[str, int], events: list[str]
) -> None:
    play, seen = adapter({"seed": SEED, **rules}), []
    for event in events:
        play.call(CALLS[event])
        seen.append(play.reward())
    assert seen == final_rewards(events, rules)


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ADAPTERS)
@given(TURNS)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_after_parallel_calls_one_submission_counts_and_goes_on_counting(
    adapter: Callable[[dict[str, Any]], Adapter], turns: list[list[str]]
) -> None:
    play, final = adapter({"seed": SEED}), None
    with ThreadPoolExecutor(4) as threads:
        for turn in turns:
            list(threads.map(lambda event: play.call(CALLS[event]), turn))
            possible = [final_rewards([event], {})[0] for event in turn if is_report(event)]
            if final is None and possible:
                assert play.reward() in possible
                final = play.reward()
            assert play.reward() == (final or 0.0)


def is_report(event: str) -> bool:
    return event not in ("look", "look wrongly", "submit without rows")


@pytest.mark.slow
def test_on_a_server_the_first_final_reward_stands_too(server_url: str) -> None:
    for events in (["submit everything", "look", "submit nothing"], ["submit half"] * 2):
        play, seen = Calls({"seed": SEED}, server_url), []
        for event in events:
            play.call(CALLS[event])
            seen.append(play.reward())
        assert seen == final_rewards(events, {})


class Gone:
    """A server that has forgotten the episode."""

    def step(self, action: object) -> dict[str, Any]:
        raise ServerError("the server no longer knows the episode")


def test_a_server_that_forgets_a_finished_episode_takes_no_reward_away() -> None:
    environment = environment_class()()
    environment.reset(seed=SEED)
    environment._episode.call_tool(*CALLS["submit everything"])
    environment._episode._client = Gone()  # type: ignore[assignment]
    answer = json.loads(environment._episode.call_tool(*CALLS["look"]))
    assert answer["status"] == "completed"
    assert environment.get_reward() == 1.0


def test_a_server_lost_before_the_end_is_still_no_measurement() -> None:
    environment = environment_class()()
    environment.reset(seed=SEED)
    environment._episode._client = Gone()  # type: ignore[assignment]
    for _ in range(2):
        with pytest.raises(ServerError):
            environment._episode.call_tool(*CALLS["submit everything"])
        with pytest.raises(ServerError):
            environment.get_reward()


@pytest.mark.slow
def test_a_refused_reset_leaves_the_running_episode_on_a_server_as_it_is(server_url: str) -> None:
    play = Calls({"seed": SEED}, server_url)
    with pytest.raises(InvalidValueError, match="Did you mean 'easy'"):
        play.episode.reset({"difficulty": "eazy"})
    play.call(CALLS["submit everything"])
    assert play.reward() == 1.0
