"""Tests of `openenv_kit.recordings.digest`."""

from __future__ import annotations

from typing import Any

import pytest

from openenv_kit.catalogue import DEFAULT_PROSE_FIELDS
from openenv_kit.environment import get_environment
from openenv_kit.recordings.digest import compute_reply_digest


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
