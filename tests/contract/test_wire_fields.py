"""Fields of replies on the wire."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from metric_tracker_rl.wire_models import SCORE_PENALTIES, SCORE_SHARES, RewardBreakdown
from support.funnel_episodes import started
from support.websocket_session import Conversation, talking

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


@pytest.fixture
def talk(server_url: str) -> Iterator[Conversation]:
    with talking(server_url) as session:
        yield session


TASK = {"task_id": "hard_mixed_multi"}


NAMES = {"graded", "exact", "key_f1", *SCORE_SHARES, *SCORE_PENALTIES}


def test_reward_components_are_info_over_http_and_metadata_on_a_websocket(
    client: TestClient,
) -> None:
    started_there = client.post("/reset", json={**TASK, "reward": "exact"}).json()
    asked = {"episode_id": started_there["episode_id"], "action": {}}
    final = client.post("/step", json=asked).json()
    assert set(final["info"]["reward_components"]) == NAMES
    with client.websocket_connect("/ws") as socket:
        socket.send_json({"type": "reset", "data": {**TASK, "reward": "exact"}})
        socket.receive_json()
        socket.send_json({"type": "step", "data": {}})
        assert set(socket.receive_json()["data"]["metadata"]["reward_components"]) == NAMES


def test_an_observation_has_the_contracts_fields(talk: Conversation) -> None:
    opening = talk.send("reset", {"task_id": "easy_single_spike"})
    assert set(OBSERVATION.split()) <= set(opening["observation"])
    assert (opening["reward"], opening["done"]) == (0.0, False)
    assert opening["observation"]["status"] == "ready"


def test_method_lists_are_full_on_reset_and_empty_on_later_steps(talk: Conversation) -> None:
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


def test_every_status_occurs_in_the_documented_place(talk: Conversation) -> None:
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


def test_state_holds_the_requested_id_and_public_progress_only(talk: Conversation) -> None:
    assert talk.send("state")["status"] == "idle"
    talk.send("reset", {"seed": 424242424242, "episode_id": "my-episode"})
    talk.analyse("list_dates")
    state = talk.send("state")
    assert set(state) == STATE
    assert (state["episode_id"], state["step_count"]) == ("my-episode", 1)
    assert "424242424242" not in talk.raw
