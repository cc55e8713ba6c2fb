"""What a model is told beside the environment's own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openenv_kit.environment import Environment

LEFT_OUT = "[left out to save room; call the tool again if you need it]"


def opening_messages(environment: Environment, opening: Mapping[str, Any]) -> list[dict[str, Any]]:
    """System and first user message of an episode, from the reset's observation."""
    return [
        {"role": "system", "content": environment.brief(opening)},
        {"role": "user", "content": environment.introduction(opening)},
    ]


def reminder(environment: Environment) -> str:
    """To a model that answered with text where a tool call was wanted."""
    return (
        "You have not finished, and text alone does nothing. Call "
        f"{_finishing(environment)} now, or go on with the other tools. This is the only reminder."
    )


def last_round(environment: Environment) -> str:
    """To a model that has one answer left."""
    return (
        f"This is your last answer in this episode: call {_finishing(environment)} now with what "
        "you have found. Without it the score is 0."
    )


def _finishing(environment: Environment) -> str:
    return " or ".join(tool.name for tool in environment.tools.tools if tool.finishes)
