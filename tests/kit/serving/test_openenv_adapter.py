"""The environment as it is served: in process, and over a real WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from metric_tracker_rl.models import MetricTrackerRlAction, MetricTrackerRlObservation
from metric_tracker_rl.wire_models import RewardBreakdown
from openenv_kit.serving.openenv_adapter import OpenEnvAdapter
from openenv_kit.serving.settings import load_settings
from support.funnel_episodes import started

OBSERVATION = """
    task_id status message instruction config conversion_metric_definitions available_methods
    available_synthetic_generator_methods applied_synthetic_generators available_tasks
    analysis_result generated_rows submitted_rows submission_preview submission_issues
    reward_breakdown expected_row_count correct_row_count daily_metrics hourly_metrics debug
"""
BREAKDOWN = """
    precision recall anomaly_type_accuracy detection_method_accuracy value_accuracy
    severity_accuracy extra_row_penalty duplicate_penalty invalid_row_penalty exploit_penalty
    total_score matched_rows expected_rows submitted_rows valid_submitted_rows extra_rows
    duplicate_rows invalid_rows missing_rows
"""
CATALOGUES = """
    instruction config conversion_metric_definitions available_methods
    available_synthetic_generator_methods available_tasks
"""
STATE = {
    *("episode_id", "step_count", "task_id", "status"),
    *("max_steps", "submissions", "max_submissions"),
    *("profile", "disclosure", "policy"),
}
FULL_MARKS = [row.as_dict() for row in started().view.episode.expected_rows]  # type: ignore[union-attr]


class Conversation:
    """One WebSocket session, frame by frame."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.raw = ""

    def send(self, kind: str, data: Any = None) -> Any:
        """The `data` of the answer to one message."""
        message = {"type": kind} if data is None else {"type": kind, "data": data}
        self.socket.send(json.dumps(message))
        self.raw = str(self.socket.recv(timeout=30))
        answer = json.loads(self.raw)
        assert answer["type"] == ("state" if kind == "state" else "observation"), answer
        return answer["data"]

    def step(self, **action: Any) -> Any:
        return self.send("step", action)

    def analyse(self, method: str, **arguments: Any) -> Any:
        return self.step(analysis_method=method, analysis_args=arguments)


@contextmanager
def talking(url: str) -> Iterator[Conversation]:
    with connect(url.replace("http", "ws") + "/ws", max_size=2**24) as socket:
        yield Conversation(socket)


@pytest.fixture
def talk(server_url: str) -> Iterator[Conversation]:
    with talking(server_url) as session:
        yield session


def test_an_observation_has_the_contracts_fields(talk: Conversation) -> None:
    opening = talk.send("reset", {"task_id": "easy_single_spike"})
    assert set(OBSERVATION.split()) <= set(opening["observation"])
    assert (opening["reward"], opening["done"]) == (0.0, False)
    assert opening["observation"]["status"] == "ready"


def test_catalogues_are_full_on_reset_and_empty_on_later_steps(talk: Conversation) -> None:
    opening = talk.send("reset", {})["observation"]
    later = talk.analyse("list_dates")["observation"]
    for name in CATALOGUES.split():
        assert opening[name], name
        assert not later[name], name
    assert len(opening["available_methods"]) >= 24
    assert [t["task_id"] for t in opening["available_tasks"]][:1] == ["easy_single_spike"]
    assert opening["daily_metrics"] == opening["hourly_metrics"] == []
    assert opening["debug"] is None
    assert later["analysis_result"]["method"] == "list_dates"


def test_every_status_has_its_moment(talk: Conversation) -> None:
    assert talk.analyse("list_dates")["observation"]["status"] == "error"
    replies = [talk.send("reset", {"max_submissions": 2})]
    replies += [
        talk.analyse("list_dates"),
        talk.step(),
        talk.step(classifications=FULL_MARKS),
    ]
    replies += [talk.step()]
    assert [each["observation"]["status"] for each in replies] == [
        *("ready", "analyzed", "in_progress", "evaluated", "completed")
    ]
    assert [each["reward"] for each in replies] == [0.0, 0.0, 0.0, 0.9, 0.0]
    assert [each["done"] for each in replies] == [False, False, False, True, True]


def test_a_graded_report_has_the_contracts_breakdown(talk: Conversation) -> None:
    talk.send("reset", {})
    graded = talk.step(classifications=FULL_MARKS)
    made = graded["observation"]["reward_breakdown"]
    assert set(BREAKDOWN.split()) == set(made) == set(RewardBreakdown.model_fields)
    assert graded["reward"] == made["total_score"] == 1.0
    assert graded["observation"]["submission_preview"]["valid_rows"] == 2


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


def test_state_holds_the_requested_id_and_public_progress_only(talk: Conversation) -> None:
    assert talk.send("state")["status"] == "idle"
    talk.send("reset", {"seed": 424242424242, "episode_id": "my-episode"})
    talk.analyse("list_dates")
    state = talk.send("state")
    assert set(state) == STATE
    assert (state["episode_id"], state["step_count"]) == ("my-episode", 1)
    assert "424242424242" not in talk.raw


def test_an_episode_without_a_requested_id_has_a_fresh_one(talk: Conversation) -> None:
    talk.send("reset", {})
    first = talk.send("state")["episode_id"]
    talk.send("reset", {})
    assert len(first) == 36
    assert talk.send("state")["episode_id"] != first


def test_no_message_of_a_seeded_episode_tells_the_seed(talk: Conversation) -> None:
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


def test_rubrics_show_each_components_last_score() -> None:
    environment = OpenEnvAdapter()
    environment.reset(task_id="easy_single_spike")
    wrong = [{**FULL_MARKS[0], "severity": "low"}, {"date": "x"}]
    observation = environment.step(MetricTrackerRlAction.model_construct(classifications=wrong))
    assert environment.rubric is not None
    scores = {name: each.last_score for name, each in environment.rubric.named_rubrics()}
    made = observation.reward_breakdown
    assert made is not None
    assert environment.rubric.last_score == observation.reward == made.total_score
    assert set(scores) >= {"precision", "recall", "penalties", "penalties.invalid_row_penalty"}
    for name, score in scores.items():
        component = name.rpartition(".")[2]
        if component in RewardBreakdown.model_fields:
            assert score == made[component], name
    assert scores["penalties"] == scores["penalties.invalid_row_penalty"] == 0.05
    environment.reset()
    assert {each.last_score for _, each in environment.rubric.named_rubrics()} == {None}


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


def test_the_log_of_the_server_tells_no_label_and_no_seed(
    talk: Conversation, server_log: Path
) -> None:
    talk.send("reset", {"seed": 616161616161})
    talk.analyse("rows_for_date", date="nonsense")
    talk.step(classifications=[{"date": "x"}])
    log = server_log.read_text()
    assert "616161616161" not in log
    assert "Traceback" not in log
    assert "app_open" not in log


# Settings.


def test_without_settings_the_server_is_there_for_this_machine_only() -> None:
    settings = load_settings({})
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.debug is False


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "http"), ("PORT", "70000"), ("WORKERS", "0"), ("OPENENV_KIT_DEBUG", "maybe")],
)
def test_a_setting_that_is_wrong_is_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is '{value}'; allowed: "):
        load_settings({name: value})
