"""Tests of `openenv_kit.reset_arguments`."""

from __future__ import annotations

import pytest

from openenv_kit.environment import get_environment
from openenv_kit.errors import InvalidValueError
from openenv_kit.reset_arguments import (
    DIFFICULTY,
    EPISODE_ID,
    SEED,
    SPLIT,
    ArgumentRole,
    ResetArgument,
    drop_task_seed_and_level,
    index_arguments_by_name,
    parse_reset_argument,
    select_argument_names_by_role,
)

WIND = ResetArgument("wind", ArgumentRole.DATA, "string", "`calm` or `storm`")
ARGUMENTS = index_arguments_by_name(EPISODE_ID, WIND, SPLIT, SEED, DIFFICULTY)
ENVIRONMENT_NAMES = ("metric_tracker_rl", "drilldown", "firewatch")


def test_names_with_roles_several_roles_keep_the_order_of_declaration() -> None:
    assert select_argument_names_by_role(ARGUMENTS, ArgumentRole.SEED, ArgumentRole.TASK) == (
        "episode_id",
        "split",
        "seed",
    )


def test_get_mode_arguments_reset_with_selectors_returns_the_rest() -> None:
    reset = {"split": "test", "seed": 3, "difficulty": "easy", "wind": "calm"}
    assert drop_task_seed_and_level(ARGUMENTS, reset) == {"wind": "calm"}


@pytest.mark.parametrize("name", ENVIRONMENT_NAMES)
def test_environment_reset_arguments_are_listed_under_their_names(name: str) -> None:
    arguments = get_environment(name).reset_arguments
    assert [argument.name for argument in arguments.values()] == list(arguments)


@pytest.mark.parametrize("name", ENVIRONMENT_NAMES)
def test_environment_reset_arguments_selectors_have_a_selecting_role(name: str) -> None:
    arguments = get_environment(name).reset_arguments
    selectors = {"episode_id", "task_id", "seed", "split", "index", "difficulty"}
    assert (
        set(
            select_argument_names_by_role(
                arguments, ArgumentRole.TASK, ArgumentRole.SEED, ArgumentRole.LEVEL
            )
        )
        == selectors
    )


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [("seed=3", "seed", 3), ("profile=lean", "profile", "lean"), ("note=a=b", "note", "a=b")],
)
def test_parse_reset_argument_value_that_is_not_json_is_text(
    text: str, name: str, value: object
) -> None:
    argument = parse_reset_argument(text)
    assert (argument.name, argument.value) == (name, value)


@pytest.mark.parametrize("text", ["seed", "=3"])
def test_parse_reset_argument_without_name_or_sign_raises(text: str) -> None:
    with pytest.raises(InvalidValueError, match="NAME=VALUE"):
        parse_reset_argument(text)
