"""Functions of the page that are called directly reveal no answers."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from metric_tracker_rl.engine.configuration.tasks import (
    DEFAULT_TASK_ID,
    resolve_named_or_custom_task,
)
from metric_tracker_rl.engine.episode.episode import build_episode
from metric_tracker_rl.engine.session.report_replies import (
    build_debug_fields_with_expected_rows_and_plan,
)
from support.browser import WebServer

pytestmark = pytest.mark.slow
START = json.dumps(["named", {"task": DEFAULT_TASK_ID}])
"""Starts an episode where a form would; nothing that any other event takes."""


def every_answer(server: WebServer) -> tuple[str, list[int]]:
    """Text of all answers to a visitor who calls each function by its index; who got none."""
    api = f"{server.url}/web/gradio_api/queue"
    answers, unanswered = [], []
    with httpx.Client(timeout=60) as client:
        config = client.get(f"{server.url}/web/config").json()
        first = {each["id"]: each["props"].get("value") for each in config["components"]}
        first_of_all = sorted(config["dependencies"], key=lambda each: -_begins(each))
        for function in first_of_all:
            call: dict[str, Any] = {
                "data": [first.get(each) for each in function["inputs"]],
                "fn_index": function["id"],
                "session_hash": "curious",
                "trigger_id": None,
                "event_data": {"index": 0, "value": START},
            }
            for _ in range(600):
                joined = client.post(f"{api}/join", json=call)
                if joined.status_code not in (429, 503):  # the last answer counts until it is read
                    break
                time.sleep(0.1)
            if joined.status_code != 200:
                unanswered.append(function["id"])
                continue
            with client.stream("GET", f"{api}/data", params={"session_hash": "curious"}) as lines:
                answer = list(lines.iter_lines())  # to its end: who hangs up early is forgotten
            if not any('"msg":"process_completed"' in line for line in answer):
                unanswered.append(function["id"])
            answers += answer
    return plain(json.dumps(answers)), unanswered


def plain(text: str) -> str:
    """A text with names as the page shows them."""
    return text.replace("_", " ")


def _begins(function: dict[str, Any]) -> int:
    """Whether an event is what a visit begins with: the load, then the start of an episode."""
    events = [event for _, event in function["targets"]]
    return 2 * ("load" in events) + ("start" in events)


def secrets() -> list[str]:
    """What only the answer to the first episode holds."""
    content = build_debug_fields_with_expected_rows_and_plan(
        build_episode(resolve_named_or_custom_task(task_id=DEFAULT_TASK_ID)[1])
    )
    effects = [cause["effect"] for cause in content["anomaly_schedule"]]
    return [plain(each) for each in ("anomaly_schedule", *effects)]


def test_page_function_called_by_index_reveals_no_answer(web: WebServer) -> None:
    answers, unanswered = every_answer(web)
    assert unanswered == []
    assert "&quot;reset&quot;" in answers  # an episode runs, or there would be nothing to tell
    assert [secret for secret in secrets() if secret in answers] == []


def test_page_function_in_debug_mode_reveals_the_answer(small: WebServer) -> None:
    answers, unanswered = every_answer(small)
    assert unanswered == []
    assert [secret for secret in secrets() if secret not in answers] == []
