"""The adapter for the framework, in process and over a WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from metric_tracker_rl.models import MetricTrackerRlAction, MetricTrackerRlObservation
from openenv_kit.serving.openenv_adapter import OpenEnvAdapter
from support.funnel_episodes import started
from support.websocket_session import Conversation, talking

OBSERVATION = """
    task_id status message instruction config conversion_metric_definitions available_methods
    available_synthetic_generator_methods applied_synthetic_generators available_tasks
    analysis_result generated_rows submitted_rows submission_preview submission_issues
    reward_breakdown expected_row_count correct_row_count daily_metrics hourly_metrics debug
"""
FULL_MARKS = [row.as_dict() for row in started().view.episode.expected_rows]  # type: ignore[union-attr]


@pytest.fixture
def talk(server_url: str) -> Iterator[Conversation]:
    with talking(server_url) as session:
        yield session


def test_a_days_rows_fit_into_a_kilobyte_and_a_half_on_the_wire(talk: Conversation) -> None:
    opening = talk.send("reset", {})["observation"]
    talk.analyse("rows_for_date", date=opening["config"]["start_date"])
    assert len(talk.raw.encode()) <= 1536, len(talk.raw.encode())


def test_sessions_know_nothing_of_each_other(server_url: str) -> None:
    with talking(server_url) as one, talking(server_url) as other:
        first = one.send("reset", {"seed": 1, "episode_id": "one"})["observation"]["config"]
        second = other.send("reset", {"seed": 2, "episode_id": "other"})["observation"]["config"]
        assert first["start_date"] != second["start_date"]
        one.analyse("list_dates")
        one.step()
        assert one.send("state")["status"] == "completed"
        assert other.send("state")["step_count"] == 0
        dates = other.analyse("list_dates")["observation"]["analysis_result"]["result"]["dates"]
        assert dates[0] == second["start_date"]


def test_many_sessions_play_at_once(server_url: str) -> None:
    async def one(seed: int) -> tuple[int, str]:
        from websockets.asyncio.client import connect as connect_async

        async with connect_async(server_url.replace("http", "ws") + "/ws") as socket:
            start = ""
            for message in (
                {"type": "reset", "data": {"seed": seed}},
                *({"type": "step", "data": {"analysis_method": "list_dates"}} for _ in range(5)),
            ):
                await socket.send(json.dumps(message))
                answer = json.loads(await socket.recv())["data"]["observation"]
                found = answer["analysis_result"]
                start = found["result"]["dates"][0] if found else answer["config"]["start_date"]
            return seed, start

    async def everyone() -> list[tuple[int, str]]:
        return await asyncio.gather(*(one(seed) for seed in range(20)))

    for seed, start in asyncio.run(everyone()):
        assert start == started(seed=seed).view.episode.dates[0]  # type: ignore[union-attr]


def test_an_episode_without_a_requested_id_has_a_fresh_one(talk: Conversation) -> None:
    talk.send("reset", {})
    first = talk.send("state")["episode_id"]
    talk.send("reset", {})
    assert len(first) == 36
    assert talk.send("state")["episode_id"] != first


def test_messages_of_a_seeded_episode_contain_no_seed(talk: Conversation) -> None:
    talk.send("reset", {"seed": 31337313373133, "task_id": "hard_mixed_multi"})
    assert "31337313373133" not in talk.raw
    for method in ("task_overview", "list_suspicious_dates", "no_such"):
        talk.analyse(method)
        assert "31337313373133" not in talk.raw
    talk.step()
    assert "31337313373133" not in talk.raw


# Bad input over the wire: an answer, and the session goes on.


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({"analysis_method": "list_date"}, "Did you mean 'list_dates'?"),
        ({"analysis_method": "rows_for_date", "analysis_args": {"date": "2001-01-01"}}, "Allowed"),
        ({"analysis_metod": "list_dates"}, "did you mean 'analysis_method'?"),
        ({"analysis_method": 7}, "analysis_method is 7; allowed: text or null."),
        ({"analysis_method": "list_dates", "analysis_args": []}, "analysis_args is []"),
        ({"analysis_method": "list_dates", "classifications": [{}]}, "; allowed: one of them"),
        ({"classifications": [{}] * 10_000}, "has 10000 rows; allowed: at most 1000."),
        ({"classifications": {"date": "x"}}, "classifications is {'date': 'x'}"),
        (
            {
                "analysis_method": "get_median_filter_rows",
                "analysis_args": {"threshold_multiplier": float("nan")},
            },
            "threshold_multiplier is nan",
        ),
        (
            {"payload_generators": [{"method_name": "median_filter", "dates": ["x"]}]},
            "date 'x' is not in this episode.",
        ),
        ({"payload_generators": ["median_filter"]}, "payload_generators"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_bad_action_is_an_error_observation_and_the_session_goes_on(
    talk: Conversation, action: dict[str, Any], expected: str
) -> None:
    talk.send("reset", {})
    answer = talk.step(**action)
    assert (answer["reward"], answer["done"]) == (0.0, False)
    assert answer["observation"]["status"] == "error"
    assert expected in answer["observation"]["message"]
    assert answer["observation"]["reward_breakdown"] is None
    assert talk.send("state")["step_count"] == 1
    assert talk.step(classifications=FULL_MARKS)["reward"] == 1.0


@pytest.mark.parametrize(
    ("reset", "expected"),
    [
        ({"task_id": "easy_spike"}, "Did you mean 'easy_single_spike'?"),
        ({"difficulty": "Hard"}, "Did you mean 'hard'?"),
        ({"anomaly_count": True}, "anomaly_count is True"),
        ({"nonsense": 1}, "Unknown reset argument 'nonsense'."),
        ({"episode_id": ""}, "episode_id is ''; allowed: text of 1 to 64 characters."),
        ({"seed": float("inf")}, "seed is inf"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_bad_reset_is_an_error_observation_and_the_episode_goes_on(
    talk: Conversation, reset: dict[str, Any], expected: str
) -> None:
    talk.send("reset", {"episode_id": "kept"})
    answer = talk.send("reset", reset)
    assert answer["observation"]["status"] == "error"
    assert expected in answer["observation"]["message"]
    assert talk.send("state")["episode_id"] == "kept"
    assert talk.step(classifications=FULL_MARKS)["reward"] == 1.0


def test_steps_before_reset_and_after_the_end_are_answered(talk: Conversation) -> None:
    early = talk.step(classifications=FULL_MARKS)
    assert (early["reward"], early["observation"]["status"]) == (0.0, "error")
    assert "call reset first" in early["observation"]["message"]
    talk.send("reset", {})
    assert talk.step(classifications=FULL_MARKS)["reward"] == 1.0
    late = talk.step(classifications=FULL_MARKS)
    assert (late["reward"], late["done"]) == (0.0, True)
    assert late["observation"]["status"] == "completed"


def test_a_bad_row_is_shown_safely_when_the_episode_is_over(talk: Conversation) -> None:
    talk.send("reset", {})
    bad = {**FULL_MARKS[0], "observed_value": float("nan"), "severity": "x" * 5000}
    graded = talk.step(classifications=[*FULL_MARKS, bad])
    assert graded["reward"] == pytest.approx(0.95)
    [issue] = graded["observation"]["submission_issues"]
    assert len(json.dumps(issue)) < 1500


# The framework's view.


def test_the_sync_and_the_async_step_agree() -> None:
    environments = OpenEnvAdapter(), OpenEnvAdapter()
    actions = [
        MetricTrackerRlAction(analysis_method="task_overview"),
        MetricTrackerRlAction(analysis_method="nope"),
        MetricTrackerRlAction.model_validate({"classifications": FULL_MARKS}),
    ]

    async def asynchronous() -> list[MetricTrackerRlObservation]:
        seen = [await environments[1].reset_async(seed=11, episode_id="same")]
        return seen + [await environments[1].step_async(action) for action in actions]

    direct = [environments[0].reset(seed=11, episode_id="same")]
    direct += [environments[0].step(action) for action in actions]
    assert direct == asyncio.run(asynchronous())
    assert environments[0].state == environments[1].state
    assert direct[-1].reward == 1.0


def test_the_published_schema_lists_the_actions_fields(server_url: str) -> None:
    schema = httpx.get(f"{server_url}/schema").json()
    assert set(schema["action"]["properties"]) >= {
        *("classifications", "analysis_method", "analysis_args", "payload_generators"),
    }
    assert schema["action"]["additionalProperties"] is False
    assert set(OBSERVATION.split()) <= set(schema["observation"]["properties"])


# Settings.
