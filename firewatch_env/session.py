"""Plays one after another, as every door of the kit takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from firewatch_env.actions import ACTIONS
from firewatch_env.evidence.observation import nothing
from firewatch_env.grade import Grade
from firewatch_env.play import Play
from firewatch_env.tasks.book import VERSION, find
from firewatch_env.tasks.task import Task
from openenv_kit.environment import Reply
from openenv_kit.errors import ToolArgumentError, UnknownNameError, require_name, truncated_repr
from openenv_kit.reply import END_REASON_KEY, EVIDENCE_SHARE_KEY, SCORE_COMPONENTS_KEY, ReplyStatus
from openenv_kit.reset_arguments import (
    DIFFICULTY,
    EPISODE_ID,
    INDEX,
    REWARD,
    SEED,
    SPLIT,
    TASK_ID,
    index_arguments_by_name,
)
from openenv_kit.rewards import COMMON_REWARDS, Reward
from openenv_kit.session import Session

RESET_ARGUMENTS = index_arguments_by_name(
    EPISODE_ID, TASK_ID, DIFFICULTY, SEED, SPLIT, INDEX, REWARD
)


class Progress(BaseModel):
    """How far an incident is."""

    step_count: int = 0
    task_id: str | None = None
    difficulty: str | None = None
    status: str = "idle"
    max_steps: int = 0


class FirewatchSession(Session):
    """One play at a time; a step is an action, and lets one tick pass.

    Args:
        find: the task that reset's arguments ask for; raises a ConfigurationError.
    """

    state_model = Progress

    def __init__(self, find: Callable[[Mapping[str, Any]], Task] = find) -> None:
        super().__init__()
        self._find = find
        self._reward: str = Reward.GRADED
        self.play: Play | None = None

    def start_episode(self, **arguments: Any) -> Reply:
        given = {name: value for name, value in arguments.items() if value is not None}
        for name in given:
            require_name("reset argument", name, RESET_ARGUMENTS)
        reward = require_name("reward", given.get("reward", Reward.GRADED), COMMON_REWARDS)
        self.play, self._reward = Play(self._find(given)), reward
        task = self.play.task
        self.task_id, self.max_steps = task.task_id, task.max_ticks
        return self._reply("running", self.play.message, None, {"error": None})

    def execute_action(self, action: Mapping[str, Any]) -> Reply:
        """Do it; what cannot be understood costs its tick and says so in `info.error`."""
        play = self.play
        if play is None:
            return self.build_no_episode_reply()
        try:
            name, target, parameters = _understand(action, play)
        except (ToolArgumentError, UnknownNameError) as problem:
            asked = action.get("action_type") if isinstance(action, Mapping) else None
            play.wait(asked if isinstance(asked, str) else "", None, str(problem))
            return self._reply(
                ReplyStatus.ERROR, play.message, self._paid(), self._info(str(problem))
            )
        feedback = play.act(name, target, parameters).text
        status = ReplyStatus.COMPLETED if play.done else "running"
        return self._reply(status, play.message, self._paid(), self._info(None, feedback))

    def build_episode_identity(self) -> dict[str, Any]:
        """The version of the tasks and the reset that draws this one; empty before a reset."""
        if self.play is None:
            return {}
        reset = {
            **self.play.task.arguments,
            **({"reward": self._reward} if self._reward == Reward.EXACT else {}),
        }
        return {"version": VERSION, "reset": reset}

    def build_extra_state_fields(self) -> Mapping[str, Any]:
        return {"difficulty": None if self.play is None else self.play.task.difficulty}

    def build_error_reply(self, message: str) -> Reply:
        return self._reply(ReplyStatus.ERROR, message, None, {"error": message})

    def build_no_episode_reply(self) -> Reply:
        problem = "reset first"
        return self._reply(ReplyStatus.ERROR, problem, 0.0, self._info(problem))

    def build_episode_over_reply(self) -> Reply:
        problem = "the episode is over; reset begins another"
        return self._reply(ReplyStatus.COMPLETED, problem, 0.0, self._info(problem))

    def build_sealed_end_fields(self, score: float | None) -> dict[str, Any]:
        return {**nothing(), "episode_score": score}

    def build_sealed_end_info(self, score: float | None, error: str | None) -> dict[str, Any]:
        return {
            "error": error,
            "action_valid": error is None,
            "action_feedback": "",
            "episode_score": score,
        }

    def _paid(self) -> float:
        """The reward of a step: nothing before the end."""
        grade = None if self.play is None else self.play.grade
        if grade is None:
            return 0.0
        return float(grade.exact) if self._reward == Reward.EXACT else grade.score

    def _info(self, error: str | None, feedback: str = "") -> dict[str, Any]:
        """What travels beside the observation; the score and its parts at the end."""
        grade = None if self.play is None else self.play.grade
        return {
            "error": error,
            "action_valid": error is None,
            "action_feedback": feedback,
            "episode_score": None if grade is None else grade.score,
            **({} if grade is None else self._ending(grade)),
        }

    def _ending(self, grade: Grade) -> dict[str, Any]:
        """The score's parts, what each reward would pay, and why an end came undeclared."""
        paid = {Reward.GRADED.value: grade.score, Reward.EXACT.value: float(grade.exact)}
        shares = {n: getattr(grade, n) for n in ("impact", "precision", "resolved")}
        declared = self.play is not None and self.play.declared
        return {
            "score_parts": grade.parts(),
            SCORE_COMPONENTS_KEY: {**paid, **shares},
            EVIDENCE_SHARE_KEY: grade.grounded,
            **({} if declared else {END_REASON_KEY: "max_steps"}),
        }

    def _reply(
        self, status: str, message: str, reward: float | None, info: dict[str, Any]
    ) -> Reply:
        content = nothing() if self.play is None else self.play.observe()
        content["score_parts"] = info.get("score_parts")
        done = self.play is not None and self.play.done
        return Reply(status, message, reward, done, content, info)


def _understand(action: Any, play: Play) -> tuple[str, str | None, Mapping[str, Any]]:
    """Name, target and parameters of an action.

    Raises:
        ToolArgumentError: it is not an object.
        UnknownNameError: no such action or service; names the nearest.
    """
    if not isinstance(action, Mapping):
        raise ToolArgumentError(f"action is {truncated_repr(action)}; allowed: an object.")
    known = ACTIONS[require_name("action_type", action.get("action_type"), ACTIONS)]
    # Many clients write a parameter beside the target; silence would look like a repair.
    parameters = {each: action[each] for each in known.parameters if each in action}
    given = action.get("parameters")
    if isinstance(given, Mapping):
        parameters |= given
    if not known.needs_target:
        return known.name, None, parameters
    target = require_name("target_service", action.get("target_service"), play.graph)
    return known.name, target, parameters
