"""A third environment, as small as one can be: no scenes of its own, so the page must do.

A number is hidden; `look` compares, `list_numbers` lists, `answer` submits. Run as a program, it
serves its page: `python tiny_environment.py PORT`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

import openenv_kit.environment as kit
from openenv_kit.environment import ERROR, Reply
from openenv_kit.errors import InvalidValueError, require_integer, require_name
from openenv_kit.play.policies import Policy
from openenv_kit.tools.catalogue import Catalogue, ToolSpec

SIDES = ("below", "above")
STORY = "Somewhere a number is hidden.\nFind it, <b>then</b> answer."


class Progress(BaseModel):
    step_count: int = 0
    task_id: str = ""
    max_steps: int = 9
    status: str = "idle"


class TinySession:
    """Plays the game; see `openenv_kit.environment.Session`."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.number = 0

    @property
    def task_id(self) -> str:
        return self.progress.task_id

    @property
    def done(self) -> bool:
        return self.progress.status == "completed"

    def reset(self, task_id: Any = "three", number: Any = 3, max_steps: Any = 9) -> Reply:
        try:
            self.number = require_integer("number", number, 0, 9)
        except InvalidValueError as problem:
            return Reply(ERROR, str(problem))
        self.progress = Progress(task_id=task_id, max_steps=max_steps, status="running")
        return Reply("ready", "A number is hidden.", content={"story": STORY})

    def step(self, action: Mapping[str, Any]) -> Reply:
        self.progress.step_count += 1
        name, arguments = called(action)
        try:
            if name == "answer":
                self.progress.status = "completed"
                right = arguments.get("digit") == self.number
                return Reply(
                    "over", "Graded.", float(right), True, {"grade": {"right": float(right)}}
                )
            if name == "list_numbers":
                most = require_integer("most", arguments.get("most", 9), 0, 9)
                told: Any = [{"number": each, "even": each % 2 == 0} for each in range(most)]
            else:
                side = require_name("side", arguments.get("side"), SIDES)
                digit = require_integer("digit", arguments.get("digit"), 0, 9)
                told = self.number < digit if side == "below" else self.number > digit
        except ValueError as problem:
            return Reply(ERROR, str(problem))
        return Reply("told", f"{name} done.", content={"told": told})

    def state(self) -> Progress:
        return self.progress

    def identity(self) -> Mapping[str, Any]:
        return {"number": self.number}


def called(action: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return action["tool"], dict(action["arguments"])


def tool(name: str, description: str, properties: dict[str, Any], **options: bool) -> ToolSpec:
    required = [each for each, schema in properties.items() if "default" not in schema]
    parameters = {"type": "object", "properties": properties, "required": required}
    action = lambda arguments: {"tool": name, "arguments": dict(arguments)}  # noqa: E731
    return ToolSpec(name, description, parameters, action, **options)


DIGIT = {"type": "integer", "minimum": 0, "maximum": 9, "description": "a digit"}
TOOLS = Catalogue(
    tools=(
        tool("look", "Compare.", {"side": {"type": "string", "enum": [*SIDES]}, "digit": DIGIT}),
        tool("list_numbers", "List numbers.", {"most": {**DIGIT, "default": 2}}),
        tool("answer", "Answer.", {"digit": DIGIT}, reads_only=False, finishes=True),
    ),
    called=called,
    answer=lambda seen: {k: seen[k] for k in ("status", "message", "told", "grade") if k in seen},
)


def reference(_: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for digit in range(10):
        seen = yield {"tool": "look", "arguments": {"side": "below", "digit": digit}}
        if seen["told"]:
            yield {"tool": "answer", "arguments": {"digit": digit - 1}}


class Task:
    def __init__(self, index: int) -> None:
        self.index = index
        self.task_id = f"train-{index}"

    def reset_arguments(self) -> dict[str, Any]:
        return {"task_id": self.task_id, "number": self.index}

    def as_dict(self) -> dict[str, Any]:
        return {"task_id": self.task_id}


class Splits:
    def names(self) -> list[str]:
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
    models: Any = None
    tools = TOOLS
    reset_arguments = ("episode_id", "task_id", "number", "max_steps")
    rules: Mapping[str, int] = {"max_steps": 9}
    tasks: Mapping[str, Mapping[str, Any]] = {
        name: {"task_id": name, "number": at} for at, name in [(3, "three"), (7, "seven")]
    }
    default_tasks = ("three",)
    splits = Splits()
    policies: Mapping[str, Policy] = {"reference": Policy("reference", "Looks.", reference)}

    def brief(self, opening: Mapping[str, Any] | None = None) -> str:
        return "You look for a number."

    def introduction(self, opening: Mapping[str, Any]) -> str:
        return str(opening["story"])

    def session(self, *, debug: bool = False) -> TinySession:
        return TinySession()

    def score_parts(self, observation: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return observation.get("grade")

    def observation(self, reply: Reply, task_id: str) -> dict[str, Any]:
        said = {"task_id": task_id, "status": reply.status, "message": reply.message}
        return {**said, **reply.content}


class Entry:
    """Stands for the entry point of an installed environment."""

    def load(self) -> Tiny:
        return Tiny()


def installed() -> dict[str, Any]:
    return {"tiny": Entry()}


def serve(port: int) -> None:
    import uvicorn
    from fastapi import FastAPI

    from openenv_kit.page import add_icon, guard_page
    from openenv_kit.page.mount import add_page
    from openenv_kit.serving.settings import settings

    kit.environments = installed
    app = FastAPI()
    add_icon(app)
    add_page(app, debug=False)
    guard_page(app, settings())
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
