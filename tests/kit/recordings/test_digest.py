"""Digests of replies, which do not depend on wording."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from metric_tracker_rl.tools import PROSE_FIELDS
from openenv_kit.catalogue import DEFAULT_PROSE_FIELDS
from openenv_kit.environment import get_environment
from openenv_kit.recordings.digest import compute_reply_digest

WORDED: dict[str, Any] = {
    "status": "analyzed",
    "message": "rows_for_date done.",
    "reward": 0.0,
    "done": False,
    "available_methods": [{"name": "rows_for_date", "description": "Rows of a date."}],
    "analysis_result": {"result": {"value": 7, "notes": "a note", "hours": [{"hour": 3}]}},
    "submission_issues": [{"index": 0, "message": "No such row."}],
}


def digest_of(reply: dict[str, Any]) -> str:
    return compute_reply_digest(reply, PROSE_FIELDS)


def changed(path: str, value: Any) -> dict[str, Any]:
    """`WORDED` with another value at a path of names and positions."""
    reply: Any = copy.deepcopy(WORDED)
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    at = reply
    for part in way:
        at = at[part]
    at[last] = value
    return dict(reply)


@pytest.mark.parametrize(
    "path",
    [
        "message",
        "available_methods.0.description",
        "analysis_result.result.notes",
        "submission_issues.0.message",
    ],
)
def test_digest_ignores_wording(path: str) -> None:
    assert digest_of(changed(path, "In other words.")) == digest_of(WORDED)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("status", "error"),
        ("reward", 0.5),
        ("done", True),
        ("analysis_result.result.value", 8),
        ("analysis_result.result.hours.0.hour", 4),
        ("submission_issues.0.index", 1),
        ("expected_row_count", 2),
    ],
)
def test_digest_changes_with_anything_but_wording(path: str, value: Any) -> None:
    assert digest_of(changed(path, value)) != digest_of(WORDED)


def test_digest_ignores_the_list_of_tools() -> None:
    tools = [*WORDED["available_methods"], {"name": "another"}]
    assert digest_of(changed("available_methods", tools)) == digest_of(WORDED)


def digest_of_field(name: str, text: str, environment: str) -> str:
    reply: dict[str, Any] = {"status": "looked", "result": {"items": [{name: text}]}}
    return compute_reply_digest(reply, get_environment(environment).tools.prose_fields)


@pytest.mark.parametrize(
    ("environment", "field"),
    [
        ("metric_tracker_rl", "instruction"),
        ("drilldown", "message"),
        ("firewatch", "feedback_string"),
    ],
)
def test_digest_declared_prose_field_may_be_reworded(environment: str, field: str) -> None:
    assert digest_of_field(field, "one", environment) == digest_of_field(field, "two", environment)


@pytest.mark.parametrize(
    ("environment", "field"),
    [("metric_tracker_rl", "feedback_string"), ("firewatch", "instruction")],
)
def test_digest_prose_field_of_another_environment_is_covered(environment: str, field: str) -> None:
    assert digest_of_field(field, "one", environment) != digest_of_field(field, "two", environment)


def test_environments_declare_the_message_as_prose() -> None:
    for name in ("metric_tracker_rl", "drilldown", "firewatch"):
        assert set(DEFAULT_PROSE_FIELDS) <= set(get_environment(name).tools.prose_fields)
