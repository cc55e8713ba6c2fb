"""Pipe Leak: a water main of 64 segments loses water in one of them. Which?

A gauge shows 4 bar before the leak and 3 behind it, ±0.2; an ear on the pipe hears the leak from
two segments away. A report ends the episode: 1.0 for the right segment, 0.5 for a neighbour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Literal

from openenv.core.env_server.types import Action, Observation, State
from pydantic import BaseModel, Field, ValidationError

from openenv_kit.bitstream import BitStream
from openenv_kit.environment import ERROR, Environment, Reply, WireModels
from openenv_kit.errors import KitError, require_integer
from openenv_kit.play.policies import Observed, Policies
from openenv_kit.tools.catalogue import Catalogue, ToolSpec
from openenv_kit.tools.schema import describe_problems, json_schema
from openenv_kit.trust.splits import HashedSplits

SEGMENTS, MAX_STEPS, MAX_SEED = 64, 24, 2**64 - 1
SPLITS = HashedSplits("pipe-leak/1", {"train": 500, "test": 50}, [()], lambda seed, _: seed)
POLICIES = Policies()


class Segment(BaseModel):
    """Arguments of every tool."""

    segment: int = Field(ge=0, lt=SEGMENTS, description="number of a segment")


class PipeAction(Action):
    """Look at a segment, or report it as the one that leaks."""

    tool: Literal["gauge", "listen", "report"]
    segment: int = Field(ge=0, lt=SEGMENTS)


class PipeObservation(Observation):
    """What a look shows: bar for a gauge, 0 to 3 for the ear."""

    task_id: str = ""
    status: str = ""
    message: str = ""
    reading: float | None = None


class PipeState(State):
    """How far an episode is."""

    task_id: str | None = None
    status: str = "idle"
    max_steps: int = MAX_STEPS


class PipeSession:
    """One play. Nothing that a player sends raises."""

    def __init__(self) -> None:
        self.task_id, self.done, self.seed, self.leak, self.steps = "", False, -1, -1, 0

    def reset(self, seed: Any = None, split: Any = None, index: Any = None) -> Reply:
        try:
            if split is None and index is None:
                drawn = require_integer("seed", seed or 0, 0, MAX_SEED)
                self.task_id = f"seed-{drawn}"
            else:
                task = SPLITS.task(split or "train", index or 0)
                drawn, self.task_id = task.config, task.task_id
        except KitError as problem:
            return Reply(ERROR, str(problem), done=self.done)
        self.done, self.seed, self.steps = False, drawn, 0
        self.leak = BitStream(f"pipe-leak/1|{drawn}").below(SEGMENTS)
        return Reply("ready", f"A main of {SEGMENTS} segments, numbered from 0, leaks in one.")

    def step(self, action: Mapping[str, Any]) -> Reply:
        if self.leak < 0 or self.done:
            return Reply(ERROR, "No episode is running: call reset first.", done=self.done)
        self.steps += 1
        self.done = self.steps >= MAX_STEPS
        try:
            move = PipeAction.model_validate(action)
        except ValidationError as error:
            return Reply(ERROR, describe_problems("action", PipeAction, error), done=self.done)
        away = abs(move.segment - self.leak)
        if move.tool == "report":
            self.done, score = True, {0: 1.0, 1: 0.5}.get(away, 0.0)
            return Reply("reported", f"Score {score}.", score, True)
        reading = float(max(0, 3 - away))
        if move.tool == "gauge":
            noise = BitStream(f"pipe-leak/1|{self.seed}|{move.segment}").uniform(-0.2, 0.2)
            reading = round(4.0 - (move.segment > self.leak) + noise, 2)
        told = f"{move.tool} at {move.segment}: {reading}"
        return Reply("looked", told, done=self.done, content={"reading": reading})

    def state(self) -> PipeState:
        status = "completed" if self.done else "running" if self.leak >= 0 else "idle"
        return PipeState(step_count=self.steps, task_id=self.task_id or None, status=status)

    def identity(self) -> dict[str, Any]:
        return {"seed": self.seed}


@POLICIES.register("reference")
def bisect(_: Observed) -> Iterator[dict[str, Any]]:
    """Halves the stretch in which the leak must be."""
    low, high = 0, SEGMENTS - 1
    while low < high:
        middle = (low + high + 1) // 2
        behind = (yield {"tool": "gauge", "segment": middle})["reading"] < 3.5
        low, high = (low, middle - 1) if behind else (middle, high)
    yield {"tool": "report", "segment": low}


def tool(name: str, description: str, *, finishes: bool = False) -> ToolSpec:
    """A tool that takes a segment."""
    schema, action = json_schema(Segment), partial(dict, tool=name)
    return ToolSpec(name, description, schema, action, not finishes, finishes)


class PipeLeak(Environment):
    """What the kit asks of an environment; the rest has defaults."""

    name, version, description = "pipe_leak", "0.1.0", "Find the leak in a water main."
    versions: Mapping[str, str] = {"rules": "1"}
    models = WireModels(PipeAction, PipeObservation, PipeState)
    tools = Catalogue(
        (
            tool("gauge", "Pressure at a segment: 4 bar before the leak, 3 behind it, ±0.2."),
            tool("listen", "Loudness of the leak: 3 at it, 1 two segments away, 0 beyond."),
            tool("report", "Report the segment that leaks; ends the episode.", finishes=True),
        ),
        called=lambda action: (action["tool"], {"segment": action["segment"]}),
        answer=lambda seen: {name: seen.get(name) for name in ("status", "message", "reading")},
    )
    reset_arguments = ("episode_id", "seed", "split", "index")
    rules, splits, policies = {"max_steps": MAX_STEPS}, SPLITS, POLICIES

    def brief(self, opening: Mapping[str, Any] | None = None) -> str:
        return "You look for the leak in a water main. Gauge and listen, then report the segment."

    def session(self, *, debug: bool = False) -> PipeSession:
        return PipeSession()


ENVIRONMENT = PipeLeak()
