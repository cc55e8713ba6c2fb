"""Pipe Leak: one of the 64 segments of a water main leaks, and the player has to find it.

A gauge shows 4 bar before the leak and 3 bar behind it, ±0.2. A listening device detects the leak
from two segments away. A report ends the episode: 1.0 for the leaking segment, 0.5 for a neighbour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from openenv.core.env_server.types import Action, Observation, State
from pydantic import BaseModel, Field

from openenv_kit.bitstream import BitStream
from openenv_kit.catalogue import Catalogue
from openenv_kit.environment import Environment, EpisodeLimits, Reply, Session, WireModels
from openenv_kit.errors import require_integer
from openenv_kit.reset_arguments import EPISODE_ID, INDEX, SEED, SPLIT, index_arguments_by_name
from openenv_kit.rollouts.policies import ObservationJson, Policies
from openenv_kit.splits import HashedSplits
from openenv_kit.tool import ToolArguments, Tools

SEGMENTS, MAX_STEPS, MAX_SEED = 64, 24, 2**64 - 1
BLOCKS = {"train": 500, "test": 50, "sessions": 500}
SPLITS = HashedSplits("pipe-leak/1", BLOCKS, [()], lambda seed, _: seed)
POLICIES = Policies()
TOOLS = Tools()


class Segment(ToolArguments):
    """Arguments of every tool."""

    segment: int = Field(ge=0, lt=SEGMENTS, description="number of a segment")


class PipeAction(Action):
    """A tool call."""

    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class PipeObservation(Observation):
    """A measurement: bar for the gauge, 0 to 3 for the loudness."""

    task_id: str = ""
    status: str = ""
    message: str = ""
    reading: float | None = None


class PipeState(State):
    """The progress of an episode."""

    task_id: str | None = None
    status: str = "idle"
    max_steps: int = MAX_STEPS


class PipeSession(Session):
    """One episode. The base class counts steps and answers invalid actions."""

    state_model: type[BaseModel] = PipeState

    def start_episode(self, seed: Any = None, split: Any = None, index: Any = None) -> Reply:
        if split is None and index is None:
            self.seed = require_integer("seed", seed or 0, 0, MAX_SEED)
            self.task_id = "custom"  # An id with the seed would reveal the leak.
        else:
            task = SPLITS.task(split or "train", index or 0)
            self.seed, self.task_id = task.config, task.task_id
        self.leak = BitStream(f"pipe-leak/1|{self.seed}").integer_below(SEGMENTS)
        self.max_steps = MAX_STEPS
        return Reply("ready", f"A main of {SEGMENTS} segments, numbered from 0, leaks in one.")

    def execute_action(self, action: Mapping[str, Any]) -> Reply:
        reply: Reply = TOOLS.find(action.get("tool")).call(self, action.get("arguments", {}))
        return reply

    def build_episode_identity(self) -> dict[str, Any]:
        return {"seed": self.seed}

    def distance_to_leak(self, segment: int) -> int:
        """Return the number of segments between a segment and the leak."""
        return abs(segment - self.leak)


@TOOLS.tool(Segment)
def gauge(session: PipeSession, at: Segment) -> Reply:
    """Pressure at a segment: 4 bar before the leak, 3 behind it, ±0.2."""
    noise = BitStream(f"pipe-leak/1|{session.seed}|{at.segment}").uniform(-0.2, 0.2)
    reading = round(4.0 - (at.segment > session.leak) + noise, 2)
    return Reply(
        "looked", f"{reading} bar at {at.segment}.", observation_fields={"reading": reading}
    )


@TOOLS.tool(Segment)
def listen(session: PipeSession, at: Segment) -> Reply:
    """Loudness of the leak: 3 at it, 1 two segments away, 0 beyond."""
    loudness = float(max(0, 3 - session.distance_to_leak(at.segment)))
    return Reply(
        "looked", f"Loudness {loudness} at {at.segment}.", observation_fields={"reading": loudness}
    )


@TOOLS.tool(Segment, is_read_only=False, is_final=True)
def report(session: PipeSession, at: Segment) -> Reply:
    """Report the segment that leaks; ends the episode."""
    score = {0: 1.0, 1: 0.5}.get(session.distance_to_leak(at.segment), 0.0)
    return Reply("reported", f"Score {score}.", score, True)


@POLICIES.register("reference")
def bisect(_: ObservationJson) -> Iterator[dict[str, Any]]:
    """Find the leak by bisection with the gauge."""
    low, high = 0, SEGMENTS - 1
    while low < high:
        middle = (low + high + 1) // 2
        observation = yield {"tool": "gauge", "arguments": {"segment": middle}}
        is_behind_leak = observation["reading"] < 3.5
        low, high = (low, middle - 1) if is_behind_leak else (middle, high)
    yield {"tool": "report", "arguments": {"segment": low}}


class PipeLeak(Environment):
    """The members that an environment must provide; the others have defaults."""

    name, version, description = "pipe_leak", "0.1.0", "Find the leak in a water main."
    versions: Mapping[str, str] = {"rules": "1"}
    wire_models = WireModels(PipeAction, PipeObservation, PipeState)
    tools = Catalogue(
        tuple(TOOLS.values()),
        format_tool_result=lambda observation: {
            name: observation.get(name) for name in ("status", "message", "reading")
        },
    )
    reset_arguments = index_arguments_by_name(EPISODE_ID, SEED, SPLIT, INDEX)
    episode_limits, splits, policies = EpisodeLimits(MAX_STEPS), SPLITS, POLICIES

    def build_system_prompt(self, reset_fields: Mapping[str, Any] | None = None) -> str:
        return "You look for the leak in a water main. Gauge and listen, then report the segment."

    def create_session(self, *, debug: bool = False) -> PipeSession:
        return PipeSession()


ENVIRONMENT = PipeLeak()
