"""A very small environment without an environment view of its own.

A number is hidden; `look` compares, `list_numbers` lists, `answer` submits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from openenv.core.env_server.types import Action, Observation, State
from pydantic import BaseModel, Field

import openenv_kit.environment as kit
from openenv_kit.catalogue import Catalogue
from openenv_kit.environment import EpisodeLimits, Reply, Session, WireModels
from openenv_kit.errors import require_integer
from openenv_kit.reset_arguments import (
    EPISODE_ID,
    MAX_STEPS,
    TASK_ID,
    ArgumentRole,
    ResetArgument,
    index_arguments_by_name,
)
from openenv_kit.rollouts.policies import Policy
from openenv_kit.tool import ToolArguments, Tools

STORY = "Somewhere a number is hidden.\nFind it, <b>then</b> answer."
TOOLS = Tools()


class TinyAction(Action):
    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class TinyObservation(Observation):
    task_id: str = ""
    status: str = ""
    message: str = ""
    story: str = ""
    found: Any = None
    grade: dict[str, float] | None = None


class TinyState(State):
    task_id: str | None = None
    max_steps: int = 9
    status: str = "idle"


class TinySession(Session):
    """Session of the guessing environment."""

    state_model: type[BaseModel] = TinyState

    def start_episode(self, task_id: Any = "three", number: Any = 3, max_steps: Any = 9) -> Reply:
        self.number = require_integer("number", number, 0, 9)
        self.task_id, self.max_steps = task_id, max_steps
        return Reply("ready", "A number is hidden.", observation_fields={"story": STORY})

    def execute_action(self, action: Mapping[str, Any]) -> Reply:
        reply: Reply = TOOLS.find(action.get("tool")).call(self, action.get("arguments", {}))
        return reply

    def build_episode_identity(self) -> Mapping[str, Any]:
        return {"number": self.number}


class Answer(ToolArguments):
    digit: int = Field(ge=0, le=9, description="a digit")


class Look(ToolArguments):
    side: Literal["below", "above"]
    digit: int = Field(ge=0, le=9, description="a digit")


class Numbers(ToolArguments):
    most: int = Field(default=2, ge=0, le=9, description="a digit")


@TOOLS.tool(Look)
def look(play: TinySession, at: Look) -> Reply:
    """Return whether the hidden number is larger or smaller."""
    holds = play.number < at.digit if at.side == "below" else play.number > at.digit
    return Reply("found", "look done.", observation_fields={"found": holds})


@TOOLS.tool(Numbers)
def list_numbers(_: TinySession, arguments: Numbers) -> Reply:
    """List numbers."""
    numbers = [{"number": each, "even": each % 2 == 0} for each in range(arguments.most)]
    return Reply("found", "list_numbers done.", observation_fields={"found": numbers})


@TOOLS.tool(Answer, is_read_only=False, is_final=True)
def answer(play: TinySession, arguments: Answer) -> Reply:
    """Answer."""
    right = float(arguments.digit == play.number)
    return Reply("over", "Graded.", right, True, {"grade": {"right": right}})


def answer_of(seen: Mapping[str, Any]) -> dict[str, Any]:
    names = ("status", "message", "found", "grade")
    return {name: seen[name] for name in names if seen.get(name) is not None}


def reference(_: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for digit in range(10):
        seen = yield {"tool": "look", "arguments": {"side": "below", "digit": digit}}
        if seen["found"]:
            yield {"tool": "answer", "arguments": {"digit": digit - 1}}


class Task:
    level = None

    def __init__(self, index: int) -> None:
        self.index = index
        self.task_id = f"train-{index}"

    def reset_arguments(self) -> dict[str, Any]:
        return {"task_id": self.task_id, "number": self.index}

    def as_public_dict(self) -> dict[str, Any]:
        return {"task_id": self.task_id}


class Splits:
    def list_playable_split_names(self) -> list[str]:
        return ["train"]

    def size(self, split: str) -> int:
        return 10

    def task(self, split: str, index: int) -> Task:
        return Task(require_integer("index", index, 0, 9))


class Tiny(kit.Environment):
    """See `openenv_kit.environment.Environment`."""

    name = "tiny"
    title = "Tiny"
    description = "Find the hidden number."
    version = "0.0.1"
    versions: Mapping[str, str] = {"rules": "1"}
    wire_models = WireModels(TinyAction, TinyObservation, TinyState)
    tools = Catalogue(
        tuple(TOOLS.values()), answer_of, first_user_message=lambda opening: str(opening["story"])
    )
    reset_arguments = index_arguments_by_name(
        EPISODE_ID,
        TASK_ID,
        ResetArgument("number", ArgumentRole.DATA, "integer", "a digit"),
        MAX_STEPS,
    )
    episode_limits = EpisodeLimits(max_steps=9)
    reset_arguments_by_task_id: Mapping[str, Mapping[str, Any]] = {
        name: {"task_id": name, "number": at} for at, name in [(3, "three"), (7, "seven")]
    }
    splits = Splits()
    policies: Mapping[str, Policy] = {"reference": Policy("reference", "Looks.", reference)}

    def build_system_prompt(self, reset_fields: Mapping[str, Any] | None = None) -> str:
        return "You look for a number."

    def create_session(self, *, debug: bool = False) -> TinySession:
        return TinySession()

    def extract_score_components(self, observation: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return observation.get("grade")


class Entry:
    """Replaces the entry point of an installed environment."""

    def load(self) -> Tiny:
        return Tiny()


def installed() -> dict[str, Any]:
    return {"tiny": Entry()}
