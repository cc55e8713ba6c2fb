"""Sessions: episodes one after another, as every interface of the kit plays them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from firewatch_next.actions.contract_names import CONTRACT_NAMES, INVESTIGATIONS, REMEDIATIONS
from firewatch_next.contract import build_empty_observation
from firewatch_next.grading.score import ScoreParts
from firewatch_next.incident import Incident
from firewatch_next.tasks.find_task import find_task
from firewatch_next.tasks.levels import LEAN_LEVEL_NAMES
from firewatch_next.tasks.splits import VERSION
from firewatch_next.tasks.task import DrawnTask
from firewatch_next.tools import FULL_PROFILE, LEAN_PROFILE, PROFILES, TARGET, TOOL_NAMES
from openenv_kit.environment import Reply
from openenv_kit.errors import (
    InvalidValueError,
    ToolArgumentError,
    UnknownNameError,
    require_name,
    truncated_repr,
)
from openenv_kit.reply import END_REASON_KEY, SCORE_COMPONENTS_KEY, ReplyStatus
from openenv_kit.reset_arguments import (
    DIFFICULTY,
    EPISODE_ID,
    INDEX,
    REWARD,
    SEED,
    SPLIT,
    TASK_ID,
    ArgumentRole,
    ResetArgument,
    index_arguments_by_name,
)
from openenv_kit.rewards import COMMON_REWARDS, Reward
from openenv_kit.session import Session

RUNNING = "running"
PROFILE = ResetArgument(
    "profile",
    ArgumentRole.PLAY,
    "string",
    "full (22 tools), or lean (10 tools, short replies; rungs and easy only)",
)
RESET_ARGUMENTS = index_arguments_by_name(
    EPISODE_ID, TASK_ID, DIFFICULTY, SEED, SPLIT, INDEX, REWARD, PROFILE
)
ACTION_NAMES = tuple(dict.fromkeys((*TOOL_NAMES, *CONTRACT_NAMES)))


class IncidentProgress(BaseModel):
    """How far an incident is."""

    step_count: int = 0
    task_id: str | None = None
    difficulty: str | None = None
    status: str = "idle"
    max_steps: int = 0


class FirewatchSession(Session):
    """One episode at a time. A step is one call and lets one tick pass.

    Args:
        find: returns the task that the arguments of a reset ask for.
    """

    state_model = IncidentProgress

    def __init__(self, find: Callable[[Mapping[str, Any]], DrawnTask] = find_task) -> None:
        super().__init__()
        self._find = find
        self._reward: str = Reward.GRADED
        self._profile = FULL_PROFILE
        self.incident: Incident | None = None

    def start_episode(self, **arguments: Any) -> Reply:
        given = {name: value for name, value in arguments.items() if value is not None}
        for name in given:
            require_name("reset argument", name, RESET_ARGUMENTS)
        reward = require_name("reward", given.get("reward", Reward.GRADED), COMMON_REWARDS)
        profile = require_name("profile", given.get("profile", FULL_PROFILE), PROFILES)
        task = self._find(given)
        if profile == LEAN_PROFILE and task.spec.level_name not in LEAN_LEVEL_NAMES:
            allowed = f"full on the level {task.spec.level_name}; lean on "
            raise InvalidValueError("profile", profile, allowed + ", ".join(LEAN_LEVEL_NAMES))
        self.incident = Incident(task, is_lean=profile == LEAN_PROFILE)
        self._reward, self._profile = reward, profile
        self.task_id, self.max_steps = task.spec.task_id, self.incident.max_ticks
        return self._make_reply(RUNNING, self.incident.message, None, {"error": None})

    def execute_action(self, action: Mapping[str, Any]) -> Reply:
        """Execute an action. A wrong one costs its tick and is explained in `info.error`."""
        incident = self.incident
        if incident is None:
            return self.build_no_episode_reply()
        try:
            asked = _read_action(action, incident)
        except (ToolArgumentError, UnknownNameError) as problem:
            name = action.get("action_type") if isinstance(action, Mapping) else None
            incident.wait(name[:80] if isinstance(name, str) else "", "", str(problem))
            return self._reply_error(str(problem))
        try:
            feedback = incident.act(asked.name, asked.target, asked.parameters)
        except ToolArgumentError as problem:
            return self._reply_error(str(problem))
        status = ReplyStatus.COMPLETED if incident.is_done else RUNNING
        info = self._build_info(None, feedback)
        return self._make_reply(status, incident.message, self._read_reward(), info)

    def _reply_error(self, problem: str) -> Reply:
        assert self.incident is not None
        info = self._build_info(problem)
        message = self.incident.message
        return self._make_reply(ReplyStatus.ERROR, message, self._read_reward(), info)

    def build_episode_identity(self) -> dict[str, Any]:
        """Return the version of the tasks and the reset that draws this one."""
        if self.incident is None:
            return {}
        reset: dict[str, Any] = dict(self.incident.task.spec.reset_arguments)
        if self._reward == Reward.EXACT:
            reset["reward"] = self._reward
        if self._profile != FULL_PROFILE:
            reset["profile"] = self._profile
        return {"version": VERSION, "reset": reset}

    def build_extra_state_fields(self) -> Mapping[str, Any]:
        level = None if self.incident is None else self.incident.task.spec.level_name
        return {"difficulty": level}

    @property
    def memory_bytes(self) -> int:
        return 600_000

    def build_error_reply(self, message: str) -> Reply:
        return self._make_reply(ReplyStatus.ERROR, message, None, {"error": message})

    def build_no_episode_reply(self) -> Reply:
        problem = "reset first"
        return self._make_reply(ReplyStatus.ERROR, problem, 0.0, self._build_info(problem))

    def build_episode_over_reply(self) -> Reply:
        problem = "The episode is over: reset to start another one."
        return self._make_reply(ReplyStatus.COMPLETED, problem, 0.0, self._build_info(problem))

    def build_sealed_end_fields(self, score: float | None) -> dict[str, Any]:
        return {**build_empty_observation(), "episode_score": score}

    def build_sealed_end_info(self, score: float | None, error: str | None) -> dict[str, Any]:
        return {
            "error": error,
            "action_valid": error is None,
            "action_feedback": "",
            "episode_score": score,
        }

    @property
    def _parts(self) -> ScoreParts | None:
        return None if self.incident is None else self.incident.parts

    def _read_reward(self) -> float:
        """Return the reward of a step: 0 before the end."""
        parts = self._parts
        if parts is None:
            return 0.0
        return float(is_exact(parts)) if self._reward == Reward.EXACT else parts.score

    def _build_info(self, error: str | None, feedback: str = "") -> dict[str, Any]:
        parts = self._parts
        return {
            "error": error,
            "action_valid": error is None,
            "action_feedback": feedback,
            "episode_score": None if parts is None else parts.score,
            **({} if parts is None else self._build_end_info(parts)),
        }

    def _build_end_info(self, parts: ScoreParts) -> dict[str, Any]:
        paid = {Reward.GRADED.value: parts.score, Reward.EXACT.value: float(is_exact(parts))}
        shares = {"impact": parts.impact, "precision": parts.precision, "resolved": parts.resolved}
        assert self.incident is not None
        is_declared = self.incident.declared_tick is not None
        return {
            "score_parts": build_score_parts(parts),
            SCORE_COMPONENTS_KEY: {**paid, **shares},
            **({} if is_declared else {END_REASON_KEY: "max_steps"}),
        }

    def _make_reply(
        self, status: str, message: str, reward: float | None, info: dict[str, Any]
    ) -> Reply:
        incident = self.incident
        fields = build_empty_observation() if incident is None else incident.build_observation()
        fields["score_parts"] = info.get("score_parts")
        fields["profile"] = self._profile
        is_done = incident is not None and incident.is_done
        return Reply(status, message, reward, is_done, fields, info)


def is_exact(parts: ScoreParts) -> bool:
    """Return whether the incident is resolved and declared, and no change was unneeded."""
    return parts.resolved == 1.0 and parts.harmful == 0 and parts.needless == 0


def build_score_parts(parts: ScoreParts) -> dict[str, float | int | bool]:
    """Return the parts of a score with the names that existing clients read."""
    return {
        "impact": round(parts.impact, 4),
        "precision": round(parts.precision, 4),
        "resolved": parts.resolved,
        "closure": parts.resolved,
        "harmful": parts.harmful,
        "needless": parts.needless,
        "unneeded": parts.harmful + parts.needless,
        "recovered": parts.resolved > 0.0,
    }


class _AskedAction:
    """Name, target and parameters of an action."""

    def __init__(self, name: str, target: str, parameters: Mapping[str, Any]) -> None:
        self.name, self.target, self.parameters = name, target, parameters


def _read_action(action: object, incident: Incident) -> _AskedAction:
    """Return the parts of an action.

    Raises:
        ToolArgumentError: it is not an object.
        UnknownNameError: there is no such action or service.
    """
    if not isinstance(action, Mapping):
        raise ToolArgumentError(f"action is {truncated_repr(action)}; allowed: an object.")
    name = require_name("action_type", action.get("action_type"), ACTION_NAMES)
    given = action.get("parameters")
    parameters = dict(given) if isinstance(given, Mapping) else {}
    if name in REMEDIATIONS:
        # Many clients write a parameter beside the target.
        beside = {key: action[key] for key in REMEDIATIONS[name].parameters if key in action}
        parameters = {**beside, **parameters}
    target = action.get(TARGET)
    if name in REMEDIATIONS or name in INVESTIGATIONS:
        target = require_name(TARGET, target, incident.world.services)
    return _AskedAction(name, target if isinstance(target, str) else "", parameters)
