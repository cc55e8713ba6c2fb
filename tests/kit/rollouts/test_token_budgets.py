"""Token budgets equal those of the current environments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openenv_kit.cli import app
from openenv_kit.environment import get_environment
from openenv_kit.rollouts.measure_token_budget import compute_token_percentiles
from openenv_kit.rollouts.token_budgets import (
    DigitTokens,
    TokenBudget,
    TokenPercentiles,
    find_token_budget,
    get_token_budgets_path,
    read_token_budgets,
    write_token_budgets,
)
from research.token_budgets import (
    LEVELS,
    ROOT,
    BudgetCase,
    count_episode_tokens,
    list_numbered_levels,
    measure_case,
    updated_pages,
)
from support.command_line import run_cli

TOLERANCE = 0.02
"""Largest accepted difference between a shipped figure and one measured now."""
QUICK = {"metric_tracker_rl": "easy", "drilldown": "drill_easy", "firewatch": "easy"}


@pytest.mark.slow
@pytest.mark.parametrize("name", LEVELS)
def test_shipped_budgets_are_those_of_the_current_environment(name: str) -> None:
    environment = get_environment(name)
    about = json.loads(get_token_budgets_path(environment).read_text(encoding="utf-8"))
    assert about["versions"] == dict(environment.versions), "run python -m research.token_budgets"
    level = QUICK[name]
    shipped = find_token_budget(environment, level)
    assert shipped is not None
    measured, _ = measure_case(BudgetCase(name, level, {}), shipped.tasks)
    for part in ("prompt", "completion", "total"):
        assert getattr(measured, part) == pytest.approx(getattr(shipped, part), rel=TOLERANCE)


@pytest.mark.parametrize("name", LEVELS)
def test_every_level_and_rung_has_a_budget_for_each_kind_of_tokenizer(name: str) -> None:
    environment = get_environment(name)
    for level in (*LEVELS[name], *list_numbered_levels(name)):
        grouped, single = (find_token_budget(environment, level, {}, kind) for kind in DigitTokens)
        assert grouped is not None
        assert single is not None
        assert grouped.completion.p50 <= grouped.completion.p95 < single.completion.p95


def test_tool_schemas_are_part_of_the_prompt() -> None:
    turns = [json.dumps({"name": "look", "arguments": {}}), "[1]"]
    schema = {"type": "function", "function": {"name": "look", "parameters": {}}}
    without, included = (
        count_episode_tokens(["Play.", json.dumps(tools), "Go.", *turns], DigitTokens.GROUPED)
        for tools in ([], [schema])
    )
    assert included.prompt >= without.prompt + 15
    assert included.completion == without.completion


def test_single_digits_cost_a_token_each() -> None:
    texts = ["", "[]", "", json.dumps({"name": "f", "arguments": {}}), "1234567 12"]
    grouped, single = (count_episode_tokens(texts, kind) for kind in DigitTokens)
    assert single.completion - grouped.completion == (7 - 3) + (2 - 1)


def test_percentiles_are_those_of_the_nearest_rank() -> None:
    assert compute_token_percentiles(range(1, 101)) == TokenPercentiles(50, 95)
    assert compute_token_percentiles([7, 3]) == TokenPercentiles(3, 7)


def test_budget_of_the_mode_that_a_reset_asks_for_is_found() -> None:
    funnel = get_environment("metric_tracker_rl")
    standard = find_token_budget(funnel, "easy", {"profile": "standard", "reward": "exact"})
    lean = find_token_budget(funnel, "easy", {"profile": "lean"})
    assert standard is not None
    assert lean is not None
    assert (standard.reset, lean.reset) == ({}, {"profile": "lean"})
    assert lean.total.p95 < standard.total.p50
    assert find_token_budget(funnel, "esay") is None


def test_written_budgets_are_read_back(tmp_path: Path) -> None:
    counts = TokenPercentiles(1, 2)
    budget = TokenBudget("easy", DigitTokens.SINGLE, 3, counts, counts, counts, {"profile": "x"})
    write_token_budgets(tmp_path / "budgets.json", [budget, budget], {"encoding": "some"})
    assert read_token_budgets(tmp_path / "budgets.json") == (budget, budget)


def test_pages_have_the_figures_of_the_shipped_budgets() -> None:
    for page, text in updated_pages().items():
        assert (ROOT / page).read_text(encoding="utf-8") == text, f"{page} is out of date"


def test_command_prints_the_budgets_of_an_environment() -> None:
    budget = find_token_budget(get_environment("firewatch"), "hard")
    assert budget is not None
    ran = run_cli("budgets", "--environment", "firewatch")
    assert ran.exit_code == 0, ran.output
    (line,) = [line for line in ran.output.splitlines() if " hard " in line]
    assert f"{budget.completion.p95:,}" in line
    assert f"{budget.total.p95:,}" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--level", "esay"], "Did you mean 'easy'"),
        (["--environment", "pipe_leak"], "pipe_leak has no token budgets"),
        (["--digits", "some"], "'single'"),
    ],
)
def test_command_refuses_what_has_no_budget(arguments: list[str], message: str) -> None:
    ran = CliRunner().invoke(app, ["budgets", *arguments], env={"COLUMNS": "200"})
    assert ran.exit_code == 2
    assert message in ran.output
