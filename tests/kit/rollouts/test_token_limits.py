"""Warnings about token limits that are too small."""

from __future__ import annotations

from typing import Any

import pytest

from openenv_kit.datasets.split_rows import list_task_rows
from openenv_kit.environment import get_environment
from openenv_kit.rollouts.token_budgets import DigitTokens, find_token_budget
from openenv_kit.rollouts.token_limits import (
    LimitedTokens,
    TokenLimit,
    TrainedLevel,
    list_levels_of_rows,
    warn_if_context_too_small,
    warn_if_token_limit_too_small,
)
from openenv_kit.trainers.nemo_gym_data import iter_data_rows
from openenv_kit.trainers.openenv_harness import ToolSessionFactory

FIREWATCH_EASY = TrainedLevel("firewatch", "easy", {})


def budget_of(level: str, environment: str = "firewatch", **reset: str) -> Any:
    budget = find_token_budget(get_environment(environment), level, reset, DigitTokens.SINGLE)
    assert budget is not None
    return budget


@pytest.mark.parametrize("limited", LimitedTokens)
def test_warn_if_token_limit_too_small_compares_with_the_95th_percentile(
    limited: LimitedTokens, caplog: pytest.LogCaptureFixture
) -> None:
    needed = getattr(budget_of("easy"), limited.value).p95
    limit = TokenLimit("max_tokens", needed, limited)
    assert warn_if_token_limit_too_small([FIREWATCH_EASY], limit) == []
    too_small = TokenLimit("max_tokens", needed - 1, limited)
    (warning,) = warn_if_token_limit_too_small([FIREWATCH_EASY], too_small)
    assert warning.startswith(f"max_tokens is {needed - 1}, but 5 %")
    assert caplog.messages == [warning]


def test_warn_if_token_limit_too_small_unmeasured_level_is_skipped() -> None:
    limit = TokenLimit("max_tokens", 1)
    assert warn_if_token_limit_too_small([TrainedLevel("pipe_leak", "easy", {})], limit) == []


def test_list_levels_of_rows_drops_the_task_and_repeated_levels() -> None:
    rows = list_task_rows("train", count=3, extra_reset_arguments={"profile": "lean"}, level="easy")
    assert list_levels_of_rows(rows) == [
        TrainedLevel("metric_tracker_rl", "easy", {"split": "train", "profile": "lean"})
    ]
    assert list_levels_of_rows([{"environment": "firewatch"}]) == []


def test_warn_if_context_too_small_without_a_context_checks_nothing() -> None:
    rows = list_task_rows("train", count=1, environment_name="firewatch")
    assert warn_if_context_too_small(rows, "firewatch", None) == []
    assert len(warn_if_context_too_small(rows, "firewatch", 10)) == 1


def test_data_rows_for_nemo_gym_warn_about_a_small_context(
    caplog: pytest.LogCaptureFixture,
) -> None:
    given: Any = {"count": 1, "environment": "firewatch", "level": "easy"}
    list(iter_data_rows(**given, context_tokens=budget_of("easy").total.p95))
    assert caplog.messages == []
    list(iter_data_rows(**given, context_tokens=100))
    assert caplog.messages[0].startswith("context_tokens is 100")


def test_harness_warns_once_for_each_level(caplog: pytest.LogCaptureFixture) -> None:
    factory = ToolSessionFactory(environment="firewatch", context_tokens=100)
    rows = list_task_rows("train", count=2, environment_name="firewatch", level="easy")
    for row in (*rows, None):
        factory.create(row).close()
    assert len(caplog.messages) == 1
    assert "firewatch easy" in caplog.messages[0]
