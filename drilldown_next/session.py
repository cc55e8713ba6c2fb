"""One episode: reset, tool calls within a budget, and the report that ends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel

from drilldown_next.config import VERSIONS, EpisodeConfig
from drilldown_next.episode import Episode, get_episode
from drilldown_next.grade import Grade, grade_report
from drilldown_next.report import read_report
from drilldown_next.sql import (
    MAX_EPISODE_STEPS,
    QueryOutcome,
    UnavailableError,
    execute_query,
)
from drilldown_next.tasks import SELECTORS, SelectedTask, select_task
from drilldown_next.tools import FREE_TOOLS, SQL, SUBMIT, describe_episode, find_tool
from openenv_kit.environment import Reply
from openenv_kit.errors import ToolArgumentError, require_name, truncated_repr
from openenv_kit.reply import SCORE_COMPONENTS_KEY, ReplyStatus
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
from openenv_kit.tool import ToolArguments

READY, ANSWERED = "ready", "answered"
MAX_STEPS = 120
RESET_ARGUMENTS = index_arguments_by_name(
    EPISODE_ID,
    TASK_ID,
    SEED,
    DIFFICULTY,
    ResetArgument("product", ArgumentRole.DATA, "string", "name of a product"),
    SPLIT,
    INDEX,
    REWARD,
)


class Progress(BaseModel):
    """Public state of an episode."""

    step_count: int = 0
    task_id: str | None = None
    difficulty: str | None = None
    status: str = "idle"
    max_steps: int = MAX_STEPS


class DrilldownSession(Session):
    """Plays one episode at a time."""

    state_model = Progress

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.sql_steps = 0
        self.episode: Episode | None = None
        self._reward: str = Reward.GRADED

    def start_episode(self, **arguments: Any) -> Reply:
        for name, value in arguments.items():
            if value is not None:
                require_name("reset argument", name, RESET_ARGUMENTS)
        reward = arguments.get("reward")
        mode = require_name("reward", Reward.GRADED if reward is None else reward, COMMON_REWARDS)
        task = select_task_of_reset(arguments)
        reply = self.open_episode(task.task_id, get_episode(task.config))
        self._reward = mode
        return reply

    def open_episode(self, task_id: str, episode: Episode) -> Reply:
        """Start an episode that is already generated."""
        self.episode, self.task_id, self.max_steps = episode, task_id, MAX_STEPS
        self.steps, self.done = 0, False
        self.calls = self.sql_steps = 0
        self._reward = Reward.GRADED
        config = {**describe_episode(episode), "versions": dict(VERSIONS)}
        fields = {"config": config, "calls_left": episode.level.call_budget}
        return Reply(READY, episode.alert.text, observation_fields=fields)

    def execute_action(self, action: Mapping[str, Any]) -> Reply:
        episode = self.episode
        if episode is None:
            return self.build_no_episode_reply()
        if not isinstance(action, Mapping):
            raise ToolArgumentError(f"action is {truncated_repr(action)}; allowed: an object.")
        for name in action:
            require_name("field of an action", name, ("tool", "arguments", "metadata"))
        tool = find_tool(action.get("tool"), episode.level)
        arguments = action.get("arguments") or {}
        if tool.name == SUBMIT:
            return self._submit(episode, tool.validate_arguments(arguments).rows)
        is_counted = tool.name not in FREE_TOOLS
        if is_counted and self.calls >= episode.level.call_budget:
            raise ToolArgumentError(
                f"All {episode.level.call_budget} calls that read counts are used; allowed: "
                f"change_log and {SUBMIT}."
            )
        if tool.name == SQL:
            result = self._query(episode, tool.validate_arguments(arguments).query)
        else:
            result = tool.call(episode, arguments)
        self.calls += is_counted
        fields = {"result": result, "calls_left": self._count_calls_left(episode)}
        return Reply(ANSWERED, "", observation_fields=fields)

    def build_extra_state_fields(self) -> Mapping[str, Any]:
        return {"difficulty": None if self.episode is None else self.episode.config.difficulty}

    @property
    def memory_bytes(self) -> int:
        own = super().memory_bytes
        return own if self.episode is None else own + self.episode.size_bytes

    def build_error_reply(self, message: str) -> Reply:
        fields = (
            {} if self.episode is None else {"calls_left": self._count_calls_left(self.episode)}
        )
        return Reply(ReplyStatus.ERROR, message, observation_fields=fields)

    def build_episode_identity(self) -> dict[str, Any]:
        if self.episode is None:
            return {}
        rules = {} if self._reward == Reward.GRADED else {"reward": self._reward}
        return {"config": asdict(self.episode.config), **rules, "versions": dict(VERSIONS)}

    def _query(self, episode: Episode, query: str) -> dict[str, Any]:
        """Return the answer to a query. A refused query takes a call too, because it may be work.

        Raises:
            ToolArgumentError: the query was refused, or no SQLite steps are left.
            UnavailableError: the query was stopped although it may be correct.
        """
        steps_left = MAX_EPISODE_STEPS - self.sql_steps
        if steps_left <= 0:
            raise ToolArgumentError(
                f"All {MAX_EPISODE_STEPS:,} SQLite steps of the episode are used; allowed: "
                f"change_log and {SUBMIT}."
            )
        outcome = QueryOutcome(
            **self.compute_or_reuse_slow_result(
                lambda: execute_query(episode, query, steps_left)._asdict()
            )
        )
        self.sql_steps += outcome.steps
        if outcome.stopped:
            raise UnavailableError(outcome.stopped)
        if outcome.answer is None:
            self.calls += 1
            raise ToolArgumentError(
                f"{outcome.refusal} The query took a call and {outcome.steps:,} SQLite steps; "
                f"{self._count_calls_left(episode)} calls and "
                f"{MAX_EPISODE_STEPS - self.sql_steps:,} steps are left."
            )
        return outcome.answer

    def _submit(self, episode: Episode, submitted: Sequence[ToolArguments]) -> Reply:
        rows = read_report(submitted, episode)
        grade = grade_report(rows, episode.expected_rows)
        rewards = {
            Reward.GRADED.value: grade.score,
            Reward.EXACT.value: float(grade.score == 1.0),
        }
        components = build_score_components(grade, len(rows))
        message = f"Score {grade.score:.3f}; rows: {len(rows)}, roots: {len(grade.credits)}."
        info = {SCORE_COMPONENTS_KEY: {**rewards, "found": components["found"]}}
        return Reply(
            ReplyStatus.COMPLETED,
            message,
            rewards[self._reward],
            True,
            {"score_parts": components},
            info,
        )

    def _count_calls_left(self, episode: Episode) -> int:
        return episode.level.call_budget - self.calls


def build_score_components(grade: Grade, row_count: int) -> dict[str, Any]:
    """Return the components of a score: shares as floats, counts as integers."""
    roots = len(grade.credits)
    return {
        "found": sum(grade.credits) / roots if roots else 1.0,
        "cost": grade.costs,
        "rows": row_count,
        "roots": roots,
        "exact_rows": grade.credits.count(1.0),
    }


def select_task_of_reset(reset_arguments: Mapping[str, Any]) -> SelectedTask:
    """Return the task that the arguments of a reset select.

    Raises:
        UnknownNameError, InvalidValueError: an argument is wrong.
    """
    return select_task(**{name: reset_arguments.get(name) for name in SELECTORS})


def get_config_of_reset(reset_arguments: Mapping[str, Any]) -> EpisodeConfig:
    """Return the configuration of the episode that the arguments of a reset select.

    Raises:
        UnknownNameError, InvalidValueError: an argument is wrong.
    """
    return select_task_of_reset(reset_arguments).config
